"""Cells that wait."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from hookgate import Options, hookimpl
from hookgate_workflows.family import STOPPED, Cell, Done, Node, NodeFailed, Pause
from hookgate_workflows.nodes.setting import ContextKey
from hookgate_workflows.templating import Template

SHORT = 20.0
"""Seconds below which a timer runs without putting the instance down."""
STOPPED_OUTPUT = "stopped"
"""Where a timer goes on that somebody has ended."""
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
    goes on in any process. Where `stop_timer` ends it, it goes on at `stopped`, if that leads anywhere."""

    slow = True
    outputs = ("ok", STOPPED_OUTPUT)
    quiet = (STOPPED_OUTPUT,)

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
            return Done(STOPPED_OUTPUT if cell.resumed == STOPPED else "ok")
        try:
            seconds = seconds_of(await cell.text(self.options.timeout))
        except ValueError as error:
            raise NodeFailed(str(error)) from None
        cell.given(seconds=seconds)
        if seconds < SHORT and not self.options.discard_idle_limit:
            return Done() if await cell.rest(seconds) else Done(STOPPED_OUTPUT)
        return Pause(cell.host.clock.wall() + seconds, reason=f"the timer {cell.name} runs")


class ContextTimerOptions(Options):
    """Parameters of `context_timer`."""

    context_key: ContextKey
    """The key of the context that has the time: a date with a time and its zone, `2030-01-31T08:00:00+01:00`, a number
    of seconds since 1970, or a duration such as `3 min`."""


class ContextTimer(Node[ContextTimerOptions]):
    """Waits until a time that the context has. One that is over is waited for no more. `stop_timer` ends it."""

    outputs = ("ok", STOPPED_OUTPUT)
    quiet = (STOPPED_OUTPUT,)
    pauses = True

    @hookimpl
    async def run(self, cell: Cell) -> Done | Pause:
        """Wait."""
        if cell.is_resumed:
            return Done(STOPPED_OUTPUT if cell.resumed == STOPPED else "ok")
        key = self.options.context_key
        if key not in cell.context:
            raise NodeFailed(f"the context has no {key!r}, which should say how long the timer runs")
        now = cell.host.clock.wall()
        try:
            until = time_of(cell.context[key], now)
        except ValueError as error:
            raise NodeFailed(f"{key}: {error}") from None
        cell.given(until=datetime.fromtimestamp(until, UTC).isoformat())
        return Done() if until <= now else Pause(until, reason=f"the timer {cell.name} runs")


def time_of(value: Any, now: float) -> float:
    """Return the Unix time that a value says.

    Raises:
        ValueError: it says none, or one that is more than a year away.
    """
    found = None
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = float(value)
    elif isinstance(value, str):
        try:
            at = datetime.fromisoformat(value.strip())
        except ValueError:
            found = now + seconds_of(value)
        else:
            if at.tzinfo is None:
                raise ValueError(f"{value[:50]!r} has no time zone: end it with Z or +01:00")
            found = at.timestamp()
    if found is None or not found == found or not 0 <= found <= now + LONGEST:  # noqa: PLR0124 - NaN
        raise ValueError("is no time within a year: write 2030-01-31T08:00:00Z, or 3 min")
    return found


class StopTimerOptions(Options):
    """Parameters of `stop_timer`."""

    target_id: Annotated[str, Field(min_length=1, max_length=100)]
    """The name of the cell whose timer is ended."""


class StopTimer(Node[StopTimerOptions]):
    """Ends a timer that runs: it goes on at `stopped`, if that leads anywhere, and not at `ok`. Where none runs,
    nothing happens, and a message says so."""

    @property
    def refers(self) -> tuple[str, ...]:
        """The timer."""
        return (self.options.target_id,)

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """End it."""
        if not cell.stop(self.options.target_id):
            cell.message(f"no timer of the cell {self.options.target_id} runs")
        return Done()
