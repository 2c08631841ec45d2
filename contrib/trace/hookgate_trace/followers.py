"""Whoever is told of each new trace as it comes."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from hookgate_trace.filters import Filters
from hookgate_trace.rows import Row

MOST = 20
"""Followers at a time."""
WAITING = 200
"""Traces that may wait for one that reads slowly."""


class Follower:
    """One of them, with what it has not read yet."""

    def __init__(self, filters: Filters) -> None:
        self.filters = filters
        self.queue: asyncio.Queue[Row | None] = asyncio.Queue()
        """``None`` is the end."""
        self.dropped = 0
        """Traces that were left out since this was last set to zero."""

    def tell(self, row: Row) -> None:
        """Queue a trace that fits, or drop it if too many are waiting."""
        if not self.filters.holds(row):
            return
        if self.queue.qsize() < WAITING:
            self.queue.put_nowait(row)
        else:
            self.dropped += 1


class Followers:
    """All of them. They live in the loop; traces come from the thread."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._all: set[Follower] = set()

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, in this loop."""
        self._loop = loop

    def enter(self, filters: Filters) -> Follower | None:
        """Add one; ``None`` if there are too many, or if this is over."""
        if self._loop is None or len(self._all) >= MOST:
            return None
        follower = Follower(filters)
        self._all.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """Let go of one."""
        self._all.discard(follower)

    def publish(self, rows: Sequence[Row]) -> None:
        """Tell all of them of traces; called by the thread."""
        if self._all and self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._tell, rows)

    def close(self) -> None:
        """End all of them."""
        self._loop = None
        for follower in self._all:
            follower.queue.put_nowait(None)

    def _tell(self, rows: Sequence[Row]) -> None:
        for row in rows:
            for follower in self._all:
                follower.tell(row)
