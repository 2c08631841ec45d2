"""An upgraded connection (RFC 9110, 7.8): after the 101 bytes go both ways as they come, WebSocket frames for one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from hookgate.exchange.waiting import Signal


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

    __slots__ = ("_active", "_transport", "gone")

    def __init__(self, transport: asyncio.Transport, active: Callable[[], None]) -> None:
        self._transport = transport
        self._active = active
        self.gone = Signal()
        """Set when one of the ends is gone."""

    def write(self, data: bytes) -> None:
        """The backend has sent something."""
        self._transport.write(data)
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
