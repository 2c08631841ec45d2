"""Names the hook that keeps everybody waiting.

A sync hook that blocks holds up every call of the process. A thread notices that the event loop does not come round,
looks at what the loop's thread is doing and names the plugin it finds there. It costs the calls nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from types import FrameType

from hookgate import Plugin

log = logging.getLogger("hookgate.watchdog")


class Watch:
    """Reports when the loop stands still for longer than ``patience`` seconds."""

    def __init__(self, patience: float = 1.0) -> None:
        self.patience = patience
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread_id = 0
        self._beat = 0.0
        self._reported = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin watching the loop of the calling thread."""
        self._loop = loop
        self._thread_id = threading.get_ident()
        self._beat = time.monotonic()
        self._tick()
        self._thread = threading.Thread(target=self._watch, name="hookgate watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End watching."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _tick(self) -> None:
        self._beat = time.monotonic()
        if not self._ended.is_set() and self._loop is not None:
            self._loop.call_later(self.patience / 4, self._tick)

    def _watch(self) -> None:
        while not self._ended.wait(self.patience / 4):
            beat = self._beat
            late = time.monotonic() - beat
            if late > self.patience and beat != self._reported:
                self._reported = beat
                self._report(late)

    def _report(self, late: float) -> None:
        frame = sys._current_frames().get(self._thread_id)
        found = culprit(frame)
        if found is None:
            log.warning("the event loop has stood still for %.1f s, outside of any plugin", late)
            return
        plugin, frame = found
        log.warning(
            "plugin %s has blocked every call for %.1f s in %s; make that hook async, or move the work to a thread\n%s",
            plugin.entry.id,
            late,
            frame.f_code.co_name,
            "".join(traceback.format_stack(sys._current_frames().get(self._thread_id))[-3:]),
        )


def culprit(frame: FrameType | None) -> tuple[Plugin[object], FrameType] | None:  # type: ignore[type-var]
    """Find the outermost plugin method on a stack."""
    found = None
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, Plugin):
            found = (owner, frame)
        frame = frame.f_back
    return found
