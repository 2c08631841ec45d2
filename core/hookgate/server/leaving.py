"""Ending the process, also where a plugin blocks the loop, holds a thread or has a task that does not end."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time

log = logging.getLogger("hookgate")

ALLOWANCE = 3.0
"""Seconds beyond what one plugin, or all that stops, may take before the whole process is given up."""


class Insisting:
    """A thread that ends the process once its loop has had no turn for ``patience`` seconds, and after ``limit``
    seconds in any case."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float, limit: float) -> None:
        self._loop = loop
        self._patience = patience
        self._turn = time.monotonic()
        self._end = self._turn + limit
        self._next: asyncio.Handle = loop.call_soon_threadsafe(self._beat)
        threading.Thread(target=self._watch, name="hookgate stops", daemon=True).start()

    def _beat(self) -> None:
        self._turn = time.monotonic()
        self._next = self._loop.call_later(min(self._patience / 4, 1.0), self._beat)

    def loop_is_over(self) -> None:
        """Count from now: what is left is to leave."""
        self._next.cancel()
        self._turn = time.monotonic()

    def _watch(self) -> None:
        while (left := min(self._turn + self._patience, self._end) - time.monotonic()) > 0:
            time.sleep(min(left, 0.2))
        if time.monotonic() < self._end:
            log.error("the process does not stop: a hook or a thread of a plugin blocks it for %g s", self._patience)
        else:
            names = sorted(task.get_name() for task in asyncio.all_tasks(self._loop))
            log.error("the process does not stop in its time and is ended; what still runs: %s", ", ".join(names))
        os._exit(1)
