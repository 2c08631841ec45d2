"""WebSockets through the edge (RFC 6455, RFC 8441): the handshake takes the flow, then messages go both ways.

Who calls over HTTP/1.1 through the lane gets a pump of bytes instead, which knows nothing of messages, unless a step
has a hook for them.
"""

from __future__ import annotations

import asyncio
import os
from base64 import b64encode
from typing import cast

from wsproto.frame_protocol import CloseReason

from hookgate.exchange.bodies import Body
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Headers, Request, Response
from hookgate.exchange.outbound import OutcomeKind
from hookgate.gateway.generation import Passage
from hookgate.http.forwarding import end_to_end
from hookgate.http.tunnel import spoken
from hookgate.server.conversation import Conversation
from hookgate.server.edge.asgi import Edge, Feed, Message, Receive, SendMessage

_OURS = frozenset({b"sec-websocket-accept", b"sec-websocket-protocol", b"sec-websocket-extensions", b"content-length"})
"""Headers of the handshake that the ASGI server writes itself, or that cannot stand in its answer."""


class WebSocketEdge(Edge):
    """The ASGI application for scopes of type ``websocket``.

    To the flow a handshake is a GET, also where it came as CONNECT of HTTP/2 or HTTP/3 (RFC 8441, RFC 9220). An answer
    other than the backend's 101 goes to the client as it is if the server has the extension
    ``websocket.http.response``; if not, the client gets a bare 403.
    """

    async def __call__(self, scope: Message, receive: Receive, send: SendMessage) -> None:
        """Serve one call, from the handshake until the WebSocket is closed."""
        await super().__call__(scope, receive, _answering(scope, send))

    def _feed(self, receive: Receive) -> Feed:
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
        return passage._replace(destination=spoken(passage.destination))

    async def _reply(self, exchange: Exchange, response: Response, feed: Feed, send: SendMessage) -> OutcomeKind:
        if response.tunnel is None:
            return await super()._reply(exchange, response, feed, send)
        conversation = Conversation(exchange, response.tunnel)
        cast("Mailbox", feed).conversation = conversation
        return await conversation.carry(send, _acceptance(response), response)


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


def _acceptance(response: Response) -> Message:
    headers = [(name.lower(), value) for name, value in end_to_end(response.headers.raw)]
    return {
        "type": "websocket.accept",
        "subprotocol": response.headers.get("sec-websocket-protocol"),
        "headers": [field for field in headers if field[0] not in _OURS],
    }


class Mailbox(Feed):
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
                text = message.get("text")
                await self.conversation.take(text if text is not None else message.get("bytes") or b"")

    async def whole(self) -> bool:
        """Never: after a handshake that failed nothing can follow on a connection of HTTP/1.1."""
        return False

    async def body(self, headers: Headers, http_version: str) -> Body:
        """A handshake has none."""
        return Body()
