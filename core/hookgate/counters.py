"""Counting calls against limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

CalendarWindow = Literal["second", "minute", "hour", "day", "week", "month"]


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of something is allowed in how long."""

    amount: int
    """Units allowed in one window, at least 1."""
    window: float | CalendarWindow
    """Seconds for an evenly spread limit (GCRA), or the name of a calendar window, which starts and ends by the clock."""
    burst: int | None = None
    """GCRA only: units that may come at once; default: ``amount``."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a take came to; of several limits, the tightest one."""

    allowed: bool
    limit: Limit
    remaining: int
    """Units left now."""
    reset: float
    """Seconds until the limit is whole again."""
    retry_after: float
    """Seconds until the same take could succeed; 0 when it was allowed."""
    key: str = ""
    """Key of the limit that decided."""


class Counters(Protocol):
    """Where limits are counted."""

    def take(self, wants: Sequence[tuple[str, int, Limit]]) -> Decision:
        """Take units from every (key, cost, limit) or, when one refuses, from none of them."""
