"""Connections that are kept and shared: who gets one, who waits, and when an idle one is closed."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from functools import lru_cache
from typing import NamedTuple

from hookgate.client import httpx
from hookgate.client.call import Call
from hookgate.client.wire import request_of, response_of
from hookgate.errors import BadGateway, ServiceUnavailable
from hookgate.exchange import Outbound
from hookgate.messages import Response
from hookgate.plugin import Pool

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods whose requests may be sent again (RFC 9110, 9.2.2)."""


class HttpxPool:
    """Open connections to the targets of one connection, over httpx.

    ``max_connections`` bounds them over all targets; a call that finds none free waits as long as it may take to
    connect (AC-27). An idle connection is kept for ``keep_alive`` seconds. One that the backend has closed in the
    meantime is noticed before it is used; where the backend closes it at the very moment the request goes out, a
    request that is idempotent and has no body is sent once more on another connection (RFC 9112, 9.3.1), any other ends
    in 502: keep ``keep_alive`` below what the backend keeps.

    httpx reads the answer only when it has sent the whole request. A backend that answers early must still take the
    rest of the request: if it hangs up instead the call ends in 502, if it stops reading in 504.

    The pool of httpx itself looks at every connection and every waiting call for each event, which at a thousand calls
    is a standstill; and it loses a place for good when a call that waits for one is cancelled (encode/httpcore#1093).
    So each connection here is an httpx transport of its own with room for one, and this class is the pool.

    ``context`` says what to trust and what to show over TLS; without one it is what this machine trusts. With a
    ``socket_path`` all calls go to that Unix socket, whatever the host of their target.
    """

    def __init__(
        self,
        pool: Pool,
        context: ssl.SSLContext | None = None,
        *,
        socket_path: str | None = None,
    ) -> None:
        self._context = context or _default_context()
        self._socket_path = socket_path
        self._limit = pool.max_connections
        self._keep_alive = pool.keep_alive
        self._places = None if pool.max_connections is None else asyncio.Semaphore(pool.max_connections)
        self._idle: dict[httpx.URL, deque[_Idle]] = {}
        """Kept connections by origin, the one used last at the right end."""
        self._closing: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._calls: set[Call] = set()

    async def send(self, outbound: Outbound) -> Response:
        """Send an attempt; return when the head of the response is there. The body streams and must be read or closed.

        The target goes out byte for byte and so do the headers, except those of framing, which follow the body. Of the
        time-outs, ``connect`` and ``read`` (which also bounds each write) are kept here; ``request`` is the caller's.

        Raises:
            ConnectFailed: nothing was sent (``connect-refused``, ``connect-timeout``, ``dns-failed``, ``tls-failed``).
            GatewayTimeout: the backend took too long to read or to answer. The body may raise it, too.
            BadGateway: the backend broke off or answered nonsense. The body may raise it, too.
            ServiceUnavailable: all connections stayed in use (``pool-exhausted``).
        """
        request = request_of(outbound)
        await self._take_place(outbound.timeouts.connect)
        origin = request.url
        repeatable = outbound.body.empty and outbound.method in IDEMPOTENT
        call = Call(self._taken(origin), request, repeatable=repeatable, ended=lambda call: self._ended(call, origin))
        self._calls.add(call)
        head = await call.head()
        if head.status_code == 101:
            call.abandon()
            raise BadGateway("The backend changed the protocol without being asked.")
        response = response_of(head, call, outbound.method)
        if response.body.empty:
            await asyncio.wait([call.task])  # so that the next call finds the connection free
        return response

    async def _take_place(self, wait: float | None) -> None:
        if self._places is None:
            return
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(wait):
                await self._places.acquire()
        except TimeoutError:
            detail = "All connections to the backend are in use."
            raise ServiceUnavailable(detail, reason="pool-exhausted") from None

    def _taken(self, origin: httpx.URL) -> httpx.AsyncHTTPTransport:
        """Take the connection to an origin that was used last, or make a new one, at the cost of an idle one."""
        if kept := self._idle.get(origin):
            return kept.pop().transport
        if self._limit is not None and len(self._calls) + sum(map(len, self._idle.values())) >= self._limit:
            oldest = min((kept for kept in self._idle.values() if kept), key=lambda kept: kept[0].since, default=None)
            if oldest is not None:
                self._close(oldest.popleft().transport)
        limits = httpx.Limits(max_connections=1, keepalive_expiry=self._keep_alive)
        return httpx.AsyncHTTPTransport(verify=self._context, trust_env=False, limits=limits, uds=self._socket_path)

    def _ended(self, call: Call, origin: httpx.URL) -> None:
        self._calls.discard(call)
        if call.whole:
            now = asyncio.get_running_loop().time()
            self._idle.setdefault(origin, deque()).append(_Idle(now, call.transport))
            if self._sweep is None:
                self._sweep = asyncio.get_running_loop().call_later(self._keep_alive, self._close_old)
        else:
            self._close(call.transport)
        if self._places is not None:
            self._places.release()

    def _close_old(self) -> None:
        """Close what has been idle for too long; come back when the next one will have been."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        for origin, kept in list(self._idle.items()):
            while kept and loop.time() - kept[0].since >= self._keep_alive:
                self._close(kept.popleft().transport)
            if not kept:
                del self._idle[origin]
        if self._idle:
            oldest = min(kept[0].since for kept in self._idle.values())
            self._sweep = loop.call_at(oldest + self._keep_alive, self._close_old)

    def _close(self, transport: httpx.AsyncHTTPTransport) -> None:
        task = asyncio.get_running_loop().create_task(transport.aclose())
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
            for idle in kept:
                self._close(idle.transport)
        self._idle.clear()
        if self._closing:
            await asyncio.wait(self._closing)


class _Idle(NamedTuple):
    """A connection that waits for its next call."""

    since: float
    """Time of the event loop."""
    transport: httpx.AsyncHTTPTransport


@lru_cache(maxsize=1)
def _default_context() -> ssl.SSLContext:
    """Trust what this machine trusts. Reading its authorities takes a tenth of a second, so all pools share one."""
    return ssl.create_default_context()
