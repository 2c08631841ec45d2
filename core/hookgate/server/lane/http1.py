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
What is not HTTP/1.1 for a route of the gateway (the preface of HTTP/2, apps without a flow) is handed over to
Hypercorn with the bytes read so far.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import cast

from hookgate.exchange.bodies import Arrived, Body
from hookgate.exchange.errors import Fault, RequestTimeout
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import RawHeader, Request, Response, put_body
from hookgate.exchange.outbound import OutcomeKind
from hookgate.exchange.waiting import Walker, all_over
from hookgate.flow.flow import hearers
from hookgate.gateway.generation import Generation, Passage
from hookgate.http.forwarding import hints
from hookgate.http.framing import END_OF_HEAD, H2_PREFACE, FramingError, RequestHead, RequestHeads
from hookgate.http.timers import NEVER
from hookgate.http.tunnel import ClientEnd, End
from hookgate.server.admission import LOOK, Visitor, has_left
from hookgate.server.intake import overlong, request_of
from hookgate.server.lane import answers
from hookgate.server.lane.ending import Ending
from hookgate.server.lane.lane import AHEAD, LINGER, Lane
from hookgate.server.lane.talk import Talk
from hookgate.server.lane.upload import Upload
from hookgate.server.lane.writer import Writer

log = logging.getLogger("hookgate.lane")

CR, LETTER_P = b"\rP"


class Http1(Ending):
    """One connection of a client."""

    __slots__ = ("_answered", "_heads", "_held", "_scheme", "_tunnel", "_tunnelled", "_turning", "_waited_for", "_walk")

    def __init__(self, lane: Lane, visitor: Visitor) -> None:
        super().__init__(lane, visitor)
        self._scheme = "http"
        self._held = False
        """Nothing is read, since there is too much that waits."""
        self._turning = False
        self._waited_for = False
        """Part of a head is there, and its time runs."""
        self._walk: Walker | asyncio.Task[None] | None = None
        self._tunnel: tuple[End, ClientEnd | Talk] | None = None
        self._tunnelled: Body | None = None
        """Where bytes that go through it are counted, if no steps look at messages."""
        """Both ends of the connection since it was upgraded: the backend's, and ours."""
        self._heads = RequestHeads()
        self._answered = 0
        """Calls that this connection has carried."""

    # --- what asyncio says ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._writer = Writer(self._transport)
        lane = self._lane
        if transport.get_extra_info("ssl_object") is not None:
            self._scheme = "https"
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
            if self._writer.waits:
                self._hold_back()
        elif state == "body":
            self._take_body(data)
        elif state == "draining":
            self._drain(data)
        elif self._tunnel is not None:
            self._tunnel[0].write(data)
            if self._tunnelled is not None:
                self._tunnelled.received += len(data)
            self._active()
        elif state == "busy":
            self._buffer += data
            self._hold_back()

    def eof_received(self) -> bool:
        """The client has hung up: whoever still waits for its answer keeps the connection open both ways."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, and whoever still answers has nobody to answer to."""
        self._state = "closed"
        self._lane.wheel.set(self, NEVER)
        self._lane.gone(self)
        self._visitor.leave()
        if self._tunnel is not None:
            self._tunnel[1].lost()
        elif self._walk is not None:
            self._walk.cancel()
        if self._upload is not None:
            self._upload.fail(asyncio.CancelledError())

    def pause_writing(self) -> None:
        """The client reads slowly."""
        if self._tunnel is not None:
            self._tunnel[0].hold()
        self._writer.pause()
        self._until(self._limits.write_idle)

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._tunnel is not None:
            self._tunnel[0].go_on()
            self._active()
        elif self._state == "busy":
            self._lane.wheel.set(self, NEVER)
        elif self._state == "head":
            self._until(self._limits.keep_alive)
        self._writer.resume()
        self._next()

    def expired(self, now: float) -> None:
        """The time limit of the state is reached (called by the wheel)."""
        if self._writer.waits and not self._writer.moves():
            log.info("%s has not read its answer for too long", self.peer)
            self.abort()
        elif self._writer.waits:
            self._until(self._limits.write_idle)
        elif self._state == "head" and self._buffer.strip():  # an empty line is no beginning
            self._refuse(408, "The head of the request took too long.")
        elif self._state == "body" and self._upload is not None:
            if self._upload.client_is_slow:
                self._upload.fail(RequestTimeout(f"No byte of the request body came for {self._limits.body_idle:g} s."))
            elif has_left(self._transport):
                self.abort()
            else:
                self._until(LOOK if self._upload.holds else self._limits.body_idle)
        elif self._tunnel is not None:
            self._tunnel[1].close()
        elif self._state in ("head", "draining", "lingering"):
            self.abort()

    # --- one call after the other -----------------------------------------------------------------------------------

    def _turn(self) -> None:
        """Begin as many calls as the buffer holds and as are answered on the spot."""
        if self._turning:
            return
        self._turning = True
        try:
            # Whoever does not read the answers gets no more of them.
            while self._state == "head" and self._buffer and not self._writer.waits:
                if not self._begin():
                    break
        finally:
            self._turning = False

    def _next(self) -> None:
        """Go on with what is in the buffer, and read again if there was too much in it."""
        self._turn()
        if self._held and len(self._buffer) <= AHEAD and self._state in ("head", "body"):
            self._held = False
            self._transport.resume_reading()

    def _hold_back(self) -> None:
        """Read no more of a client that is far ahead of its answers."""
        if len(self._buffer) > AHEAD:
            self._held = True
            self._transport.pause_reading()

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
        raw, self._buffer = buffer[:end], buffer[end:]
        try:
            head = self._heads.read(raw)
            request = request_of(head, live.config.gateway, len(raw), self._scheme, self.peer, self._visitor.tls)
        except FramingError as error:
            self._refuse(error.status, str(error), raw)
            return False
        except Fault as fault:
            self._refuse(fault.status, fault.detail, raw)
            return False
        if live.config.exposed and live.exposed_at(request.path) is not None:
            self._give_away(raw + self._buffer)
            return False
        self._answered += 1
        self._waited_for = False
        self._writer.keep = head.keep_alive and self._answered < limits.keep_alive_requests
        self._state = "busy"
        if head.length:
            self._begin_body(head, request)
        if gateway.state != "running":
            self._refuse(503, "The gateway is starting or stopping.", raw)
            return False
        exchange = gateway.begin(request)
        exchange.teller = self
        # The edge asks `gateway.find` and `gateway.answer`; here their lines stand once more, without the two calls.
        passage: Passage = exchange.home.find(exchange)
        walk = self._serve(exchange, passage)
        if passage.inline:
            self._walk = walker = Walker(walk)
            walker.step()
        else:
            self._walk = lane.loop.create_task(walk)
        return True

    def _no_head(self, buffer: bytes) -> bool:
        try:
            overlong(buffer, self._limits)
        except FramingError as error:
            self._refuse(error.status, str(error))
            return False
        if self._answered and not self._waited_for and buffer.strip():
            self._waited_for = True
            self._until(self._limits.head)
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
            put_body(request, Arrived(buffer[:length]))
            self._buffer = buffer[length:]
            return
        self._state, self._buffer = "body", b""
        self._upload = upload = Upload(self, head, expects=head.expects and not buffer)
        put_body(request, upload.body(length))
        self.be_patient()
        if buffer:
            self._take_body(buffer)

    def _take_body(self, data: bytes) -> None:
        upload = cast("Upload", self._upload)
        chunks, rest = upload.cut(data)
        if upload.broken:
            self._state = "lingering"
        elif upload.whole:
            self._state, self._upload, self._buffer = "busy", None, rest
            self._lane.wheel.set(self, NEVER)
        else:
            self.be_patient()
        upload.deliver(chunks)

    def _drain(self, data: bytes) -> None:
        """Throw away the rest of a request that has been answered."""
        upload = cast("Upload", self._upload)
        _, rest = upload.cut(data)
        if upload.whole:
            self._state, self._upload, self._buffer = "head", None, rest
            self._until(self._limits.keep_alive)
            self._turn()

    def stop_reading(self) -> None:
        """Whoever reads the body is slow, so the client has to wait."""
        if self._state == "body":
            self._transport.pause_reading()
            self._until(LOOK)

    def read_on(self) -> None:
        """It has caught up."""
        if self._state != "closed" and not self._held:
            self._transport.resume_reading()
        if self._state == "body":
            self.be_patient()

    def be_patient(self) -> None:
        """From now on it is the client who takes its time."""
        self._until(self._limits.body_idle)

    def let_come(self) -> None:
        """Tell the client that it may send its body."""
        if self._state == "body":
            self._transport.write(answers.CONTINUE)

    def inform(self, exchange: Exchange, status: int, fields: list[RawHeader]) -> None:
        """Pass on what a backend says before its answer."""
        if not self._transport.is_closing():
            self._transport.write(answers.interim(status, hints(exchange, fields)))

    # --- the walk and the answer ------------------------------------------------------------------------------------

    async def _serve(self, exchange: Exchange, passage: Passage) -> None:
        gateway, writer = self._lane.gateway, self._writer
        outcome: OutcomeKind = "aborted"
        try:
            response = await passage.flow.run(exchange, passage.destination)
            exchange.head_at = gateway.clock.now()
            if self._lane.closing or (self._upload is not None and not self._upload.worth_waiting()):
                writer.keep = False  # the rest of the request would be taken for the next one
            if response.tunnel is None:
                outcome = await writer.send(exchange, response)
            else:
                outcome = await self._join(exchange, response)
        except BaseException:
            await self._end(exchange, outcome)
            raise
        await self._end(exchange, outcome)

    async def _end(self, exchange: Exchange, outcome: OutcomeKind) -> None:
        """End a call, and let go of its bodies."""
        try:
            self._lane.gateway.end(exchange, outcome)
            response = exchange.response
            waiting = exchange.request.body.let_go()
            if response is not None:
                waiting = [*waiting, *response.body.let_go()]
            if waiting:
                await all_over(waiting)
        except Exception:
            log.exception("a call could not be ended")
        finally:
            self._over(outcome)

    async def _join(self, exchange: Exchange, response: Response) -> OutcomeKind:
        """Answer 101 and let bytes flow both ways until one end is gone, or messages, where steps look at them."""
        self._transport.write(answers.switching(response, exchange.request.upgrade))
        self._state, early, self._buffer = "tunnel", self._buffer, b""
        self._active()
        self._writer.keep = False
        if any(hearers(exchange)):
            talk = Talk(self._transport, exchange, response)
            self._tunnel = talk, talk
            return await talk.carry(early)
        self._tunnelled = exchange.request.body
        self._tunnelled.received += len(early)
        client = ClientEnd(self._transport, exchange, self._active)
        self._tunnel = response.tunnel.backend, client
        await response.tunnel.carry(client, early)
        return "ok"

    def _active(self) -> None:
        """Something went through the tunnel."""
        self._until(self._limits.upgrade_idle)

    def _over(self, outcome: OutcomeKind) -> None:
        """The call is over: go on with the next, or end the connection."""
        self._walk = None
        state = self._state
        if state == "closed":
            return
        if outcome != "ok":
            self._writer.abort()
        elif self._writer.keep and state == "body":
            self._state = "draining"
            self._transport.resume_reading()
            self._until(LINGER)
        elif self._writer.keep:
            self._state = "head"
            if not self._writer.waits:
                lane = self._lane
                lane.wheel.set(self, lane.loop.time() + lane.gateway.live.limits.keep_alive)  # type: ignore[union-attr]
            if (self._buffer or self._held) and not self._turning:
                self._lane.loop.call_soon(self._next)
        elif state == "body":
            self._linger()
        else:
            self._state = "lingering"
            self._transport.close()  # what is written still goes out
            self._until(self._limits.write_idle)
