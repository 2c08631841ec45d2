"""One connection to a backend: HTTP/1.1 over whatever asyncio opened for it.

A connection is in one of these states::

    opening --> idle --> head --> body --> idle          a response that ended exactly where it should
                          |         |
                          +---------+----> closed        anything else
                          +--> tunnel ---> closed        a 101 that was asked for

What is sent goes out in one write where the body is at hand. A response that is there whole when its head is read comes
with its body in hand, and the connection is free again before whoever waits for it goes on.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import aclosing
from typing import cast

from hookgate.client.answers import ResponseHead, read_response
from hookgate.client.keeper import Keeper, Origin, Stale, Turns, Unsent
from hookgate.exchange.bodies import Arrived, Body
from hookgate.exchange.errors import BadGateway, GatewayTimeout, Unsendable
from hookgate.exchange.messages import Headers, Response
from hookgate.exchange.outbound import Outbound
from hookgate.exchange.waiting import Signal
from hookgate.http.framing import (
    END_OF_HEAD,
    REMEMBERED,
    UNKNOWN,
    BodyReader,
    Chunked,
    FramingError,
    reader_of,
)
from hookgate.http.incoming import Incoming
from hookgate.http.timers import NEVER, wheel
from hookgate.http.tunnel import Tunnel

LONGEST_HEAD = 65536  # bytes of a response head
MOST_INTERIM = 16  # 1xx responses before the final one
LONGEST_INTERIM = 8192  # bytes of one that is passed on


class Upstream(asyncio.Protocol):
    """One connection to a backend."""

    __slots__ = (
        "_asked",
        "_body",
        "_content",
        "_head",
        "_interim",
        "_last_head",
        "_last_method",
        "_last_raw",
        "_loop",
        "_outbound",
        "_pending",
        "_pool",
        "_reader",
        "_signal",
        "_state",
        "_transport",
        "_tunnel",
        "_turns",
        "_upload",
        "_wheel",
        "_writable",
        "born",
        "deadline",
        "looked_at",
        "origin",
    )

    def __init__(self, pool: Keeper, origin: Origin, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self.origin = origin
        self._loop = loop
        self._wheel = wheel(loop)
        self.born = loop.time()
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._state = "opening"
        self._outbound: Outbound = None  # type: ignore[assignment]
        self._signal: Signal | None = None
        self._asked: Signal | None = None  # of the last call, whether it waits for its response or not
        self._pending = b""
        self._interim = 0
        self._last_raw = b""
        self._last_method = ""
        self._last_head: ResponseHead | None = None
        # The last short head and what was read in it: backends send the same one again within a second.
        self._head: ResponseHead | None = None
        self._reader: BodyReader | None = None
        self._body: Incoming | None = None
        self._content: Body | None = None  # the body of the response as others know it
        self._tunnel: Tunnel | None = None
        self._upload: asyncio.Task[None] | None = None
        self._writable: Signal | None = None
        self._turns = Turns()
        self.deadline = NEVER
        self.looked_at = NEVER

    # --- a call -----------------------------------------------------------------------------------------------------

    def call(self, outbound: Outbound, head: bytes) -> Signal:
        """Send a request; the signal is set with its response or with what went wrong."""
        self._outbound = outbound
        self._signal = self._asked = signal = Signal()
        self._state = "head"
        if self._transport.is_closing():
            self.abort()
            signal.set(error=Unsent())
            return signal
        self._interim = 0
        body = outbound.body
        data = body.held
        self._turns.begin(self._expect())
        if data is not None:
            self._transport.write(head + data if data else head)
        else:
            self._transport.write(head)
            self._upload = self._loop.create_task(self._send(body, chunked=body.length is None))
        return signal

    def give_up(self, signal: Signal) -> None:
        """Whoever waited for the response of a call does not any more."""
        if self._asked is signal and self._state != "idle":
            self.abort()

    async def _send(self, body: Body, *, chunked: bool) -> None:
        sent, turns, now = 0, self._turns, self._loop.time
        turns.client(now())
        try:
            async with aclosing(body.stream()) as chunks:
                async for chunk in chunks:
                    turns.backend(now())
                    sent += len(chunk)
                    if not chunked and sent > (body.length or 0):
                        raise Unsendable("The request body is longer than it said.")
                    self._transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                    self._expect()
                    if self._writable is not None:
                        await self._writable
                    turns.client(now())
            if chunked:
                self._transport.write(b"0\r\n\r\n")
            elif sent != body.length:
                raise Unsendable("The request body is shorter than it said.")
        except Exception as error:  # noqa: BLE001
            self._fail(error, spares=True)
        finally:
            turns.backend(now())
            self._upload = None

    def _expect(self) -> float:
        """Something moved: from here on the backend has the read time-out again, but never longer than the attempt.

        Returns the time of the loop.
        """
        outbound = self._outbound
        now, read, due = self._loop.time(), outbound.timeouts.read, outbound.due
        deadline = NEVER if read is None else now + read
        if due is not None and due.at < deadline:
            deadline = due.at
        self._wheel.set(self, deadline)
        return now

    def expired(self, now: float) -> None:
        """The wheel: the time is up."""
        if self._state == "idle":
            self.abort()
            return
        due = self._outbound.due
        if due is not None and due.at <= now:
            self._fail(due.fault(), spares=self._turns.mostly_client(self._loop.time()))
        elif (self._body is not None and self._body.holding) or (self._upload is not None and self._writable is None):
            self._expect()  # it is the client who takes its time
        else:
            self._fail(GatewayTimeout("The backend did not answer in time.", reason="read-timeout"))

    def break_off(self) -> None:
        """The pool ends, and with it whatever is under way."""
        self._fail(BadGateway("The call to the backend was broken off."), spares=True)

    def _fail(self, error: Exception, *, spares: bool = False) -> None:
        """The call ends in an error, and the connection with it; one that is not the target's may spare it."""
        if spares:
            error.spares_target = True  # type: ignore[attr-defined]
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
        if self._tunnel is not None:
            tunnel, self._tunnel = self._tunnel, None
            tunnel.ended()
        self._pool.gone(self, idle=state == "idle", busy=state in ("head", "body", "tunnel"))

    # --- what comes -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: it is open."""
        self._transport = cast("asyncio.Transport", transport)
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
            elif data[0] == 0x0D and self._last_method:  # an empty line behind the answer before this one
                while data[:2] == b"\r\n":
                    data = data[2:]
            self._read_head(data)
        elif self._state == "body":
            self._read_body(data)
        elif self._tunnel is not None:
            self._tunnel.received(data)
        else:  # nobody asked for anything, so whatever this is, it would be taken for the next answer
            self.abort()

    def _read_head(self, data: bytes) -> None:
        while True:
            end = data.find(END_OF_HEAD)
            if max(end, len(data) if end < 0 else 0) > LONGEST_HEAD:
                self._garbage("its head is too long")
                return
            if end < 0:
                if data[:5] != b"HTTP/"[: len(data)] or b"\n\n" in data:
                    self._garbage("its lines end in LF alone" if b"\n\n" in data else "no HTTP/1.1 status line")
                    return
                self._pending = data
                self._expect()
                return
            end += 4
            raw, data = data[:end], data[end:]
            method = self._outbound.method
            if raw == self._last_raw and method == self._last_method:
                head = cast("ResponseHead", self._last_head)
                break
            try:
                head = read_response(raw, method)
            except FramingError as error:
                self._garbage(str(error))
                return
            if head.status >= 200:
                if len(raw) <= REMEMBERED:
                    self._last_raw, self._last_method, self._last_head = raw, method, head
                break
            self._interim += 1
            if head.status == 101:
                self._upgraded(head, data)
                return
            if self._interim > MOST_INTERIM:
                self._garbage("it sends interim responses without end")
                return
            if head.status > 101 and len(raw) <= LONGEST_INTERIM and self._outbound.interim is not None:
                self._outbound.interim(head.status, head.fields)
        self._pending = b""
        self._answer(head, data)

    def _upgraded(self, head: ResponseHead, data: bytes) -> None:
        asked = self._outbound.upgrade.encode("ascii")
        if not asked or head.upgrade.lower() != asked:
            self._garbage("it changed the protocol without being asked")
            return
        signal, self._signal = cast("Signal", self._signal), None
        self._state = "tunnel"
        self._wheel.set(self, NEVER)
        self._tunnel = Tunnel(self, data)
        response = Response(101, Headers.of(head.fields))
        response.tunnel = self._tunnel
        response.body.on_close(lambda _: self.close())
        signal.set(response)

    def write(self, data: bytes) -> None:
        """The client's end of the tunnel has received something."""
        if self._state == "tunnel":
            self._transport.write(data)

    def close(self) -> None:
        """The client's end of the tunnel is gone; what was written still goes out."""
        if self._state == "tunnel":
            self._state = "closed"
            self._tunnel = None
            self._transport.close()
            self._pool.gone(self, idle=False, busy=True)

    def _answer(self, head: ResponseHead, data: bytes) -> None:
        signal = cast("Signal", self._signal)
        self._signal = None
        if 0 <= head.length <= len(data):  # all of it is here, which for small bodies is the rule
            if head.length == len(data):
                self._finished(head)
            else:  # nobody asked for what follows: it answers nothing
                self.abort()
                data = data[: head.length]
            signal.set(Response.of(head.status, Headers.of(head.fields.copy()), Arrived(data, too_large=BadGateway)))
            return
        self._state = "body"
        self._head = head
        self._reader = reader_of(head.length)
        self._body = body = Incoming(self)
        length = head.length if head.length >= 0 else None
        self._content = content = Body(body, length=length, too_large=BadGateway)
        response = Response.of(head.status, Headers.of(head.fields.copy()), content)
        if data:
            self._read_body(data)
        else:
            self._expect()
        signal.set(response)

    def _read_body(self, data: bytes) -> None:
        reader, body = cast("BodyReader", self._reader), cast("Incoming", self._body)
        try:
            chunks, rest = reader.feed(data)
        except FramingError as error:
            self._garbage(str(error))
            return
        if reader.done:
            if isinstance(reader, Chunked) and reader.trailers:
                cast("Body", self._content).trailers = reader.trailers
            self._reader = self._body = self._content = None
            if rest:
                self.abort()
            else:
                self._finished(cast("ResponseHead", self._head))
        for chunk in chunks:
            body.feed(chunk)
        if reader.done:
            body.end()
        elif self._state == "body":
            self._expect()

    def _finished(self, head: ResponseHead) -> None:
        """The response is whole: keep the connection for another call, if it may be kept."""
        if not head.keep_alive or self._upload is not None or head.length == UNKNOWN:
            self.abort()
            return
        self._state = "idle"
        until = self._pool.free(self, self._loop.time())
        if until is not None:
            self._wheel.set(self, until)
        else:
            self.abort()

    def _garbage(self, what: str) -> None:
        self._fail(BadGateway(f"The backend gave no proper answer: {what}.", reason="upstream-protocol"))

    def eof_received(self) -> bool | None:
        """asyncio: the backend sends no more."""
        if self._state == "body" and self._reader is not None and cast("ResponseHead", self._head).length == UNKNOWN:
            body, self._body = cast("Incoming", self._body), None
            self.abort()
            body.end()
        return None

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: it is closed."""
        if self._writable is not None:
            self._writable.set()
        if self._state == "closed":
            return
        if self._tunnel is not None:
            tunnel = self._tunnel
            self.close()
            tunnel.ended()
            return
        if self._state == "body" and error is None:
            self.eof_received()
        if self._state == "head" and not self._pending and not self._interim:
            signal, self._signal = self._signal, None
            self.abort()
            if signal is not None:
                stale = Stale()
                stale.spares_target = self._turns.mostly_client(self._loop.time())
                stale.__cause__ = error
                signal.set(error=stale)
        elif self._state in ("head", "body"):
            fault = BadGateway("The connection to the backend broke.", reason="upstream-closed")
            self._fail(fault, spares=self._turns.mostly_client(self._loop.time()))
        else:
            self.abort()

    def pause_writing(self) -> None:
        """asyncio: the backend reads slowly."""
        self._writable = Signal()
        if self._tunnel is not None:
            self._tunnel.hold()

    def resume_writing(self) -> None:
        """asyncio: it has caught up."""
        signal, self._writable = self._writable, None
        if signal is not None:
            signal.set()
        if self._tunnel is not None:
            self._tunnel.go_on()

    # --- the valve of the body --------------------------------------------------------------------------------------

    def hold(self) -> None:
        """The reader of the body is slow, or the client's end of the tunnel."""
        if self._state in ("body", "tunnel"):
            self._transport.pause_reading()
            self._turns.client(self._loop.time())

    def go_on(self) -> None:
        """The reader has caught up."""
        if self._state in ("body", "tunnel"):
            self._transport.resume_reading()
        if self._state == "body":
            self._turns.backend(self._expect())

    def wanted(self, body: Incoming) -> None:
        """Somebody reads the body. From here on its time limits are what they have become with its head."""
        if self._state == "body":
            self._expect()

    def abandon(self, body: Incoming) -> None:
        """Nobody will read the rest of the body."""
        if body is self._body:
            self._body = None
            self.abort()
