"""The section ``watchdog``: it is there in every document, and names the hook that keeps everybody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pydantic import Field

from hookgate import Duration, Host, Item, Options, Section, hookimpl
from hookgate_watchdog.watch import Watch

__all__ = ["WatchdogOptions", "Watchdogs"]


class WatchdogOptions(Options):
    """Who is told of hooks that block every call."""

    patience: Duration = Field(default=1.0, ge=0.05, le=86400)
    """Seconds that the event loop may stand still before the log names the plugin."""


class Watchdogs(Section[WatchdogOptions]):
    """Names plugins that block every call, in the log of `hookgate.watchdog`."""

    shape = "record"

    def __init__(self, items: Sequence[Item[WatchdogOptions]] = ()) -> None:
        super().__init__(items)
        self._watch = Watch(self.record.patience)

    @hookimpl
    async def startup(self, host: Host) -> None:
        """Watch the loop that calls are served in."""
        self._watch.start(asyncio.get_running_loop())

    @hookimpl
    async def shutdown(self) -> None:
        """End watching."""
        await asyncio.to_thread(self._watch.stop)
