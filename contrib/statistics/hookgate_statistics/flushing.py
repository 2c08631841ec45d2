"""What observers that count have in common: counts gather in memory, and a thread of its own writes them in batches."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from hookgate import Host
from hookgate_statistics.writer import Writer
from hookgate_storage import Database, StoreError

STOP = 5.0
"""Seconds that the last writing may take when the gateway stops."""
FRESH = 5.0
"""Seconds that an answer waits for what has just been counted."""
FORGETTING = 600.0
"""Seconds between two looks for what is too old. The clock must have been steady for so long, too."""
STEADY = 60.0
"""Seconds by which the clock may be set without being called unsteady."""
T = TypeVar("T")
B = TypeVar("B")


class Gathered(Protocol[B]):
    """Counts in memory. What they hand over is false where it is empty."""

    lost: int
    """Calls that were dropped."""

    def take(self) -> B:
        """Hand over what was counted, and begin anew."""

    def drop(self, batch: B, waiting: int) -> None:
        """Drop of a batch that cannot be written what is more than may wait; what is dropped counts as lost."""


class Flushing(Generic[B]):
    """Writes what an observer has counted, each batch once: it has a number, and one that is sent again since nobody
    knows whether it arrived has the same."""

    def __init__(
        self,
        host: Host,
        what: str,
        counts: Gathered[B],
        writer: Writer,
        *,
        add: Callable[[Database, str, int, float, B], Awaitable[object]],
        forget: Callable[[Database, float], Awaitable[object]],
        pause: float,
        waiting: int,
    ) -> None:
        self._host, self._what, self._counts = host, what, counts
        self._writer: Writer | None = writer
        self._add, self._forgetting, self._pause, self._most = add, forget, pause, waiting
        self.pending: B | None = None
        """The batch that waits, if any."""
        self.trouble = ""
        """Why it waits."""
        self._name, self._number = secrets.token_hex(16), 0
        self._turn = asyncio.Lock()
        clock = host.clock
        self._offset, self._steady, self._forgot = clock.wall() - clock.now(), clock.now(), 0.0

    async def run(self) -> None:
        """Write now and then, for ever."""
        while True:
            await self._host.clock.sleep(self._pause)
            await self.flush()
            await self._forget()

    async def flush(self) -> bool:
        """Write a batch; return whether there was one, and it was written."""
        async with self._turn:
            if not self.pending:
                self.pending = self._counts.take()
                self._number += 1
            if not self.pending or self._writer is None:
                return False
            pending, number, at = self.pending, self._number, self._host.clock.wall()
            try:
                await self._writer.do(lambda database: self._add(database, self._name, number, at, pending))
            except Exception as error:  # noqa: BLE001 - whatever it is, no count is to be lost for it
                if str(error) != self.trouble:
                    self._host.log.warning("%s wait: %s", self._what, error)
                self.trouble = str(error) or type(error).__name__
                self._counts.drop(pending, self._most)
                return False
            self.pending, self.trouble = None, ""
            return True

    async def ask(self, question: Callable[[Database], Awaitable[T]]) -> T:
        """Ask the database, with what has been counted until now.

        Raises:
            StoreError: the database is away.
        """
        if self._writer is None:
            raise StoreError(f"{self._what} are about to stop")
        with suppress(TimeoutError):
            async with asyncio.timeout(FRESH):
                waited = self.pending  # what it holds is older than the question
                if await self.flush() and waited:
                    await self.flush()
        return await self._writer.do(question)

    async def stop(self) -> None:
        """Write what is left, if the database takes it soon, and let go of it."""
        writer, counts = self._writer, self._counts
        if writer is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP):
                while await self.flush():
                    pass
        self._writer = None
        await writer.close(STOP)
        before = counts.lost
        for left in (self.pending, counts.take()):
            if left:
                counts.drop(left, 0)
        if counts.lost > before:
            lost = counts.lost - before
            self._host.log.error("%s of %d calls could not be written: %s", self._what, lost, self.trouble)

    async def _forget(self) -> None:
        """Remove what is too old, unless the clock has been set a while ago: it may be wrong."""
        now, wall = self._host.clock.now(), self._host.clock.wall()
        if abs(wall - now - self._offset) > STEADY:
            self._offset, self._steady = wall - now, now
        if now - max(self._steady, self._forgot) < FORGETTING or self._writer is None:
            return
        self._forgot = now
        with suppress(StoreError):  # told by the next writing
            await self._writer.do(lambda database: self._forgetting(database, wall))
