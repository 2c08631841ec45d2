"""Connections that are kept and shared: who gets one, who waits, and when an idle one is closed."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from typing import Any

import httpx

from hookgate import BadGateway, ConnectFailed, Fault, Outbound, Pool, Response, ServiceUnavailable
from hookgate.client.refusing import connected_late
from hookgate.http.tls import UpstreamTls
from hookgate_transport_httpx.call import Call
from hookgate_transport_httpx.faults import tls_error
from hookgate_transport_httpx.wire import is_proper, request_of, response_of

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods whose requests may be sent again (RFC 9110, 9.2.2)."""
Origin = tuple[str, str, int]
"""Scheme, host and port."""
EARLY = 0.005
"""Seconds that a timer may be early."""
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For connections without TLS: httpx wants a context, and would read what this machine trusts for each."""


class HttpxPool:
    """Open connections to the targets of one connection, over httpx.

    ``max_connections`` bounds them over all targets; a call that finds none free waits ``queue_timeout`` seconds, or as
    long as it may take to connect (AC-27). An idle connection is kept for ``keep_alive`` seconds, and one that is older
    than ``max_age`` is closed when its call is over. One that the backend has closed in the meantime is noticed before
    it is used; where the backend closes it at the very moment the request goes out, a request that is idempotent and
    has no body is sent once more on another connection (RFC 9112, 9.3.1), any other ends in 502: keep ``keep_alive``
    below what the backend keeps.

    httpx reads the answer only when it has sent the whole request. A backend that answers early must still take the
    rest of the request: if it hangs up instead the call ends in 502, if it stops reading in 504.

    The pool of httpx itself looks at every connection and every waiting call for each event, which at a thousand calls
    is a standstill; and it loses a place for good when a call that waits for one is cancelled (encode/httpcore#1093).
    So each connection here is an httpx transport of its own with room for one, and this class is the pool. A connection
    carries one call at a time, in HTTP/2 too: httpcore breaks every call of a connection when the backend announces
    that it will close it (GOAWAY), and never tells the backend of one that was broken off.

    What to trust and to show over TLS, ``pool.tls`` says, unless there is a ``context``. With a ``socket_path`` all
    calls go to that Unix socket, whatever the host of their target; with a ``proxy`` (``http://user:password@host:port``)
    ``https`` targets are reached through CONNECT, others by asking the proxy for the whole URL.
    """

    def __init__(
        self,
        pool: Pool,
        context: ssl.SSLContext | None = None,
        *,
        socket_path: str | None = None,
        http1: bool = True,
        http2: bool = False,
        proxy: str | None = None,
    ) -> None:
        self._context = context
        self._tls = pool.tls or UpstreamTls(pool.name, certificates=pool.certificates)
        self._offered = ("http/1.1", "h2") if http2 else ("http/1.1",)
        """What httpcore offers; it says so to each context that it is given."""
        self._socket_path = socket_path
        self._http1, self._http2 = http1, http2
        self._proxy = None if proxy is None else httpx.Proxy(proxy)
        self._limit = pool.max_connections
        self._keep_alive = pool.keep_alive
        self._max_age = pool.max_age
        self._patience = pool.queue_timeout
        self._places = None if pool.max_connections is None else asyncio.Semaphore(pool.max_connections)
        self._waiting = 0
        self._idle: dict[Origin, deque[_Line]] = {}
        """Kept connections by origin, the one used last at the right end."""
        self._closing: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._calls: set[Call] = set()

    async def send(self, outbound: Outbound) -> Response:
        """Send an attempt; return when the head of the response is there. The body streams and must be read or closed.

        The target goes out byte for byte and so do the headers, except those of framing, which follow the body. Of the
        time-outs, ``connect`` and ``read`` (which also bounds each write) are kept here; ``request`` is the caller's.

        Raises:
            ConnectFailed: nothing was sent (``connect-refused``, ``connect-timeout``, ``dns-failed``, ``tls-failed``,
                ``proxy-failed``).
            GatewayTimeout: the backend took too long to read or to answer. The body may raise it, too.
            BadGateway: the backend broke off or answered nonsense. The body may raise it, too.
            ServiceUnavailable: all connections stayed in use (``pool-exhausted``).
        """
        target = outbound.target
        secure = target.scheme == "https"
        request = request_of(outbound, self._tls.name_of(target) if secure else "")
        await self._take_place(outbound)
        try:
            line = self._kept(target.origin)
            if line is None:
                context = self._context or (await self._tls.latest(*self._offered) if secure else _NO_TLS)
                line = self._opened(target.origin, context)
        except BaseException as failure:
            if self._places is not None:
                self._places.release()
            if isinstance(failure, asyncio.CancelledError) and (late := _late(outbound)) is not None:
                raise connected_late(late, outbound.attempt) from None
            raise
        repeatable = outbound.body.empty and outbound.method in IDEMPOTENT
        call = Call(line.transport, request, repeatable=repeatable, ended=lambda call: self._ended(call, line))
        self._calls.add(call)
        try:
            head = await call.head()
        except asyncio.CancelledError:
            if call.begun or (late := _late(outbound)) is None:
                raise
            raise connected_late(late, outbound.attempt) from None
        except Fault as fault:
            error: Exception | None = tls_error(fault) or fault if fault.reason == "tls-failed" else None
            quiet = not (call.reused or call.heard)
            if secure and quiet and self._proxy is None and type(fault) is BadGateway:
                later = await self._tls.refusal(target, *self._offered)
                if later is not None:
                    fault, error = ConnectFailed("The backend ended the secure connection.", reason="tls-failed"), later
                    fault.may_be_done = True
            if error is not None:
                self._tls.failed(target, error)
            raise fault from None
        line.stream = head.extensions.get("network_stream")
        line.is_http2 = head.extensions.get("http_version") == b"HTTP/2"
        if secure and not call.reused and line.stream is not None:
            self._tls.opened(target, line.stream.get_extra_info("ssl_object"))
        if head.status_code == 101:
            call.abandon()
            raise BadGateway("The backend changed the protocol without being asked.")
        if not is_proper(head, is_http2=line.is_http2):
            call.abandon()
            what = "its status, or a header, is not allowed"
            raise BadGateway(f"The backend gave no proper answer: {what}.", reason="upstream-protocol")
        response = response_of(head, call, outbound.method)
        if response.body.empty:
            await asyncio.wait([call.task])  # so that the next call finds the connection free
        return response

    async def _take_place(self, outbound: Outbound) -> None:
        if self._places is None:
            return
        if not self._places.locked():
            await self._places.acquire()
            return
        self._waiting += 1
        try:
            async with asyncio.timeout(outbound.timeouts.connect if self._patience is None else self._patience):
                await self._places.acquire()
        except asyncio.CancelledError:
            if (late := _late(outbound)) is None:
                raise
            late.spares_target = True
            raise late from None
        except TimeoutError:
            detail = "All connections to the backend are in use."
            raise ServiceUnavailable(detail, reason="pool-exhausted") from None
        finally:
            self._waiting -= 1

    def _kept(self, origin: Origin) -> _Line | None:
        """Take the connection to an origin that was used last, if there is one that is still good."""
        now = asyncio.get_running_loop().time()
        while kept := self._idle.get(origin):
            line = kept.pop()
            if not (self._is_old(line, now) or line.has_news):
                return line
            self._close(line)
        return None

    def _opened(self, origin: Origin, context: ssl.SSLContext) -> _Line:
        """Make room for another connection, at the cost of an idle one; httpx opens it with the first request."""
        if self._limit is not None and len(self._calls) + sum(map(len, self._idle.values())) >= self._limit:
            oldest = min((kept for kept in self._idle.values() if kept), key=lambda kept: kept[0].since, default=None)
            if oldest is not None:
                self._close(oldest.popleft())
        return _Line(origin, self._transport(context), asyncio.get_running_loop().time())

    def _transport(self, context: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
        return httpx.AsyncHTTPTransport(
            verify=context,
            trust_env=False,
            http1=self._http1,
            http2=self._http2,
            limits=httpx.Limits(max_connections=1, keepalive_expiry=self._keep_alive),
            proxy=self._proxy,
            uds=self._socket_path,
        )

    def _is_old(self, line: _Line, now: float) -> bool:
        return self._max_age is not None and now - line.born >= self._max_age

    def _ended(self, call: Call, line: _Line) -> None:
        self._calls.discard(call)
        now = asyncio.get_running_loop().time()
        if call.whole and not self._is_old(line, now) and not line.has_leftovers:
            line.since = now
            self._idle.setdefault(line.origin, deque()).append(line)
            if self._sweep is None:
                self._sweep = asyncio.get_running_loop().call_later(self._keep_alive, self._close_old)
        else:
            self._close(line)
        if self._places is not None:
            self._places.release()

    def _close_old(self) -> None:
        """Close what has been idle for too long; come back when the next one will have been."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        for origin, kept in list(self._idle.items()):
            while kept and loop.time() - kept[0].since >= self._keep_alive:
                self._close(kept.popleft())
            if not kept:
                del self._idle[origin]
        if self._idle:
            oldest = min(kept[0].since for kept in self._idle.values())
            self._sweep = loop.call_at(oldest + self._keep_alive, self._close_old)

    def _close(self, line: _Line) -> None:
        task = asyncio.get_running_loop().create_task(line.transport.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Break off the calls that are still under way, and close every connection."""
        tasks = [call.task for call in self._calls]
        for call in list(self._calls):
            call.abandon()
        if tasks:
            await asyncio.wait(tasks)
        if self._sweep is not None:
            self._sweep.cancel()
        for kept in self._idle.values():
            for line in kept:
                self._close(line)
        self._idle.clear()
        if self._closing:
            await asyncio.wait(self._closing)

    def facts(self) -> Mapping[str, Any]:
        """Return how many connections there are now: ``open`` ones, of which ``idle`` and ``in_use``, calls that are
        ``waiting`` for one, and the ``limit``; then what is known of certificates, in Unix time by origin.
        """
        idle, used = sum(map(len, self._idle.values())), len(self._calls)
        counts = {"open": idle + used, "idle": idle, "in_use": used}
        return {**counts, "waiting": self._waiting, "limit": self._limit, **self._tls.facts()}


def _late(outbound: Outbound) -> Fault | None:
    """Return what a cancellation means, where it comes of the time of the call, which those above keep."""
    due = outbound.due
    return due.fault() if due is not None and due.at - asyncio.get_running_loop().time() < EARLY else None


class _Line:
    """One connection: a transport of httpx with room for one."""

    __slots__ = ("born", "is_http2", "origin", "since", "stream", "transport")

    def __init__(self, origin: Origin, transport: httpx.AsyncHTTPTransport, born: float) -> None:
        self.origin = origin
        self.transport = transport
        self.born = self.since = born
        """When it was made, and since when it is idle: times of the event loop."""
        self.stream: Any = None
        """What httpcore reads from, once a response came."""
        self.is_http2 = False

    @property
    def has_news(self) -> bool:
        """The backend has said something that nobody asked for: most likely that it closes. httpcore looks at this by
        itself in HTTP/1.1 only.
        """
        return self.is_http2 and bool(self.stream.get_extra_info("is_readable"))

    @property
    def has_leftovers(self) -> bool:
        """Bytes came behind the last answer. httpcore would take them for the next one, and so for somebody else's."""
        for connection in getattr(getattr(self.transport, "_pool", None), "connections", ()):
            state = getattr(getattr(connection, "_connection", None), "_h11_state", None)
            if state is not None and state.trailing_data[0]:
                return True
        return False
