"""Cells that wait."""

from __future__ import annotations

import asyncio
import re

from hookgate import Options, hookimpl
from hookgate_workflows.family import Cell, Done, Node, NodeFailed, Pause
from hookgate_workflows.templating import Template

SHORT = 20.0
"""Seconds below which a timer runs without putting the instance down."""
LONGEST = 366 * 86400.0
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0, "h": 3600.0}
_UNITS |= {"hour": 3600.0, "d": 86400.0, "day": 86400.0, "w": 604800.0, "week": 604800.0}
_PART = re.compile(r"\s*(\d{1,9}(?:\.\d{1,6})?)\s*([a-z]*)\s*", re.ASCII)


def seconds_of(text: str) -> float:
    """Return how long a duration is, in seconds: ``2 sec``, ``3 min``, ``1h 30m``, or a number of seconds.

    Raises:
        ValueError: it is none.
    """
    at, total = 0, 0.0
    lower = text.strip().lower()
    while at < len(lower):
        found = _PART.match(lower, at)
        unit = "" if found is None else found[2] or "s"
        factor = _UNITS.get(unit) or _UNITS.get(unit.removesuffix("s"))
        if found is None or factor is None:
            raise ValueError(f"{text[:50]!r} is no duration: write it like 2 sec, 3 min, 1 h or 2 days")
        total += float(found[1]) * factor
        at = found.end()
    if not lower or total > LONGEST:
        raise ValueError(f"{text[:50]!r} is no duration of at most a year: write it like 2 sec, 3 min, 1 h or 2 days")
    return total


class TimerOptions(Options):
    """Parameters of `timer`."""

    timeout: Template
    """How long: `2 sec`, `3 min`, `1 h`."""
    discard_idle_limit: bool = False
    """Put the instance down even for less than 20 seconds."""


class Timer(Node[TimerOptions]):
    """Waits. For less than 20 seconds it does so at once, as part of the run; for longer the instance is put down, and
    goes on in any process."""

    slow = True

    @property
    def pauses(self) -> bool:
        """Whether it is long; who writes a template may mean either."""
        said = self.options.timeout.compiled
        if self.options.discard_idle_limit or not said.constant:
            return True
        try:
            return seconds_of(said.source) >= SHORT
        except ValueError:
            return True

    @hookimpl
    async def run(self, cell: Cell) -> Done | Pause:
        """Wait."""
        if cell.is_resumed:
            return Done()
        try:
            seconds = seconds_of(await cell.text(self.options.timeout))
        except ValueError as error:
            raise NodeFailed(str(error)) from None
        cell.given(seconds=seconds)
        if seconds < SHORT and not self.options.discard_idle_limit:
            await asyncio.sleep(seconds)
            return Done()
        return Pause(cell.host.clock.wall() + seconds, reason=f"the timer {cell.name} runs")
