"""How many callouts there are at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

Origin = tuple[str, str, int]
"""Scheme, host and port."""


class _Queue(asyncio.Semaphore):
    """The turns of one origin, for as long as somebody has one or waits for one."""

    here = 0
    """Who has one or waits."""


class Turns:
    """So many calls at a time to each origin, and in all; whoever comes later waits, first come, first served.

    One origin that is slow fills its own turns, so that calls to others go on.
    """

    def __init__(self, each: int, in_all: int) -> None:
        self._each = each
        self._in_all = asyncio.Semaphore(in_all)
        self._queues: dict[Origin, _Queue] = {}

    @asynccontextmanager
    async def at(self, origin: Origin) -> AsyncIterator[None]:
        """Wait for a turn at an origin, and have it for as long as the block lasts."""
        queue = self._queues.get(origin)
        if queue is None:
            queue = self._queues[origin] = _Queue(self._each)
        queue.here += 1
        try:
            async with queue, self._in_all:
                yield
        finally:
            queue.here -= 1
            if not queue.here:
                del self._queues[origin]
