"""The body of a message on its way from a socket to whoever reads it."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from hookgate.exchange.waiting import Signal

HELD = 65536
"""Bytes that are held for a reader; when there are more, nothing is read from the socket until it has taken some."""


class Valve(Protocol):
    """The connection that a body comes in on."""

    def hold(self) -> None:
        """Read no more for now."""

    def go_on(self) -> None:
        """Read again."""

    def wanted(self, body: Incoming) -> None:
        """Somebody asks for the first chunk."""

    def abandon(self, body: Incoming) -> None:
        """Nobody will read the rest."""


class Incoming:
    """Chunks in the order they came. One reader; the connection feeds it and is held back when the reader is slow."""

    __slots__ = ("_chunks", "_ended", "_failure", "_held", "_holding", "_signal", "_valve", "begun")
    inline = True
    """It waits by signals only, so nobody needs a task to read it."""

    def __init__(self, valve: Valve) -> None:
        self._valve = valve
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._holding = False
        self._ended = False
        self._failure: BaseException | None = None
        self._signal: Signal | None = None
        self.begun = False
        """Somebody has asked for the first chunk."""

    @property
    def ended(self) -> bool:
        """Whether everything has come, or will never come."""
        return self._ended

    @property
    def failed(self) -> bool:
        """Whether it ended before its end."""
        return self._failure is not None

    @property
    def holding(self) -> bool:
        """Whether the connection waits for the reader."""
        return self._holding

    def feed(self, chunk: bytes) -> None:
        """Take what has come."""
        if self._ended:
            return
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held > HELD and not self._holding:
            self._holding = True
            self._valve.hold()
        self._wake()

    def put_back(self, chunk: bytes) -> None:
        """Have a chunk that was read be read once more."""
        self._chunks.appendleft(chunk)
        self._held += len(chunk)

    def end(self, failure: BaseException | None = None) -> None:
        """That was all; with a failure, the reader gets it after the chunks that are here."""
        if not self._ended:
            self._ended = True
            self._failure = failure
            self._wake()

    def _wake(self) -> None:
        signal = self._signal
        if signal is not None:
            self._signal = None
            signal.set()

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> bytes:
        if not self.begun:
            self.begun = True
            self._valve.wanted(self)
        while not self._chunks:
            if self._ended:
                if self._failure is not None:
                    raise self._failure
                raise StopAsyncIteration
            self._signal = signal = Signal()
            await signal
        chunk = self._chunks.popleft()
        self._held -= len(chunk)
        if self._holding and self._held <= HELD:
            self._holding = False
            self._valve.go_on()
        return chunk

    async def aclose(self) -> None:
        """Take no more; what is still to come is the connection's to deal with."""
        self.close()

    def close(self) -> None:
        """As :meth:`aclose`."""
        self._chunks.clear()
        self._held = 0
        if not self._ended:
            self._ended = True
            self._valve.abandon(self)
