"""What the connections of the lane share."""

from __future__ import annotations

import asyncio
import logging
import socket
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
LOOK = 0.5
"""Seconds between two looks whether a client is still there that is not read from."""

HandOver = Callable[[asyncio.Transport, bytes, Visitor], None]


def has_left(transport: asyncio.Transport) -> bool:
    """Whether the other side has closed a connection that nobody reads from, as far as the system can tell."""
    sock = transport.get_extra_info("socket")
    if sock is None or not hasattr(socket, "TCP_INFO"):
        return False
    try:
        state: int = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    except OSError:
        return False
    return state in _LEFT


_LEFT = frozenset({7, 8})
"""States of TCP in Linux: CLOSE after a reset, CLOSE_WAIT after the other side's end."""


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
