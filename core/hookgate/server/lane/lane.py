"""What the connections of the lane share."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from hookgate.gateway.gateway import Gateway
from hookgate.http.timers import wheel
from hookgate.server.admission import Visitor

log = logging.getLogger("hookgate.lane")

AHEAD = 65536
"""Bytes of further requests that are read while one is being answered."""
LINGER = 2.0
"""Seconds that what still comes is thrown away, when an answer ends the connection."""

HandOver = Callable[[asyncio.Transport, bytes, Visitor], None]


class Connection(Protocol):
    """What the lane asks of a connection."""

    def close_if_idle(self) -> None:
        """Close between two calls, or after the one that is under way."""

    def abort(self) -> None:
        """Close at once."""


class Lane:
    """What the connections of one listener share."""

    def __init__(self, gateway: Gateway, hand_over: HandOver, loop: asyncio.AbstractEventLoop) -> None:
        self.gateway = gateway
        self.hand_over = hand_over
        """Gives a connection to Hypercorn, with what has been read of it."""
        self.loop = loop
        self.wheel = wheel(loop)
        self.connections: set[Connection] = set()
        self.closing = False
        """Each connection ends with the answer it has next."""
        self._empty = asyncio.Event()

    def gone(self, connection: Connection) -> None:
        """A connection is closed, or somebody else's."""
        self.connections.discard(connection)
        if self.closing and not self.connections:
            self._empty.set()

    async def close(self, patience: float) -> None:
        """Close connections without a call at once, the others after their answer, and what is left after so many
        seconds."""
        self.closing = True
        self._empty.clear()
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
