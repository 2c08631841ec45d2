"""Counting calls against limits.

A limit with a number of seconds is *evenly spread*: it is the generic cell rate algorithm (GCRA, ITU-T I.371), a bucket
that holds ``burst`` units and fills at ``amount / window`` a second, kept as one time stamp. A limit with the name of a
calendar window counts from the start of the minute, hour, … by the UTC clock, and starts again at its end (FL-40).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

CalendarWindow = Literal["second", "minute", "hour", "day", "week", "month"]
"""What a limit may count in beside seconds; weeks begin on Mondays."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much of something is allowed in how long.

    Raises:
        ValueError: an amount or burst below 1, a window that is not above 0, an unknown calendar window, or a burst
            with a calendar window.
    """

    amount: int
    """Units allowed in one window, at least 1."""
    window: float | CalendarWindow
    """Seconds for an evenly spread limit (GCRA), or the name of a calendar window, which follows the clock."""
    burst: int | None = None
    """GCRA only: units that may come at once; default: ``amount``."""

    def __post_init__(self) -> None:
        if self.amount < 1:
            raise ValueError(f"a limit allows at least 1 in a window, not {self.amount}")
        if isinstance(self.window, str):
            if self.window not in get_args(CalendarWindow):
                raise ValueError(
                    f"{self.window!r} is not a window; write seconds or {', '.join(get_args(CalendarWindow))}"
                )
            if self.burst is not None:
                raise ValueError(f"burst goes with a window in seconds; a calendar window ({self.window}) has none")
        elif not 0 < self.window < math.inf:
            raise ValueError(f"a window is longer than 0 seconds and not endless, not {self.window}")
        if self.burst is not None and self.burst < 1:
            raise ValueError(f"a burst is at least 1, not {self.burst}")


class Decision(NamedTuple):
    """What a take came to: of the limit that refused it, or of the tightest one (lowest remaining share)."""

    allowed: bool
    limit: Limit
    remaining: int
    """Units left now."""
    reset: float
    """Seconds until the limit is whole again."""
    retry_after: float
    """Seconds until the same take could succeed; 0 when it was allowed, infinite for more than it ever allows."""
    key: str = ""
    """Key of the limit that decided."""


class Counters(Protocol):
    """Where limits are counted."""

    def take(self, wants: Sequence[tuple[str, int, Limit]]) -> Decision | Awaitable[Decision]:
        """Take units from every (key, cost, limit) or, when one refuses, from none of them (KC-32).

        The first limit that refuses decides. A cost of 0 only looks. Counters that others share have to be awaited.
        """
