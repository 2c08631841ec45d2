"""Messages of a WebSocket between a client and a backend (RFC 6455), and the steps that look at them.

Who speaks with the client gives us whole messages and takes whole messages, as ASGI has them: a server of ASGI, or
``lane/talk.py``. Towards the backend it is we who frame them, over the connection that answered 101::

    client <--frames--> server <--messages--> Conversation <--frames--> Tunnel <--> backend

Both sides are connections of their own: pings are answered by whoever gets them, each side has its own compression
(none towards the backend), fragments are put together. Messages, their order and close codes are passed on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any, NamedTuple, cast

from wsproto.connection import ConnectionType
from wsproto.events import CloseConnection
from wsproto.frame_protocol import CloseReason

from hookgate.exchange.errors import BadGateway, BadRequest, ContentTooLarge, Fault, GatewayTimeout, PluginError
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Message, Response
from hookgate.exchange.outbound import OutcomeKind
from hookgate.flow.failing import as_fault
from hookgate.flow.flow import hearers
from hookgate.http.timers import NEVER, wheel
from hookgate.http.tunnel import Tunnel
from hookgate.server.frames import ABRUPT, AHEAD, EACH, Broken, Frames, Heard, size_of
from hookgate.server.hearing import reason_of, told

Told = MutableMapping[str, Any]
"""What a server is told, in the words of ASGI."""
SendTold = Callable[[Told], Awaitable[None]]

CLOSING = 2.0
"""Seconds that both sides have to answer the closing of the WebSocket."""
BAD_GATEWAY = 1014
"""Close code: what the backend did cannot be passed on (IANA, WebSocket Close Code Number Registry)."""

_NEVER_SENT = frozenset({1004, 1006, 1015})
"""Close codes that no frame may carry (RFC 6455, 7.4.1)."""


class Farewell(NamedTuple):
    """How a conversation ends."""

    outcome: OutcomeKind
    code: int | None = None
    """What the client is told; nothing if it has gone."""
    reason: str = ""
    fault: Fault | None = None
    at_once: bool = False
    """What the client has not got yet is dropped."""


class Conversation:
    """Messages between a client and a backend. To the tunnel it is the client's end, to the wheel it is its idle time.

    The first of these ends it: a side closes or is gone, a message is longer than ``limits.buffered_body`` (1009 for
    who sent it), a side breaks the protocol (1002 or 1007), a step refuses a message (1008 for who sent it) or fails
    (1011 for both), nothing was said for ``limits.upgrade_idle`` seconds (1001 for both).
    """

    def __init__(self, exchange: Exchange, tunnel: Tunnel) -> None:
        limits = exchange.home.limits
        self._exchange = exchange
        self._tunnel = tunnel
        self._backend = tunnel.backend
        self.limit: int = exchange.route.settings.kept if exchange.route is not None else limits.buffered_body
        self._idle: float = limits.upgrade_idle
        self._loop = asyncio.get_running_loop()
        self._frames = Frames(ConnectionType.CLIENT, tunnel.backend.write, self.limit)
        self._from_client, self._from_backend = hearers(exchange)
        self._waiting: deque[tuple[str | bytes, int]] = deque()
        """Messages for the client, each with its length."""
        self._waiting_bytes = 0
        self._held = False
        """The backend is not read, since too much waits."""
        self._news = asyncio.Event()
        self._ending: Farewell | None = None
        self._delivery = asyncio.timeout(None)
        self._delivering = False
        self._client_gone = asyncio.Event()
        self._backend_gone = asyncio.Event()
        """Set when there is nothing more to be heard from it."""
        self.deadline = NEVER
        self.looked_at = NEVER

    async def carry(self, send: SendTold, acceptance: Told, response: Response) -> OutcomeKind:
        """Accept the client's handshake, then pass messages on until the WebSocket is closed; return how it ended."""
        try:
            ending = await self._pass_on(send, acceptance)
        finally:
            wheel(self._loop).set(self, NEVER)
            self._end(Farewell("aborted"))
        self._exchange.fault = ending.fault or self._exchange.fault
        await response.body.close(ending.fault if ending.outcome == "broken" else None)
        return ending.outcome

    async def _pass_on(self, send: SendTold, acceptance: Told) -> Farewell:
        self.heard()
        self._tunnel.join(self)
        try:
            await self._deliver(send, acceptance)
        except OSError:
            if not self._delivery.expired():  # this is how servers say that the client has gone (ASGI 2.4)
                self.client_left(ABRUPT)
        ending = cast("Farewell", self._ending)
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(CLOSING):
                if ending.code is not None:
                    await send({"type": "websocket.close", "code": ending.code, "reason": ending.reason})
                    # Ending before the client has answered could reset the connection, and the code would be lost.
                    await self._client_gone.wait()
                await self._backend_gone.wait()
        return ending

    async def _deliver(self, send: SendTold, acceptance: Told) -> None:
        async with self._delivery:
            self._delivering = True
            try:
                await send(acceptance)
                while True:
                    while self._waiting and not (self._ending is not None and self._ending.at_once):
                        data = self._next()
                        passed = await self._told(data, from_client=False) if self._from_backend else data
                        if passed is not None:
                            self._exchange.bytes_sent += size_of(passed)
                            kind = "text" if isinstance(passed, str) else "bytes"
                            await send({"type": "websocket.send", kind: passed})
                            self.heard()
                    if self._ending is not None:
                        return
                    self._news.clear()
                    await self._news.wait()
            finally:
                self._delivering = False

    def _next(self) -> str | bytes:
        data, size = self._waiting.popleft()
        self._waiting_bytes -= size + EACH
        if self._held and self._waiting_bytes <= AHEAD // 2:
            self._held = False
            self._backend.go_on()
        return data

    async def _told(self, data: str | bytes, *, from_client: bool) -> str | bytes | None:
        """Ask the steps what goes on of a message; one that is refused, or makes a step fail, ends the conversation."""
        steps = self._from_client if from_client else self._from_backend
        try:
            return await told(self._exchange, steps, Message(data, from_client))
        except Fault as error:
            fault = as_fault(error)
        if isinstance(fault, PluginError):
            why = "the gateway failed"
            self._frames.close(CloseReason.INTERNAL_ERROR, why)
            ending = Farewell("ok", CloseReason.INTERNAL_ERROR, why, fault, at_once=True)
        elif from_client:
            self._frames.close(CloseReason.GOING_AWAY)
            ending = Farewell("ok", CloseReason.POLICY_VIOLATION, reason_of(fault), fault, at_once=True)
        else:
            self._frames.close(CloseReason.POLICY_VIOLATION, reason_of(fault))
            ending = Farewell("ok", BAD_GATEWAY, "a message of the backend was refused", fault, at_once=True)
        self._end(ending)
        return None

    def _end(self, ending: Farewell) -> None:
        """The conversation ends; only the first time counts, unless nobody reads what is left."""
        if self._ending is not None and not (self._delivering and ending.outcome == "timeout"):
            return
        self._ending = ending
        self._news.set()
        self._frames.writable.set()
        if self._held:  # its closing is to be heard
            self._held = False
            self._backend.go_on()
        if ending.at_once and self._delivering:
            self._delivery.reschedule(self._loop.time())

    def heard(self) -> None:
        """Somebody has said something, or was told it."""
        wheel(self._loop).set(self, self._loop.time() + self._idle)

    def expired(self, now: float) -> None:
        """The wheel: nothing has been said for too long, or nothing that was said has been read."""
        self._frames.close(CloseReason.GOING_AWAY)
        fault = GatewayTimeout(f"Nothing went through the WebSocket for {self._idle:g} s.", reason="upgrade-idle")
        self._end(Farewell("timeout", CloseReason.GOING_AWAY, "idle for too long", fault, at_once=True))

    # --- the client -------------------------------------------------------------------------------------------------

    async def take(self, data: str | bytes) -> None:
        """Pass on a message of the client; return when the backend can take another one."""
        self._exchange.request.body.received += size_of(data)
        if size_of(data) > self.limit:
            self.client_broke(CloseReason.MESSAGE_TOO_BIG)
        if self._ending is None and self._from_client:
            passed = await self._told(data, from_client=True)
            if passed is None:
                return
            data = passed
        if self._ending is None:
            self._frames.send(data)
            self.heard()
            await self._frames.writable.wait()

    def client_broke(self, code: int) -> None:
        """What the client sends cannot be passed on, and it will be told so with a code."""
        self._frames.close(CloseReason.GOING_AWAY)
        fault: Fault
        if code == CloseReason.MESSAGE_TOO_BIG:
            why, fault = (
                "the message is too long",
                ContentTooLarge(f"A message of the client is longer than {self.limit} bytes."),
            )
        else:
            why, fault = "no WebSocket protocol", BadRequest("The client breaks the WebSocket protocol.")
        self._end(Farewell("ok", code, why, fault, at_once=True))

    def client_left(self, code: int, reason: str | None = None) -> None:
        """The client has closed the WebSocket or, with 1006, is gone without a word."""
        self._client_gone.set()
        if 1000 <= code < 5000 and code not in _NEVER_SENT:
            self._frames.close(code, reason)
            self._end(Farewell("ok", at_once=True))
        else:
            if self._ending is None:
                self._backend_gone.set()  # it will see the connection break off, too
            self._end(Farewell("aborted", at_once=True))

    # --- the backend, as the tunnel tells ---------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """The backend has sent something."""
        if not self._backend_gone.is_set():
            self.heard()
            for each in self._frames.read(data):
                self._take(each)

    def hold(self) -> None:
        """The backend cannot keep up."""
        if self._ending is None:
            self._frames.writable.clear()

    def go_on(self) -> None:
        """It can again."""
        self._frames.writable.set()

    def close(self) -> None:
        """The backend is gone."""
        self._backend_gone.set()
        fault = BadGateway("The backend broke off the WebSocket.", reason="upstream-closed")
        self._end(Farewell("broken", BAD_GATEWAY, "the backend is gone", fault))

    def _take(self, each: Heard) -> None:
        if isinstance(each, CloseConnection):
            code = CloseReason.NORMAL_CLOSURE if each.code == CloseReason.NO_STATUS_RCVD else each.code
            self._end(Farewell("ok", int(code), each.reason or ""))
            self._backend_gone.set()
        elif isinstance(each, Broken):
            self._frames.close(each.code)
            if each.code == CloseReason.MESSAGE_TOO_BIG:
                why, reason = f"A message of the backend is longer than {self.limit} bytes.", "too-large"
                hint = "a message of the backend is too long"
            else:
                why, reason = "The backend breaks the WebSocket protocol.", "upstream-protocol"
                hint = "the backend breaks the protocol"
                self._backend_gone.set()
            self._end(Farewell("broken", BAD_GATEWAY, hint, BadGateway(why, reason=reason)))
        elif self._ending is None:
            size = size_of(each)
            self._waiting.append((each, size))
            self._waiting_bytes += size + EACH
            self._news.set()
            if self._waiting_bytes > AHEAD and not self._held:
                self._held = True
                self._backend.hold()
