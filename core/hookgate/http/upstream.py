"""Connections to backends: HTTP/1.1 over TCP, TLS or a Unix socket, kept open and shared.

A connection is in one of these states::

    opening --> idle --> head --> body --> idle          a response that ended exactly where it should
                          |         |
                          +---------+----> closed        anything else

What is sent goes out in one write where the body is at hand. A response that is there whole when its head is read comes
with its body in hand, and the connection is free again before whoever waits for it goes on.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections import deque
from contextlib import aclosing
from typing import cast

from hookgate.errors import BadGateway, ConnectFailed, Fault, GatewayTimeout, ServiceUnavailable
from hookgate.exchange import Outbound, Target
from hookgate.http.framing import (
    END_OF_HEAD,
    UNKNOWN,
    BodyReader,
    FramingError,
    ResponseHead,
    read_response,
    reader_of,
)
from hookgate.http.incoming import Incoming
from hookgate.http.timers import NEVER, wheel
from hookgate.messages import Body, Headers, Response
from hookgate.plugin import Pool
from hookgate.waiting import Signal

LONGEST_HEAD = 65536
"""Bytes of a response head."""
MOST_INTERIM = 16
"""Interim (1xx) responses before the final one."""
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods whose requests may be sent again (RFC 9110, 9.2.2)."""

_TARGET = re.compile(r"[\x21-\x7e]+")
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
Origin = tuple[str, str, int]


class Stale(Exception):
    """A kept connection turned out to be closed before a byte of the response came."""


class _Place(Signal):
    """A place among the connections that somebody waits for."""

    __slots__ = ("granted",)

    def __init__(self) -> None:
        super().__init__()
        self.granted = False


class UpstreamPool:
    """Open connections to the targets of one connection.

    ``max_connections`` bounds them over all targets; a call that finds none free waits as long as it may take to
    connect (AC-27). An idle connection is kept for ``keep_alive`` seconds. One that the backend closes at the very
    moment a request goes out is answered by sending the request once more on a new connection if it is idempotent and
    its body is at hand (RFC 9112, 9.3.1); any other ends in 502: keep ``keep_alive`` below what the backend keeps.

    ``context`` says what to trust and what to show over TLS; without one it is what this machine trusts. With a
    ``socket_path`` all calls go to that Unix socket, whatever the host of their target.
    """

    def __init__(self, pool: Pool, context: ssl.SSLContext | None = None, *, socket_path: str | None = None) -> None:
        self.keep_alive = pool.keep_alive
        self._limit = pool.max_connections
        self._context = context
        self._socket_path = socket_path
        self._idle: dict[Origin, list[Upstream]] = {}
        """Kept connections by origin; the one used last stands at the end and goes first."""
        self._open: set[Upstream] = set()
        self._taken = 0
        """Places in use, where they are limited."""
        self._waiting: deque[_Place] = deque()
        self._closing = False

    async def send(self, outbound: Outbound) -> Response:
        """Send an attempt; return when the head of the response is there. The body streams and must be read or closed.

        The target goes out byte for byte and so do the headers, except those of framing, which follow the body.

        Raises:
            ConnectFailed: nothing was sent (``connect-refused``, ``connect-timeout``, ``dns-failed``, ``tls-failed``).
            GatewayTimeout: the backend took too long to read or to answer. The body may raise it, too.
            BadGateway: the backend broke off or answered nonsense. The body may raise it, too.
            ServiceUnavailable: all connections stayed in use (``pool-exhausted``).
        """
        head = request_bytes(outbound)
        target = outbound.target
        origin = (target.scheme, target.host, target.port)
        while True:
            if self._limit is not None:
                await self._place(outbound.timeouts.connect)
            kept = self._idle.get(origin)
            fresh = not kept
            upstream = kept.pop() if kept else await self._connect(outbound, origin)
            signal = upstream.call(outbound, head)
            try:
                return cast(Response, await signal)
            except Stale:
                if fresh or outbound.method not in IDEMPOTENT or not outbound.body.replayable:
                    raise BadGateway("The connection to the backend broke.", reason="upstream-closed") from None
            except asyncio.CancelledError:
                upstream.give_up(signal)
                raise

    # --- opening ----------------------------------------------------------------------------------------------------

    async def _connect(self, outbound: Outbound, origin: Origin) -> Upstream:
        signal = Signal()
        opening = asyncio.get_running_loop().create_task(self._establish(outbound, origin, signal))
        try:
            return cast(Upstream, await signal)
        except BaseException:
            opening.cancel()
            if isinstance(signal.value, Upstream):  # it came about at the very moment that nobody wants it any more
                signal.value.abort()
            if self._limit is not None:
                self._leave()
            raise

    async def _establish(self, outbound: Outbound, origin: Origin, signal: Signal) -> None:
        """Open a connection: in a task of its own, since a walker cannot wait for anything but signals."""
        if self._limit is not None and len(self._open) >= self._limit:
            self._close_one()
        target = outbound.target
        context = (self._context or default_context()) if target.scheme == "https" else None
        loop = asyncio.get_running_loop()
        upstream = Upstream(self, origin, loop)
        try:
            async with asyncio.timeout(outbound.timeouts.connect):
                if self._socket_path is not None:
                    await loop.create_unix_connection(lambda: upstream, self._socket_path)
                else:
                    name = None if context is None else target.host
                    await loop.create_connection(
                        lambda: upstream, target.host, target.port, ssl=context, server_hostname=name
                    )
        except Exception as error:  # noqa: BLE001
            upstream.abort()
            signal.set(error=_connect_failure(error))
        except BaseException:
            upstream.abort()
            raise
        else:
            signal.set(upstream)

    async def _place(self, wait: float | None) -> None:
        assert self._limit is not None
        if self._taken < self._limit:
            self._taken += 1
            return
        place = _Place()
        self._waiting.append(place)
        full = ServiceUnavailable("All connections to the backend are in use.", reason="pool-exhausted")
        loop = asyncio.get_running_loop()
        timer = None if wait is None else loop.call_later(wait, lambda: place.set(error=full))
        try:
            await place
        except BaseException:
            if place.granted:  # at the very moment that nobody wants it any more
                self._leave()
            else:
                self._waiting.remove(place)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _leave(self) -> None:
        """Give a place back: to the one that has waited longest, in a turn of its own."""
        if self._waiting:
            place = self._waiting.popleft()
            place.granted = True
            asyncio.get_running_loop().call_soon(place.set)
        else:
            self._taken -= 1

    # --- keeping ----------------------------------------------------------------------------------------------------

    def opened(self, upstream: Upstream) -> None:
        """A connection is there."""
        self._open.add(upstream)

    def free(self, upstream: Upstream) -> bool:
        """A connection has done its call and can do another; return whether it is kept."""
        if self._limit is not None:
            self._leave()
        if self._closing or self.keep_alive <= 0:
            return False
        kept = self._idle.get(upstream.origin)
        if kept is None:
            kept = self._idle[upstream.origin] = []
        kept.append(upstream)
        return True

    def gone(self, upstream: Upstream, *, idle: bool, busy: bool) -> None:
        """A connection is closed."""
        self._open.discard(upstream)
        if idle:
            kept = self._idle.get(upstream.origin, [])
            if upstream in kept:
                kept.remove(upstream)
        elif busy and self._limit is not None:
            self._leave()

    def _close_one(self) -> None:
        """Make room for a connection to another target."""
        for kept in self._idle.values():
            if kept:
                kept[0].abort()
                return

    async def aclose(self) -> None:
        """Break off the calls that are still under way, and close every connection."""
        self._closing = True
        for upstream in list(self._open):
            upstream.abort()
        self._idle.clear()
        await asyncio.sleep(0)


class Upstream(asyncio.Protocol):
    """One connection to a backend."""

    __slots__ = (
        "_asked",
        "_body",
        "_head",
        "_interim",
        "_loop",
        "_outbound",
        "_pending",
        "_pool",
        "_reader",
        "_signal",
        "_state",
        "_transport",
        "_upload",
        "_wheel",
        "_writable",
        "deadline",
        "looked_at",
        "origin",
    )

    def __init__(self, pool: UpstreamPool, origin: Origin, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self.origin = origin
        self._loop = loop
        self._wheel = wheel(loop)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._state = "opening"
        self._outbound: Outbound = None  # type: ignore[assignment]
        self._signal: Signal | None = None
        self._asked: Signal | None = None
        """The signal of the last call, whether it waits for its response or not."""
        self._pending = b""
        self._interim = 0
        self._head: ResponseHead | None = None
        self._reader: BodyReader | None = None
        self._body: Incoming | None = None
        self._upload: asyncio.Task[None] | None = None
        self._writable: Signal | None = None
        self.deadline = NEVER
        self.looked_at = NEVER

    # --- a call -----------------------------------------------------------------------------------------------------

    def call(self, outbound: Outbound, head: bytes) -> Signal:
        """Send a request; the signal is set with its response or with what went wrong."""
        self._outbound = outbound
        self._signal = self._asked = signal = Signal()
        self._state = "head"
        self._interim = 0
        body = outbound.body
        if body.replayable:
            data = body.data
            self._transport.write(head + data if data else head)
        else:
            self._transport.write(head)
            self._upload = self._loop.create_task(self._send(body, chunked=body.length is None))
        self._expect(self._loop.time())
        return signal

    def give_up(self, signal: Signal) -> None:
        """Whoever waited for the response of a call does not any more."""
        if self._asked is signal and self._state != "idle":
            self.abort()

    async def _send(self, body: Body, *, chunked: bool) -> None:
        sent = 0
        try:
            async with aclosing(body.stream()) as chunks:
                async for chunk in chunks:
                    sent += len(chunk)
                    if not chunked and sent > (body.length or 0):
                        raise BadGateway("The request body is longer than it said.")  # noqa: TRY301
                    self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                    self._expect(self._loop.time())
                    if self._writable is not None:
                        await self._writable
            if chunked:
                self._transport.write(b"0\r\n\r\n")
            elif sent != body.length:
                raise BadGateway("The request body is shorter than it said.")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001
            self._fail(error)
        finally:
            self._upload = None

    def _expect(self, now: float) -> None:
        """Something moved: from here on the backend has the read time-out again, but never longer than the attempt."""
        outbound = self._outbound
        read, due = outbound.timeouts.read, outbound.due
        deadline = NEVER if read is None else now + read
        if due is not None and due.at < deadline:
            deadline = due.at
        self._wheel.set(self, deadline)

    def expired(self, now: float) -> None:
        """The wheel: the time is up."""
        if self._state == "idle":
            self.abort()
            return
        due = self._outbound.due
        if due is not None and due.at <= now:
            self._fail(due.fault())
        elif (self._body is not None and self._body.holding) or (self._upload is not None and self._writable is None):
            self._expect(now)  # it is the client who takes its time
        else:
            self._fail(GatewayTimeout("The backend did not answer in time.", reason="read-timeout"))

    def _fail(self, error: Exception) -> None:
        """The call ends in an error, and the connection with it."""
        signal, body = self._signal, self._body
        self._signal = self._body = None
        self.abort()
        if signal is not None:
            signal.set(error=error)
        elif body is not None:
            body.end(error)

    def abort(self) -> None:
        """Close at once."""
        state, self._state = self._state, "closed"
        if state == "closed":
            return
        self._wheel.set(self, NEVER)
        if self._upload is not None:
            self._upload.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._pool.gone(self, idle=state == "idle", busy=state in ("head", "body"))

    # --- what comes -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it is open."""
        self._transport = cast(asyncio.Transport, transport)
        if self._state == "closed":
            self._transport.abort()
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._state = "idle"
        self._pool.opened(self)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        if self._state == "head":
            if self._pending:
                data = self._pending + data
            self._read_head(data)
        elif self._state == "body":
            self._read_body(data)
        else:  # nobody asked for anything, so whatever this is, it would be taken for the next answer
            self.abort()

    def _read_head(self, data: bytes) -> None:
        while True:
            end = data.find(END_OF_HEAD)
            if end < 0:
                if len(data) > LONGEST_HEAD:
                    self._garbage("its head is too long")
                    return
                if data[:5] != b"HTTP/"[: len(data)]:
                    self._garbage("no HTTP/1.1 status line")
                    return
                self._pending = data
                self._expect(self._loop.time())
                return
            end += 4
            try:
                head = read_response(data[:end] if end < len(data) else data, self._outbound.method)
            except FramingError as error:
                self._garbage(str(error))
                return
            data = data[end:]
            if head.status >= 200:
                break
            self._interim += 1
            if head.status == 101:
                self._garbage("it changed the protocol without being asked")
                return
            if self._interim > MOST_INTERIM:
                self._garbage("it sends interim responses without end")
                return
        self._pending = b""
        self._answer(head, data)

    def _answer(self, head: ResponseHead, data: bytes) -> None:
        signal = cast(Signal, self._signal)
        if head.length == len(data):  # all of it is here, which for small bodies is the rule
            self._signal = None
            self._finished(head)
            signal.set(Response(head.status, Headers.of(head.fields), Body(data, too_large=BadGateway)))
            return
        if head.length >= 0 and len(data) > head.length:
            self._garbage("bytes follow its end")
            return
        self._signal = None
        self._state = "body"
        self._head = head
        self._reader = reader_of(head.length)
        self._body = body = Incoming(self)
        length = head.length if head.length >= 0 else None
        response = Response(
            head.status, Headers.of(head.fields), Body(body, length=length, limit=None, too_large=BadGateway)
        )
        if data:
            self._read_body(data)
        else:
            self._expect(self._loop.time())
        signal.set(response)

    def _read_body(self, data: bytes) -> None:
        reader, body = cast(BodyReader, self._reader), cast(Incoming, self._body)
        try:
            chunks, rest = reader.feed(data)
        except FramingError as error:
            self._garbage(str(error))
            return
        if reader.done:
            self._reader = self._body = None
            if rest:
                self.abort()
            else:
                self._finished(cast(ResponseHead, self._head))
        for chunk in chunks:
            body.feed(chunk)
        if reader.done:
            body.end()
        elif self._state == "body":
            self._expect(self._loop.time())

    def _finished(self, head: ResponseHead) -> None:
        """The response is whole: keep the connection for another call, if it may be kept."""
        if not head.keep_alive or self._upload is not None or head.length == UNKNOWN:
            self.abort()
            return
        self._state = "idle"
        if self._pool.free(self):
            self._wheel.set(self, self._loop.time() + self._pool.keep_alive)
        else:
            self.abort()

    def _garbage(self, what: str) -> None:
        self._fail(BadGateway(f"The backend gave no proper answer: {what}.", reason="upstream-protocol"))

    def eof_received(self) -> bool | None:
        """asyncio: the backend sends no more."""
        if self._state == "body" and self._reader is not None and cast(ResponseHead, self._head).length == UNKNOWN:
            body, self._body = cast(Incoming, self._body), None
            self.abort()
            body.end()
        return None

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: it is closed."""
        if self._writable is not None:
            self._writable.set()
        if self._state == "closed":
            return
        if self._state == "body" and error is None:
            self.eof_received()
        if self._state == "head" and not self._pending and not self._interim:
            signal, self._signal = self._signal, None
            self.abort()
            if signal is not None:
                signal.set(error=Stale())
        elif self._state in ("head", "body"):
            self._fail(BadGateway("The connection to the backend broke.", reason="upstream-closed"))
        else:
            self.abort()

    def pause_writing(self) -> None:
        """asyncio: the backend reads slowly."""
        self._writable = Signal()

    def resume_writing(self) -> None:
        """asyncio: it has caught up."""
        signal, self._writable = self._writable, None
        if signal is not None:
            signal.set()

    # --- the valve of the body --------------------------------------------------------------------------------------

    def hold(self) -> None:
        """The reader of the body is slow."""
        if self._state == "body":
            self._transport.pause_reading()

    def go_on(self) -> None:
        """The reader has caught up."""
        if self._state == "body":
            self._transport.resume_reading()
            self._expect(self._loop.time())

    def wanted(self, body: Incoming) -> None:
        """Somebody reads the body; nothing to do."""

    def abandon(self, body: Incoming) -> None:
        """Nobody will read the rest of the body."""
        if body is self._body:
            self._body = None
            self.abort()


def request_bytes(outbound: Outbound) -> bytes:
    """Return the head of a request as it goes out, framed as its body needs (RFC 9112, 6).

    Raises:
        BadGateway: method or path cannot stand in a request line.
    """
    target = f"{outbound.path}?{outbound.query}" if outbound.query else outbound.path
    method = outbound.method
    if not _TARGET.fullmatch(target) or not _METHOD.fullmatch(method):
        raise BadGateway("The request cannot be put into HTTP/1.1 as it is.")
    length = outbound.body.length
    lines = [f"{method} {target} HTTP/1.1\r\n".encode("ascii")]
    for name, value in outbound.headers.raw:
        lowered = name.lower()
        if lowered != b"content-length" and lowered != b"transfer-encoding":
            lines.append(b"%b: %b\r\n" % (name, value))
    if length is None:
        lines.append(b"Transfer-Encoding: chunked\r\n\r\n")
    elif length or method in EXPECT_A_BODY:
        lines.append(b"Content-Length: %d\r\n\r\n" % length)
    else:
        lines.append(b"\r\n")
    return b"".join(lines)


EXPECT_A_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods that announce a body even where it is empty (RFC 9110, 8.6)."""

_contexts: list[ssl.SSLContext] = []


def default_context() -> ssl.SSLContext:
    """Trust what this machine trusts. Reading its authorities takes a tenth of a second, so all pools share one."""
    if not _contexts:
        _contexts.append(ssl.create_default_context())
    return _contexts[0]


def _connect_failure(error: BaseException) -> Fault:
    match error:
        case TimeoutError():
            return ConnectFailed("The backend did not accept a connection in time.", reason="connect-timeout")
        case socket.gaierror():
            return ConnectFailed("The name of the backend cannot be resolved.", reason="dns-failed")
        case ssl.SSLError() | ssl.CertificateError():
            return ConnectFailed("No secure connection to the backend came about.", reason="tls-failed")
        case ConnectionRefusedError():
            return ConnectFailed("The backend refused the connection.", reason="connect-refused")
        case _:
            return ConnectFailed("No connection to the backend came about.")


__all__ = ["UpstreamPool"]
