"""The lane: HTTP/1.1 straight from the socket into the flow.

One :class:`Http1` serves one connection of a client. It reads a whole head, finds the route, and walks the flow; if no
hook on the way is ``async`` it does so on the spot, without a task (``waiting.py``), and the connection to the backend
resumes the walk when it has something. Answers that are at hand go out in one write.

What a connection does at any time is one of these, and each has its time limit::

                  +------------------------------------------------------------+
                  v                                                            |  the answer is out, and the
    accept --> [head] --a head without body, or with all of it--> [busy] ------+  connection may be kept
                  |                                                 ^          |
                  |                                                 |          |  it may not
                  +--a head whose body is still to come--> [body] --+          v
                  |                                          |              [closed]
                  |  no head                                 |                 ^
                  +--> 400, 408, 414, 431 ... -----------+   | answered early  |
                                                         v   v                 |
                                        [draining]    [lingering] -------------+  the client has read it, or time is up
                                        little is left of the request: back to head when it has come

    head        for `keep_alive` seconds between calls, for `head` seconds once a byte of a head is there
    body        for `body_idle` seconds between two pieces of it
    busy        as long as the flow takes; for `write_idle` seconds while the client does not read the answer
    lingering   what comes is thrown away for a moment: closing at once would reset the connection, and the client might
                never see the answer

The rest of what has been received waits in the buffer: requests are answered one after the other (RFC 9112, 9.3.2).
What is not HTTP/1.1 for a route of the gateway (the preface of HTTP/2, apps that are exposed) is handed over to
Hypercorn with the bytes read so far.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, cast

from hookgate.bodies import Body
from hookgate.connection import outcome_of
from hookgate.errors import Fault, RequestTimeout
from hookgate.exchange import Exchange, OutcomeKind
from hookgate.gateway import Gateway
from hookgate.generation import Generation, Passage
from hookgate.http import answers
from hookgate.http.admission import Visitor
from hookgate.http.framing import (
    CHUNKED,
    END_OF_HEAD,
    H2_PREFACE,
    BodyReader,
    Counted,
    FramingError,
    RequestHead,
    read_request,
    reader_of,
)
from hookgate.http.incoming import Incoming
from hookgate.http.intake import check_sizes, split, trust
from hookgate.http.timers import NEVER, wheel
from hookgate.http.tunnel import Tunnel
from hookgate.messages import Headers, Request, Response
from hookgate.waiting import Signal, Walker

log = logging.getLogger("hookgate.lane")

AHEAD = 65536
"""Bytes of further requests that are read while one is being answered."""
LINGER = 2.0
"""Seconds that what still comes is thrown away, when an answer ends the connection."""
CR, LETTER_P = b"\rP"
DISCARDED = 262144
"""Bytes of a request that are still read and thrown away after its answer, to keep the connection."""
REMEMBERED = 1024
"""Bytes of a head up to which it is kept, to be known again."""
TOGETHER = 65536
"""Bytes of a body up to which it is joined with its head for one write."""

HandOver = Callable[[asyncio.Transport, bytes, Visitor], None]


class Lane:
    """What the connections of one listener share."""

    def __init__(self, gateway: Gateway, hand_over: HandOver, loop: asyncio.AbstractEventLoop) -> None:
        self.gateway = gateway
        self.hand_over = hand_over
        """Gives a connection to Hypercorn, with what has been read of it."""
        self.loop = loop
        self.wheel = wheel(loop)
        self.connections: set[Http1] = set()
        self.closing = False
        self._empty = asyncio.Event()

    def connection(self, visitor: Visitor) -> Http1:
        """Make the protocol of a new connection."""
        return (Http1 if visitor.certificate is None else Certified)(self, visitor)

    def gone(self, connection: Http1) -> None:
        """A connection is closed, or somebody else's."""
        self.connections.discard(connection)
        if self.closing and not self.connections:
            self._empty.set()

    async def close(self, patience: float) -> None:
        """Close connections without a call at once, the others after their answer, and what is left after so many
        seconds."""
        self.closing = True
        for connection in list(self.connections):
            connection.close_if_idle()
        if self.connections:
            try:
                async with asyncio.timeout(patience):
                    await self._empty.wait()
            except TimeoutError:
                log.warning("%d connections were still busy and are cut", len(self.connections))
        for connection in list(self.connections):
            connection.abort()


class Http1(asyncio.Protocol):
    """One connection of a client."""

    __slots__ = (
        "_answered",
        "_body",
        "_buffer",
        "_client_is_1_0",
        "_drained",
        "_expects",
        "_held",
        "_keep",
        "_lane",
        "_last_answer",
        "_last_head",
        "_last_raw",
        "_reader",
        "_scheme",
        "_state",
        "_transport",
        "_tunnel",
        "_tunnel_ended",
        "_turning",
        "_visitor",
        "_walk",
        "deadline",
        "looked_at",
        "peer",
    )

    def __init__(self, lane: Lane, visitor: Visitor) -> None:
        self._lane = lane
        self._visitor = visitor
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._state = "head"
        self._scheme = "http"
        self.peer = ""
        """IP address of the client."""
        self._buffer = b""
        self._held = False
        """Nothing is read, since there is too much that waits."""
        self._turning = False
        self._walk: Walker | asyncio.Task[None] | None = None
        self._reader: BodyReader | None = None
        self._body: Incoming | None = None
        self._expects = False
        """The client waits for 100 before it sends the body."""
        self._keep = True
        """Another call may follow."""
        self._client_is_1_0 = False
        self._drained: Signal | None = None
        """Set while the client does not read what is written."""
        self._tunnel: Tunnel
        self._tunnel_ended: Signal
        self._last_raw = b""
        self._last_head: RequestHead = None  # type: ignore[assignment]
        """The last short head and what was read in it: clients send the same one again and again."""
        self._last_answer = answers.Last()
        self._answered = 0
        """Calls that this connection has carried."""
        self.deadline = NEVER
        self.looked_at = NEVER

    # --- what asyncio says ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)
        lane = self._lane
        if transport.get_extra_info("ssl_object") is not None:
            self._scheme = "https"
        self.peer = self._visitor.ip
        if (sock := transport.get_extra_info("socket")) is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lane.connections.add(self)
        self._until(self._limits.head)

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        state = self._state
        if state == "head":
            self._buffer = self._buffer + data if self._buffer else data
            self._turn()
        elif state == "body":
            self._take_body(data)
        elif state == "draining":
            self._drain(data)
        elif state == "tunnel":
            self._tunnel.backend.write(data)
            self._until(self._limits.upgrade_idle)
        elif state == "busy":
            self._buffer += data
            if len(self._buffer) > AHEAD:
                self._held = True
                self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client has hung up: whoever still waits for its answer keeps the connection open both ways."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, and whoever still answers has nobody to answer to."""
        state, self._state = self._state, "closed"
        self._lane.wheel.set(self, NEVER)
        self._lane.gone(self)
        self._visitor.leave()
        if state == "tunnel":
            self._tunnel_ended.set()
        elif self._walk is not None:
            self._walk.cancel()
        if self._body is not None:
            self._body.end(asyncio.CancelledError())

    def pause_writing(self) -> None:
        """The client reads slowly."""
        if self._state == "tunnel":
            self._tunnel.backend.hold()
        self._drained = Signal()
        self._until(self._limits.write_idle)

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._state == "tunnel":
            self._tunnel.backend.go_on()
            self._until(self._limits.upgrade_idle)
        signal, self._drained = self._drained, None
        if self._state == "busy":
            self._lane.wheel.set(self, NEVER)
        if signal is not None:
            signal.set()

    def expired(self, now: float) -> None:
        """The time limit of the state is reached (called by the wheel)."""
        if self._drained is not None:
            log.info("%s has not read its answer for too long", self.peer)
            self.abort()
        elif self._state == "head":
            if self._buffer:
                self._refuse(408, "The head of the request took too long.")
            else:
                self.abort()
        elif self._state == "body" and self._body is not None:
            if self._body.holding or not self._body.begun:  # it is not the client who takes its time
                self._until(self._limits.body_idle)
            else:
                late = f"No byte of the request body came for {self._limits.body_idle:g} s."
                self._body.end(RequestTimeout(late))
        elif self._state in ("draining", "lingering"):
            self.abort()
        elif self._state == "tunnel":
            self.close()

    # --- one call after the other -----------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Begin as many calls as the buffer holds and as are answered on the spot."""
        if self._turning:
            return
        self._turning = True
        try:
            while self._state == "head" and self._buffer:
                if not self._begin():
                    break
        finally:
            self._turning = False

    def _begin(self) -> bool:
        """Begin a call if its whole head is there; return whether it was."""
        lane, buffer = self._lane, self._buffer
        gateway = lane.gateway
        live: Generation = gateway.live  # type: ignore[assignment]
        limits = live.limits
        end = buffer.find(END_OF_HEAD)
        if end < 0 or end > limits.url + limits.header_bytes:
            return self._no_head(buffer)
        end += 4
        first = buffer[0]
        if first == CR or (first == LETTER_P and buffer.startswith(b"PRI ")):
            return self._other_start(buffer)
        if end == len(buffer):
            raw, self._buffer = buffer, b""
        else:
            raw, self._buffer = buffer[:end], buffer[end:]
        try:
            if raw == self._last_raw:
                head = self._last_head
            else:
                head = read_request(raw)
                if len(raw) <= REMEMBERED:
                    self._last_raw, self._last_head = raw, head
            request = self._request(head, live, len(raw))
        except FramingError as error:
            self._refuse(error.status, str(error))
            return False
        except Fault as fault:
            self._refuse(fault.status, fault.detail)
            return False
        if live.config.exposed and live.is_exposed(request.path):
            self._give_away(raw + self._buffer)
            return False
        self._answered += 1
        self._client_is_1_0 = head.version == "1.0"
        self._keep = head.keep_alive and self._answered < limits.keep_alive_requests
        self._state = "busy"
        if head.length:
            self._begin_body(head, request)
        if gateway.state != "running":
            self._refuse(503, "The gateway is starting or stopping.")
            return False
        exchange = gateway.begin(request)
        passage: Passage = exchange.home.find(exchange)
        walk = self._serve(exchange, passage)
        if passage.inline:
            self._walk = walker = Walker(walk)
            walker.step()
        else:
            self._walk = lane.loop.create_task(walk)
        return True

    def _request(self, head: RequestHead, live: Generation, size: int) -> Request:
        """Make the request of a head of so many bytes.

        Raises:
            Fault: it is longer than the limits, or its target is none.
        """
        fields = head.fields
        check_sizes(live.limits, fields, len(head.target), size)
        path, query, authority = split(head.target)
        request = Request(
            head.method,
            path,
            query,
            scheme=self._scheme,
            host=authority or (head.host.decode("ascii") if head.host is not None else ""),
            headers=Headers.of(fields.copy()),
            client=self.peer,
            http_version=head.version,
        )
        if head.upgrade == b"websocket" and head.named is not None and b"upgrade" in head.named and not head.length:
            request.upgrade = "websocket"
        if head.forwarded:
            trust(request, live.config.gateway.trusted_proxies)
        return request

    def _no_head(self, buffer: bytes) -> bool:
        limits = self._limits
        if len(buffer) > limits.url + limits.header_bytes:
            if b"\r\n" not in buffer[: limits.url + 64]:
                self._refuse(414, f"The URL is longer than {limits.url} bytes.")
            else:
                self._refuse(431, "The request head is longer than this gateway takes.")
        elif self._answered == 0 and len(buffer) < len(H2_PREFACE) and H2_PREFACE.startswith(buffer):
            pass  # perhaps HTTP/2; the time limit is that of any head
        elif self.deadline == NEVER or self._answered:
            self._until(limits.head)
        return False

    def _other_start(self, buffer: bytes) -> bool:
        if buffer.startswith(b"\r\n"):  # one empty line before a request is nothing (RFC 9112, 2.2)
            self._buffer = buffer[2:]
            if not self._buffer.startswith(b"\r\n"):
                return True
            self._refuse(400, "The request line is empty.")
            return False
        if self._answered or not H2_PREFACE.startswith(buffer[: len(H2_PREFACE)]):
            self._refuse(505, "This connection speaks HTTP/1.1.")
        elif len(buffer) >= len(H2_PREFACE):
            self._give_away(buffer)
        return False

    # --- the body of the request ------------------------------------------------------------------------------------

    def _begin_body(self, head: RequestHead, request: Request) -> None:
        length, buffer = head.length, self._buffer
        if 0 < length <= len(buffer):
            request.body = Body(buffer[:length])
            self._buffer = buffer[length:]
            return
        self._state = "body"
        self._reader = reader_of(length)
        self._body = body = Incoming(self)
        request.body = Body(body, length=None if length == CHUNKED else length)
        self._expects = head.expects and not buffer
        self._buffer = b""
        self._until(self._limits.body_idle)
        if buffer:
            self._take_body(buffer)

    def _take_body(self, data: bytes) -> None:
        reader, body = cast("BodyReader", self._reader), cast("Incoming", self._body)
        self._expects = False
        try:
            chunks, rest = reader.feed(data)
        except FramingError as error:
            self._keep = False
            self._state = "lingering"
            body.end(Malformed(str(error)))
            return
        if reader.done:
            self._reader = self._body = None
            self._state = "busy"
            self._buffer = rest
            self._lane.wheel.set(self, NEVER)
        else:
            self._until(self._limits.body_idle)
        for chunk in chunks:
            body.feed(chunk)
        if reader.done:
            body.end()

    def _drain(self, data: bytes) -> None:
        """Throw away the rest of a request that has been answered."""
        _, rest = cast("BodyReader", self._reader).feed(data)
        if cast("BodyReader", self._reader).done:
            self._reader = self._body = None
            self._state = "head"
            self._buffer = rest
            self._until(self._limits.keep_alive)
            self._turn()

    def hold(self) -> None:
        """The reader of the body is slow, or the backend's end of the tunnel, so the client has to wait."""
        if self._state in ("body", "tunnel"):
            self._transport.pause_reading()

    def go_on(self) -> None:
        """It has caught up."""
        if self._state == "body":
            self._transport.resume_reading()
            self._until(self._limits.body_idle)
        elif not self._held:
            self._transport.resume_reading()

    def wanted(self, body: Incoming) -> None:
        """Somebody reads the body: a client that waits for leave to send it gets it."""
        if self._state == "body":
            self._until(self._limits.body_idle)
            if self._expects:
                self._expects = False
                self._transport.write(answers.CONTINUE)

    def abandon(self, body: Incoming) -> None:
        """Nobody reads the rest of the body."""
        if body is self._body and self._state == "body":
            self._transport.resume_reading()

    # --- the walk and the answer ------------------------------------------------------------------------------------

    async def _serve(self, exchange: Exchange, passage: Passage) -> None:
        gateway = self._lane.gateway
        outcome: OutcomeKind = "aborted"
        try:
            response = await passage.flow.run(exchange, passage.destination)
            exchange.head_at = gateway.clock.now()
            outcome = await self._send(exchange, response)
        finally:
            gateway.end(exchange, outcome)
            if waiting := exchange.request.body.let_go():
                await _all(waiting)
            if exchange.response is not None and (waiting := exchange.response.body.let_go()):
                await _all(waiting)
            self._over(outcome)

    async def _send(self, exchange: Exchange, response: Response) -> OutcomeKind:
        keep = self._keep
        if response.tunnel is not None:
            return await self._join(exchange, response)
        if self._lane.closing or (self._state != "busy" and not self._worth_waiting()):
            keep = False  # the rest of the request would be taken for the next one
        head, has_body, chunked, self._keep = self._last_answer.head_of(response, exchange.request, keep)
        write, body = self._transport.write, response.body
        if not has_body:
            write(head)
        elif (data := body.held) is not None and not body.copied:
            exchange.bytes_sent = len(data)
            if len(data) <= TOGETHER:
                write(head + data)
            else:
                write(head)
                write(data)
                if self._drained is not None:
                    await self._drained
        else:
            write(head)
            return await self._stream(exchange, body, chunked=chunked)
        return "ok"

    async def _join(self, exchange: Exchange, response: Response) -> OutcomeKind:
        """Answer 101 and let bytes flow both ways until one end is gone."""
        self._keep = False
        self._tunnel, self._tunnel_ended = response.tunnel, Signal()
        self._state = "tunnel"
        self._transport.write(answers.switching(response, exchange.request.upgrade))
        early, self._buffer = self._buffer, b""
        if early:
            self._tunnel.backend.write(early)
        self._until(self._limits.upgrade_idle)
        self._tunnel.join(self)
        await self._tunnel_ended
        return "ok"

    def write(self, data: bytes) -> None:
        """The backend's end of the tunnel has received something."""
        self._transport.write(data)
        self._until(self._limits.upgrade_idle)

    def close(self) -> None:
        """The backend's end of the tunnel is gone; what was written still goes out."""
        self._state = "lingering"
        self._transport.close()
        self._tunnel_ended.set()

    async def _stream(self, exchange: Exchange, body: Body, *, chunked: bool) -> OutcomeKind:
        write = self._transport.write
        try:
            async with aclosing(body.stream()) as chunks:
                async for chunk in chunks:
                    exchange.bytes_sent += len(chunk)
                    write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked else chunk)
                    if self._drained is not None:
                        await self._drained
            if body.length is not None and exchange.bytes_sent != body.length:
                raise BrokenBody("The body is not as long as its head says.")
        except Exception as error:  # noqa: BLE001
            # The head is out, so nothing can be said any more: a connection that breaks is how the client learns that
            # the body is not whole.
            exchange.fault = error if isinstance(error, Fault) else None
            log.warning("the response to %s broke off: %s", exchange.request.path, error)
            return outcome_of(error)
        if chunked:
            write(answers.LAST_CHUNK)
        return "ok"

    def _worth_waiting(self) -> bool:
        """Whether so little of the request is missing that it costs less than a new connection."""
        reader, body = self._reader, self._body
        return (
            isinstance(reader, Counted)
            and reader.left <= DISCARDED
            and body is not None
            and not body.ended
            and not self._expects
        )

    def _over(self, outcome: OutcomeKind) -> None:
        """The call is over: go on with the next, or end the connection."""
        self._walk = None
        state = self._state
        if state == "closed":
            return
        if outcome != "ok":
            self.abort()
        elif self._keep and state == "body":
            self._state = "draining"
            self._transport.resume_reading()
            self._until(LINGER)
        elif self._keep:
            self._state = "head"
            lane = self._lane
            lane.wheel.set(self, lane.loop.time() + lane.gateway.live.limits.keep_alive)  # type: ignore[union-attr]
            if self._held:
                self._held = False
                self._transport.resume_reading()
            if self._buffer and not self._turning:
                self._lane.loop.call_soon(self._turn)
        elif state in ("busy", "lingering"):
            self._state = "lingering"
            self._transport.close()  # what is written still goes out
            self._until(self._limits.write_idle)
        else:
            self._linger()

    # --- ends -------------------------------------------------------------------------------------------------------

    def _refuse(self, status: int, text: str) -> None:
        """Answer something that is not a call."""
        log.info("%s: refused with %d: %s", self.peer, status, text)
        self._transport.write(answers.refusal(status, text))
        self._linger()

    def _linger(self) -> None:
        self._state = "lingering"
        self._buffer = b""
        self._reader = self._body = None
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        self._until(LINGER)

    def close_if_idle(self) -> None:
        """Close between two calls, as the listener ends."""
        if self._state == "head":
            self._transport.close()
        elif self._state in ("busy", "body"):
            self._keep = False

    def abort(self) -> None:
        """Close at once, what has not been sent is lost."""
        self._transport.abort()

    def _give_away(self, data: bytes) -> None:
        """Let Hypercorn have this connection."""
        self._state = "closed"
        self._lane.wheel.set(self, NEVER)
        self._lane.gone(self)
        self._lane.hand_over(self._transport, data, self._visitor)

    # --- small things -----------------------------------------------------------------------------------------------

    @property
    def _live(self) -> Generation:
        return cast("Generation", self._lane.gateway.live)

    @property
    def _limits(self) -> Any:
        return cast("Generation", self._lane.gateway.live).limits

    def _until(self, seconds: float) -> None:
        self._lane.wheel.set(self, self._lane.loop.time() + seconds)


class Certified(Http1):
    """A connection whose client has shown a certificate; the others pay nothing for it."""

    __slots__ = ()

    def _request(self, head: RequestHead, live: Generation, size: int) -> Request:
        request = super()._request(head, live, size)
        request.certificate = self._visitor.certificate
        return request


async def _all(waiting: Sequence[Awaitable[None]]) -> None:
    for each in waiting:
        await each


class Malformed(Fault):
    """400: the framing of the request body is broken."""

    status = 400
    default_reason = "bad-framing"


class BrokenBody(Fault):
    """502: a body of another length than was said."""

    status = 502
    default_reason = "bad-length"
