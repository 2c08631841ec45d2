"""A clock that tests move."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class MovableClock:
    """Stands still until ``advance`` moves it; whoever sleeps on it wakes in order."""

    def __init__(self, wall: float = 1_700_000_000.0) -> None:
        self._now = 0.0
        self._start = wall
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now(self) -> float:
        """Seconds since the clock was made."""
        return self._now

    def wall(self) -> float:
        """Unix time in seconds."""
        return self._start + self._now

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved that far."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        await future

    @property
    def wakes(self) -> list[float]:
        """Seconds from now until each sleeper wakes, soonest first."""
        return sorted(at - self._now for at, _, future in self._sleepers if not future.done())

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers at their times and letting each run before the next wakes."""
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not future.done():
                future.set_result(None)
                await settle()
        self._now = end
        await settle()


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)
