"""What counters that gateways share have in common: under what they count, and what a count means for a call."""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import sha256

from hookgate import Decision, Limit

Want = tuple[str, int, Limit]
"""Key, cost and limit."""
ROUNDING = 1e-6
"""Part of one unit that is forgiven, so that sums of floating-point intervals do not cost anybody a call."""


def slot_of(key: str, limit: Limit) -> bytes:
    """Return under what is counted: of a fixed length, and nothing that tells of a caller. Calendar windows of one
    length are one slot, and all evenly spread limits of a key are one."""
    window = limit.window if isinstance(limit.window, str) else ""
    return sha256(f"{window}/{key}".encode("utf-8", "surrogatepass")).digest()


def spread_of(limit: Limit) -> tuple[float, float]:
    """Return the seconds that one unit takes to come back, and those until all of it has; 0 and the amount for a
    calendar window, in which nothing comes back before its end."""
    if isinstance(limit.window, str):
        return 0.0, float(limit.amount)
    interval = limit.window / limit.amount
    return interval, interval * (limit.burst or limit.amount)


def decided(want: Want, before: float, rest: float, *, allowed: bool) -> Decision:
    """Return what a take came to for one limit.

    Args:
        want: What was wanted.
        before: What was used up before it: units of a calendar window, or else seconds until all was there again.
        rest: Seconds until the calendar window ends; not looked at for evenly spread limits.
        allowed: Whether it was taken.
    """
    key, cost, limit = want
    interval, most = spread_of(limit)
    capacity = limit.burst or limit.amount
    if not interval:
        left = max(int(most - before), 0)  # below 0 where the limit was lowered within the window
        if allowed:
            return Decision(True, limit, left - cost, rest if before + cost else 0.0, 0.0, key)
        return Decision(False, limit, left, rest if before else 0.0, rest if cost <= capacity else math.inf, key)
    used = before + cost * interval
    if allowed:
        return Decision(True, limit, int((most - used) / interval + ROUNDING), used, 0.0, key)
    retry = used - most if cost <= capacity else math.inf
    return Decision(False, limit, int((most - before) / interval + ROUNDING), before, retry, key)


def tightest(decisions: Iterable[Decision]) -> Decision:
    """Return the one with the lowest remaining share."""
    return min(decisions, key=lambda each: each.remaining / (each.limit.burst or each.limit.amount))
