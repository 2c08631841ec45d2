"""An upgraded connection (RFC 9110, 7.8): after the 101 bytes go both ways as they come, WebSocket frames for one."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha1
from typing import Protocol

from hookgate.exchange.errors import BadGateway, BadRequest
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Headers, Response
from hookgate.exchange.waiting import Signal

_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
"""16 bytes in Base64 (RFC 6455, 4.1)."""
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a server adds to the key (RFC 6455, 1.3)."""


class End(Protocol):
    """One end of a tunnel: the connection of the client, or the one to the backend."""

    def write(self, data: bytes) -> None:
        """Send what the other end has received."""

    def hold(self) -> None:
        """Read no more for now: the other end cannot keep up."""

    def go_on(self) -> None:
        """Read again."""

    def close(self) -> None:
        """The other end is gone; what was written still goes out."""


class Tunnel:
    """The backend's end, with what came behind its 101 until the client's end is joined to it."""

    def __init__(self, backend: End, early: bytes) -> None:
        self.backend = backend
        self._early = early
        self._client: End | None = None
        self._ended = False

    def join(self, client: End) -> None:
        """Let bytes flow to the client."""
        self._client = client
        early, self._early = self._early, b""
        if early:
            client.write(early)
        if self._ended:
            client.close()

    async def carry(self, client: ClientEnd, early: bytes) -> None:
        """Let bytes flow both ways, those first that the client has sent already, until one end is gone."""
        if early:
            self.backend.write(early)
        self.join(client)
        await client.gone

    # --- what the backend's connection reports ----------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """The backend has sent something."""
        if self._client is None:
            self._early += data
        else:
            self._client.write(data)

    def hold(self) -> None:
        """The backend cannot keep up."""
        if self._client is not None:
            self._client.hold()

    def go_on(self) -> None:
        """It can again."""
        if self._client is not None:
            self._client.go_on()

    def ended(self) -> None:
        """The backend is gone."""
        self._ended = True
        if self._client is not None:
            self._client.close()


class ClientEnd:
    """The client's end of a tunnel, on its connection."""

    __slots__ = ("_active", "_exchange", "_transport", "gone")

    def __init__(self, transport: asyncio.Transport, exchange: Exchange, active: Callable[[], None]) -> None:
        self._transport = transport
        self._exchange = exchange
        self._active = active
        self.gone = Signal()
        """Set when one of the ends is gone."""

    def write(self, data: bytes) -> None:
        """The backend has sent something."""
        self._transport.write(data)
        self._exchange.bytes_sent += len(data)
        self._active()

    def hold(self) -> None:
        """The backend cannot keep up."""
        self._transport.pause_reading()

    def go_on(self) -> None:
        """It can again."""
        self._transport.resume_reading()

    def close(self) -> None:
        """The backend is gone; what was written still goes out."""
        self._transport.close()
        self.gone.set()

    def lost(self) -> None:
        """The client is gone."""
        self.gone.set()


def spoken(
    destination: Callable[[Exchange], Awaitable[Response]], *, plainly: bool = False
) -> Callable[[Exchange], Awaitable[Response]]:
    """Have a 101 that answers another handshake than ours fail where it comes in, so that it takes the flow as 502.

    ``plainly``: no extension is offered to the backend, so that we can read its frames.
    """

    def send(exchange: Exchange) -> Awaitable[Response]:
        return checked(exchange) if exchange.request.upgrade else destination(exchange)

    async def checked(exchange: Exchange) -> Response:
        if not _KEY.fullmatch(", ".join(exchange.request.headers.getall("sec-websocket-key"))):
            raise BadRequest("A WebSocket takes one Sec-WebSocket-Key of 16 bytes.", reason="bad-handshake")
        if plainly:
            exchange.request.headers.remove("sec-websocket-extensions")
        response = await destination(exchange)
        if response.tunnel is not None and (wrong := _mistake(exchange.request.headers, response.headers)):
            fault = BadGateway(f"The backend gave no proper answer: {wrong}.", reason="upstream-protocol")
            await response.body.close(fault)
            raise fault
        return response

    return send


def _mistake(asked: Headers, answered: Headers) -> str:
    """Say what is wrong with the handshake of a server (RFC 6455, 4.1), or nothing."""
    key = (asked.get("sec-websocket-key") or "").encode("latin-1")
    if answered.get("sec-websocket-accept") != b64encode(sha1(key + _GUID, usedforsecurity=False).digest()).decode():
        return "Sec-WebSocket-Accept does not fit the key"
    if "sec-websocket-extensions" in answered:
        return "it uses a WebSocket extension that was not offered"
    chosen = answered.get("sec-websocket-protocol")
    offered = [part.strip() for line in asked.getall("sec-websocket-protocol") for part in line.split(",")]
    return "" if chosen is None or chosen in offered else "it chose a subprotocol that was not offered"
