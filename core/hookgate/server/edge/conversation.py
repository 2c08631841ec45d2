"""Messages of a WebSocket between an ASGI server, which speaks with the client, and a backend (RFC 6455).

The server gives us whole messages and takes whole messages; towards the backend it is we who frame them, over the
connection that answered 101::

    client <--frames--> ASGI server <--messages--> Conversation <--frames--> Tunnel <--> backend

Both sides are connections of their own: pings are answered by whoever gets them, each side has its own compression
(none towards the backend), fragments are put together. Messages, their order and close codes are passed on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple, cast

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from hookgate.exchange.errors import BadGateway, ContentTooLarge, Fault, GatewayTimeout
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.outbound import OutcomeKind
from hookgate.http.timers import NEVER, wheel
from hookgate.http.tunnel import Tunnel
from hookgate.server.edge.asgi import Message, SendMessage

AHEAD = 65536
"""Bytes of messages that wait for the client before the backend has to."""
EACH = 64
"""Bytes that a message counts beside its own, so that empty ones do not pile up."""
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
    who sent it), the backend breaks the protocol (1002 or 1007), nothing was said for ``limits.upgrade_idle`` seconds
    (1001 for both).
    """

    def __init__(self, exchange: Exchange, tunnel: Tunnel) -> None:
        limits = exchange.home.limits
        self._exchange = exchange
        self._tunnel = tunnel
        self._backend = tunnel.backend
        self._limit: int = exchange.route.settings.kept if exchange.route is not None else limits.buffered_body
        self._idle: float = limits.upgrade_idle
        self._loop = asyncio.get_running_loop()
        self._framing = Connection(ConnectionType.CLIENT)
        self._partial = bytearray()
        """The message of the backend that is not finished."""
        self._waiting: deque[tuple[Message, int]] = deque()
        """Messages for the client, each with its length."""
        self._waiting_bytes = 0
        self._held = False
        """The backend is not read, since too much waits."""
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._ending: Farewell | None = None
        self._delivery = asyncio.timeout(None)
        self._delivering = False
        self._client_gone = asyncio.Event()
        self._backend_gone = asyncio.Event()
        """Set when there is nothing more to be heard from it."""
        self.deadline = NEVER
        self.looked_at = NEVER

    async def take_place(self, send: SendMessage, acceptance: Message) -> Farewell:
        """Accept the client's handshake, then pass messages on until the WebSocket is closed; return how it ended."""
        self._heard()
        self._tunnel.join(self)
        try:
            await self._deliver(send, acceptance)
        except OSError:
            if not self._delivery.expired():  # this is how servers say that the client has gone (ASGI 2.4)
                self.client_left(CloseReason.ABNORMAL_CLOSURE)
        ending = cast("Farewell", self._ending)
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(CLOSING):
                if ending.code is not None:
                    await send({"type": "websocket.close", "code": ending.code, "reason": ending.reason})
                    # Ending before the client has answered could reset the connection, and the code would be lost.
                    await self._client_gone.wait()
                await self._backend_gone.wait()
        return ending

    def over(self) -> None:
        """The call is over, however it ended."""
        wheel(self._loop).set(self, NEVER)
        self._end(Farewell("aborted"))

    async def _deliver(self, send: SendMessage, acceptance: Message) -> None:
        async with self._delivery:
            self._delivering = True
            try:
                await send(acceptance)
                while True:
                    while self._waiting and not (self._ending is not None and self._ending.at_once):
                        await send(self._next())
                        self._heard()
                    if self._ending is not None:
                        return
                    self._news.clear()
                    await self._news.wait()
            finally:
                self._delivering = False

    def _next(self) -> Message:
        message, size = self._waiting.popleft()
        self._exchange.bytes_sent += size
        self._waiting_bytes -= size + EACH
        if self._held and self._waiting_bytes <= AHEAD // 2:
            self._held = False
            self._backend.go_on()
        return message

    def _end(self, ending: Farewell) -> None:
        """The conversation ends; only the first time counts."""
        if self._ending is not None:
            return
        self._ending = ending
        self._news.set()
        self._writable.set()
        if self._held:  # its closing is to be heard
            self._held = False
            self._backend.go_on()
        if ending.at_once and self._delivering:
            self._delivery.reschedule(self._loop.time())

    def _heard(self) -> None:
        wheel(self._loop).set(self, self._loop.time() + self._idle)

    def expired(self, now: float) -> None:
        """The wheel: nothing has been said for too long, or nothing that was said has been read."""
        self._close_backend(CloseReason.GOING_AWAY)
        fault = GatewayTimeout(f"Nothing went through the WebSocket for {self._idle:g} s.", reason="upgrade-idle")
        self._end(Farewell("timeout", CloseReason.GOING_AWAY, "idle for too long", fault, at_once=True))

    # --- the client -------------------------------------------------------------------------------------------------

    async def take(self, text: str | None, data: bytes | None) -> None:
        """Pass on a message of the client; return when the backend can take another one."""
        if self._ending is not None:
            return
        event = TextMessage(text) if text is not None else BytesMessage(data or b"")
        size = len(event.data) if text is None or text.isascii() else len(text.encode())
        if size > self._limit:
            self._close_backend(CloseReason.GOING_AWAY)
            fault = ContentTooLarge(f"A message of the client is longer than {self._limit} bytes.")
            self._end(Farewell("ok", CloseReason.MESSAGE_TOO_BIG, "the message is too long", fault, at_once=True))
            return
        self._backend.write(bytes(self._framing.send(event)))
        self._heard()
        await self._writable.wait()

    def client_left(self, code: int, reason: str | None = None) -> None:
        """The client has closed the WebSocket or, with 1006, is gone without a word."""
        self._client_gone.set()
        if 1000 <= code < 5000 and code not in _NEVER_SENT:
            self._close_backend(code, reason)
            self._end(Farewell("ok", at_once=True))
        else:
            self._backend_gone.set()  # it will see the connection break off, too
            self._end(Farewell("aborted", at_once=True))

    # --- the backend, as the tunnel tells ---------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """The backend has sent something."""
        if (
            self._framing.state not in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING)
            or self._backend_gone.is_set()
        ):
            return
        self._heard()
        self._framing.receive_data(data)
        for event in self._framing.events():
            self._take(event)

    def hold(self) -> None:
        """The backend cannot keep up."""
        if self._ending is None:
            self._writable.clear()

    def go_on(self) -> None:
        """It can again."""
        self._writable.set()

    def close(self) -> None:
        """The backend is gone."""
        self._backend_gone.set()
        fault = BadGateway("The backend broke off the WebSocket.", reason="upstream-closed")
        self._end(Farewell("broken", BAD_GATEWAY, "the backend is gone", fault))

    def _take(self, event: Event) -> None:
        if isinstance(event, CloseConnection):
            self._backend_closes(event)
        elif self._ending is not None:
            return
        elif isinstance(event, TextMessage | BytesMessage):
            self._collect(event)
        elif isinstance(event, Ping) and self._writable.is_set():
            self._backend.write(bytes(self._framing.send(event.response())))

    def _collect(self, event: TextMessage | BytesMessage) -> None:
        data, partial = event.data, self._partial
        partial += data.encode() if isinstance(data, str) else data
        size = len(partial)
        if size > self._limit:
            self._close_backend(CloseReason.MESSAGE_TOO_BIG)
            fault = BadGateway(f"A message of the backend is longer than {self._limit} bytes.", reason="too-large")
            self._end(Farewell("broken", BAD_GATEWAY, "a message of the backend is too long", fault))
        elif event.message_finished:
            content: dict[str, Any] = (
                {"text": partial.decode()} if isinstance(event, TextMessage) else {"bytes": bytes(partial)}
            )
            self._partial = bytearray()
            self._waiting.append(({"type": "websocket.send", **content}, size))
            self._waiting_bytes += size + EACH
            self._news.set()
            if self._waiting_bytes > AHEAD and not self._held:
                self._held = True
                self._backend.hold()

    def _backend_closes(self, event: CloseConnection) -> None:
        state = self._framing.state
        if state is ConnectionState.REMOTE_CLOSING:
            self._backend.write(bytes(self._framing.send(event.response())))
            code = CloseReason.NORMAL_CLOSURE if event.code == CloseReason.NO_STATUS_RCVD else event.code
            self._end(Farewell("ok", int(code), event.reason or ""))
        elif state is ConnectionState.OPEN:  # no frame of the backend's: wsproto cannot read on
            self._close_backend(event.code)
            fault = BadGateway("The backend breaks the WebSocket protocol.", reason="upstream-protocol")
            self._end(Farewell("broken", BAD_GATEWAY, "the backend breaks the protocol", fault))
        self._backend_gone.set()

    def _close_backend(self, code: int, reason: str | None = None) -> None:
        if self._framing.state is ConnectionState.OPEN and not self._backend_gone.is_set():
            # wsproto wants its own word where there is no code.
            told = CloseReason.NO_STATUS_RCVD if code == CloseReason.NO_STATUS_RCVD else code
            event = CloseConnection(told, None if told is CloseReason.NO_STATUS_RCVD else reason)
            self._backend.write(bytes(self._framing.send(event)))
