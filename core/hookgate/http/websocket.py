"""WebSockets through the edge (RFC 6455, RFC 8441): the handshake takes the flow, then messages go both ways.

The ASGI server speaks WebSocket with the client and gives us whole messages; towards the backend it is we who frame
them, over the connection that answered 101::

    client <--frames--> ASGI server <--messages--> Conversation <--frames--> Tunnel <--> backend

Both sides are connections of their own: pings are answered by whoever gets them, each side has its own compression
(none towards the backend), fragments are put together. Messages, their order and close codes are passed on. Who calls
over HTTP/1.1 through the lane gets a pump of bytes instead, which knows nothing of messages.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple, cast

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import generate_accept_token

from hookgate.bodies import Body
from hookgate.errors import BadGateway, ContentTooLarge, Fault, GatewayTimeout
from hookgate.exchange import Exchange, OutcomeKind
from hookgate.forwarding import end_to_end
from hookgate.generation import Passage
from hookgate.http.asgi import Edge, Intake, Message, Receive, SendMessage
from hookgate.http.timers import NEVER, wheel
from hookgate.http.tunnel import Tunnel
from hookgate.messages import Headers, Request, Response

AHEAD = 65536
"""Bytes of messages that wait for the client before the backend has to."""
EACH = 64
"""Bytes that a message counts beside its own, so that empty ones do not pile up."""
CLOSING = 2.0
"""Seconds that both sides have to answer the closing of the WebSocket."""
BAD_GATEWAY = 1014
"""Close code: what the backend did cannot be passed on (IANA, WebSocket Close Code Number Registry)."""

_OURS = frozenset({b"sec-websocket-accept", b"sec-websocket-protocol", b"sec-websocket-extensions", b"content-length"})
"""Headers of the handshake that the ASGI server writes itself, or that cannot stand in its answer."""
_NEVER_SENT = frozenset({1004, 1006, 1015})
"""Close codes that no frame may carry (RFC 6455, 7.4.1)."""


class WebSocketEdge(Edge):
    """The ASGI application for scopes of type ``websocket``.

    To the flow a handshake is a GET, also where it came as CONNECT of HTTP/2 or HTTP/3 (RFC 8441, RFC 9220). An answer
    other than the backend's 101 goes to the client as it is if the server has the extension
    ``websocket.http.response``; if not, the client gets a bare 403.
    """

    async def __call__(self, scope: Message, receive: Receive, send: SendMessage) -> None:
        """Serve one call, from the handshake until the WebSocket is closed."""
        await super().__call__(scope, receive, _answering(scope, send))

    def _intake(self, receive: Receive) -> Intake:
        return Mailbox(receive)

    def _request(self, scope: Message) -> Request:
        request = super()._request(scope)
        request.upgrade = "websocket"
        headers = request.headers
        # With the client the server has settled these itself, so the backend gets a handshake of our own.
        headers.set("sec-websocket-key", b64encode(os.urandom(16)).decode())
        headers.set("sec-websocket-version", "13")
        headers.remove("sec-websocket-extensions")
        if offered := scope.get("subprotocols"):
            headers.set("sec-websocket-protocol", ", ".join(offered))
        else:
            headers.remove("sec-websocket-protocol")
        return request

    def _passage(self, exchange: Exchange) -> Passage:
        passage = super()._passage(exchange)
        return passage._replace(destination=_checked(passage.destination))

    async def _reply(self, exchange: Exchange, response: Response, intake: Intake, send: SendMessage) -> OutcomeKind:
        if response.tunnel is None:
            return await super()._reply(exchange, response, intake, send)
        conversation = Conversation(exchange, response.tunnel)
        cast("Mailbox", intake).conversation = conversation
        try:
            ending = await conversation.take_place(send, _acceptance(response))
        finally:
            conversation.over()
        exchange.fault = ending.fault or exchange.fault
        await response.body.close(ending.fault if ending.outcome == "broken" else None)
        return ending.outcome


def _answering(scope: Message, send: SendMessage) -> SendMessage:
    """Let an answer of HTTP be sent in place of an acceptance, as far as the server can."""
    able = "websocket.http.response" in (scope.get("extensions") or {})

    async def answering(message: Message) -> None:
        kind = message["type"]
        if kind.startswith("websocket."):
            await send(message)
        elif able:
            await send({**message, "type": f"websocket.{kind}"})
        elif kind == "http.response.start":
            await send({"type": "websocket.close"})

    return answering


def _checked(destination: Callable[[Exchange], Awaitable[Response]]) -> Callable[[Exchange], Awaitable[Response]]:
    """Have a 101 that answers another handshake than ours fail where it comes in, so that it takes the flow as 502."""

    async def checked(exchange: Exchange) -> Response:
        response = await destination(exchange)
        if response.tunnel is not None and (wrong := _mistake(exchange.request.headers, response.headers)):
            fault = BadGateway(f"The backend gave no proper answer: {wrong}.", reason="upstream-protocol")
            await response.body.close(fault)
            raise fault
        return response

    return checked


def _mistake(asked: Headers, answered: Headers) -> str:
    """Say what is wrong with the handshake of a server (RFC 6455, 4.1), or nothing."""
    proof = generate_accept_token((asked.get("sec-websocket-key") or "").encode("latin-1"))
    if answered.get("sec-websocket-accept") != proof.decode():
        return "Sec-WebSocket-Accept does not fit the key"
    if "sec-websocket-extensions" in answered:
        return "it uses a WebSocket extension that was not offered"
    chosen = answered.get("sec-websocket-protocol")
    offered = [part.strip() for part in (asked.get("sec-websocket-protocol") or "").split(",")]
    return "" if chosen is None or chosen in offered else "it chose a subprotocol that was not offered"


def _acceptance(response: Response) -> Message:
    headers = [(name.lower(), value) for name, value in end_to_end(response.headers.raw)]
    return {
        "type": "websocket.accept",
        "subprotocol": response.headers.get("sec-websocket-protocol"),
        "headers": [field for field in headers if field[0] not in _OURS],
    }


class Mailbox(Intake):
    """What the client sends: messages, once there is somebody to take them, and the news that it has gone."""

    conversation: Conversation | None = None

    async def pump(self) -> None:
        """Read until the client has gone; from its handshake on, until the call is over."""
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                if self.conversation is None:
                    return
                self.conversation.client_left(message.get("code", CloseReason.NO_STATUS_RCVD), message.get("reason"))
                await asyncio.Event().wait()  # the conversation ends the call itself
            elif message["type"] == "websocket.receive" and self.conversation is not None:
                await self.conversation.take(message.get("text"), message.get("bytes"))

    async def whole(self) -> bool:
        """Never: after a handshake that failed nothing can follow on a connection of HTTP/1.1."""
        return False

    async def body(self, headers: Headers, http_version: str) -> Body:
        """A handshake has none."""
        return Body()


class Ending(NamedTuple):
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
        self._ending: Ending | None = None
        self._delivery = asyncio.timeout(None)
        self._delivering = False
        self._client_gone = asyncio.Event()
        self._backend_gone = asyncio.Event()
        """Set when there is nothing more to be heard from it."""
        self.deadline = NEVER
        self.looked_at = NEVER

    async def take_place(self, send: SendMessage, acceptance: Message) -> Ending:
        """Accept the client's handshake, then pass messages on until the WebSocket is closed; return how it ended."""
        self._heard()
        self._tunnel.join(self)
        try:
            await self._deliver(send, acceptance)
        except OSError:
            if (
                not self._delivery.expired()
            ):  # it is the server that says the client has gone (ASGI, "Disconnected Client")
                self.client_left(CloseReason.ABNORMAL_CLOSURE)
        ending = cast("Ending", self._ending)
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
        self._end(Ending("aborted"))

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

    def _end(self, ending: Ending) -> None:
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
        self._end(Ending("timeout", CloseReason.GOING_AWAY, "idle for too long", fault, at_once=True))

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
            self._end(Ending("ok", CloseReason.MESSAGE_TOO_BIG, "the message is too long", fault, at_once=True))
            return
        self._backend.write(bytes(self._framing.send(event)))
        self._heard()
        await self._writable.wait()

    def client_left(self, code: int, reason: str | None = None) -> None:
        """The client has closed the WebSocket or, with 1006, is gone without a word."""
        self._client_gone.set()
        if 1000 <= code < 5000 and code not in _NEVER_SENT:
            self._close_backend(code, reason)
            self._end(Ending("ok", at_once=True))
        else:
            self._backend_gone.set()  # it will see the connection break off, too
            self._end(Ending("aborted", at_once=True))

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
        self._end(Ending("broken", BAD_GATEWAY, "the backend is gone", fault))

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
            self._end(Ending("broken", BAD_GATEWAY, "a message of the backend is too long", fault))
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
            self._end(Ending("ok", int(code), event.reason or ""))
        elif state is ConnectionState.OPEN:  # no frame of the backend's: wsproto cannot read on
            self._close_backend(event.code)
            fault = BadGateway("The backend breaks the WebSocket protocol.", reason="upstream-protocol")
            self._end(Ending("broken", BAD_GATEWAY, "the backend breaks the protocol", fault))
        self._backend_gone.set()

    def _close_backend(self, code: int, reason: str | None = None) -> None:
        if self._framing.state is ConnectionState.OPEN and not self._backend_gone.is_set():
            # wsproto wants its own word where there is no code.
            told = CloseReason.NO_STATUS_RCVD if code == CloseReason.NO_STATUS_RCVD else code
            event = CloseConnection(told, None if told is CloseReason.NO_STATUS_RCVD else reason)
            self._backend.write(bytes(self._framing.send(event)))
