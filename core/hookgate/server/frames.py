"""One side of a WebSocket at the level of frames (RFC 6455): what it sends is put together, what it gets is framed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import NamedTuple

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

AHEAD = 65536
"""Bytes of messages that wait for one side before the other has to."""
EACH = 64
"""Bytes that a message counts beside its own, so that empty ones do not pile up."""
ABRUPT = 1006
"""Close code that stands for a connection that ended without a word."""


class Broken(NamedTuple):
    """What a side sends cannot be read on, or is a message that is too long."""

    code: int
    """What it is told."""


Heard = str | bytes | CloseConnection | Broken


def size_of(data: str | bytes) -> int:
    """Return the length of a message in bytes."""
    return len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())


class Frames:
    """Frames from and to one side. Pings and a closing are answered, extensions are not spoken.

    A ping of somebody who reads nothing has no answer, so that answers do not pile up.
    """

    def __init__(self, role: ConnectionType, write: Callable[[bytes], None], limit: int) -> None:
        self._wire = Connection(role)
        self._write = write
        self._limit = limit
        self._partial = bytearray()
        """The message that is not finished."""
        self._is_too_long = False
        self._is_over = False
        self.writable = asyncio.Event()
        """Set while the side keeps up with what it gets."""
        self.writable.set()

    def read(self, data: bytes) -> Iterator[Heard]:
        """Yield the messages that bytes of the side make whole, and how it ends. What comes then is not looked at."""
        if self._is_over:
            return
        self._wire.receive_data(data)
        for event in self._wire.events():
            if isinstance(event, TextMessage | BytesMessage):
                yield from self._collect(event)
            elif isinstance(event, Ping):
                if self.writable.is_set() and self._wire.state is ConnectionState.OPEN:
                    self._write(bytes(self._wire.send(event.response())))
            elif isinstance(event, CloseConnection):
                self._is_over = True
                if self._wire.state is ConnectionState.REMOTE_CLOSING:
                    self._write(bytes(self._wire.send(event.response())))
                elif self._wire.state is ConnectionState.OPEN:  # no frame of its: wsproto cannot read on
                    yield Broken(event.code)
                    return
                yield event
                return

    def _collect(self, event: TextMessage | BytesMessage) -> Iterator[Heard]:
        if self._is_too_long:
            return
        data, partial = event.data, self._partial
        partial += data.encode() if isinstance(data, str) else data
        if len(partial) > self._limit:
            self._is_too_long, self._partial = True, bytearray()
            yield Broken(CloseReason.MESSAGE_TOO_BIG)
        elif event.message_finished:
            self._partial = bytearray()
            yield partial.decode() if isinstance(event, TextMessage) else bytes(partial)

    def send(self, data: str | bytes) -> None:
        """Send a message, unless the side is closing."""
        if self._wire.state is ConnectionState.OPEN:
            event = TextMessage(data) if isinstance(data, str) else BytesMessage(data)
            self._write(bytes(self._wire.send(event)))

    def close(self, code: int, reason: str | None = None) -> None:
        """Begin to close, unless that has begun."""
        if self._wire.state is ConnectionState.OPEN:
            # wsproto wants its own word where there is no code.
            told = CloseReason.NO_STATUS_RCVD if code == CloseReason.NO_STATUS_RCVD else code
            event = CloseConnection(told, None if told is CloseReason.NO_STATUS_RCVD else reason)
            self._write(bytes(self._wire.send(event)))
