"""A cache in memory, where what many want at once is made once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from hookgate.contract.clock import Clock


class MemoryCache:
    """Keeps values for a time, and at most so many; see :class:`hookgate.contract.state.Cache`.

    What is made is made in a task of its own, so that it belongs to none of those who wait for it; ``tasks`` are those
    that end with the plugin.
    """

    def __init__(self, clock: Clock, ttl: float, most: int, tasks: set[asyncio.Task[Any]] | None = None) -> None:
        if not ttl > 0 or most < 1:
            raise ValueError(f"a cache keeps at least 1 value for more than 0 seconds, not {most} for {ttl}")
        self._clock = clock
        self._ttl = ttl
        self._most = most
        self._tasks: set[asyncio.Task[Any]] = set() if tasks is None else tasks
        self._kept: OrderedDict[str, tuple[float, Any]] = OrderedDict()
        """Until when, and the value; what was asked for last stands last."""
        self._making: dict[str, asyncio.Task[Any]] = {}

    async def get(self, key: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return the value of a key, made once if it is not there."""
        if (kept := self._fresh(key)) is not None:
            return kept[1]
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._made(key, make))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda each: each.cancelled() or each.exception())  # perhaps nobody is left to hear
        return await asyncio.shield(task)

    def peek(self, key: str) -> Any:
        """Return the value of a key, if it is there."""
        kept = self._fresh(key)
        return None if kept is None else kept[1]

    def forget(self, key: str | None = None) -> None:
        """Take out a key, or everything. What is being made meanwhile is not kept, and whoever asks now has it made
        anew.
        """
        if key is None:
            self._kept.clear()
            self._making.clear()
        else:
            self._kept.pop(key, None)
            self._making.pop(key, None)

    async def _made(self, key: str, make: Callable[[], Awaitable[Any]]) -> Any:
        mine = asyncio.current_task()
        try:
            value = await make()
        except SystemExit as error:  # it would end the loop
            raise RuntimeError(f"called sys.exit({error.code!r})") from error
        else:
            if self._making.get(key) is mine:
                self._keep(key, value)
            return value
        finally:
            if self._making.get(key) is mine:
                del self._making[key]

    def _keep(self, key: str, value: Any) -> None:
        self._kept[key] = (self._clock.now() + self._ttl, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def _fresh(self, key: str) -> tuple[float, Any] | None:
        kept = self._kept.get(key)
        if kept is None:
            return None
        if kept[0] <= self._clock.now():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return kept
