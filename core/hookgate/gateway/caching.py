"""A cache in memory, where what many want at once is made once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from hookgate.contract.clock import Clock


class MemoryCache:
    """Keeps values for a time, and at most so many; see :class:`hookgate.contract.state.Cache`."""

    def __init__(self, clock: Clock, ttl: float, most: int) -> None:
        if ttl <= 0 or most < 1:
            raise ValueError(f"a cache keeps at least 1 value for more than 0 seconds, not {most} for {ttl}")
        self._clock = clock
        self._ttl = ttl
        self._most = most
        self._kept: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        self._making: dict[str, asyncio.Task[Any]] = {}

    async def get(self, key: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return the value of a key, made once if it is not there."""
        if (kept := self._fresh(key)) is not None:
            return kept[1]
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.ensure_future(self._made(key, make))
            task.add_done_callback(lambda each: each.cancelled() or each.exception())  # somebody may be left to hear it
        return await asyncio.shield(task)

    def peek(self, key: str) -> Any:
        """Return the value of a key, if it is there."""
        kept = self._fresh(key)
        return None if kept is None else kept[1]

    def forget(self, key: str = "") -> None:
        """Take out a key, or everything. What is being made meanwhile is not kept."""
        for gone in [key] if key else [*self._kept, *self._making]:
            self._kept.pop(gone, None)
            self._making.pop(gone, None)

    async def _made(self, key: str, make: Callable[[], Awaitable[Any]]) -> Any:
        mine = asyncio.current_task()
        try:
            value = await make()
        except BaseException:
            if self._making.get(key) is mine:
                del self._making[key]
            raise
        if self._making.get(key) is mine:
            del self._making[key]
            self._kept[key] = (self._clock.now() + self._ttl, value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value

    def _fresh(self, key: str) -> tuple[float, Any] | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[0] <= self._clock.now():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept
