"""Counts limits in the memory of this process."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice

from pydantic import Field

from hookgate import CounterStore, Decision, Host, Limit, Options, hookimpl

_LENGTH = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}


_FIRST_MONDAY = 4 * 86_400
"""Unix time of 1970-01-05: the epoch began on a Thursday, and weeks begin on Mondays (ISO 8601)."""


_ROUNDING = 1e-6
"""Part of one unit that is forgiven, so that sums of floating-point intervals do not cost anybody a call."""


_Slot = tuple[str, str]
"""Key, and the name of the calendar window or nothing."""


_State = tuple[float, int]
"""Evenly spread: when all of it is there again (the "theoretical arrival time" of GCRA) by ``clock.now()``, and 0.
Calendar window: its end in Unix time, and the units used."""


_NOTHING: Mapping[_Slot, _State | None] = {}


class LocalOptions(Options):
    """How much is remembered."""

    max_keys: int = Field(default=100_000, ge=1)
    """Counters that are kept at most. Those that are whole again are dropped, and beyond this the one that nobody asked
    for longest."""


class Local(CounterStore[LocalOptions]):
    """Counts limits in the memory of this process: a restart begins anew, and every process counts for itself.

    A key means one counter for each kind of limit: evenly spread, or per calendar window of one length. Where the
    amount of a limit changes, or these options do, it goes on with what was counted. For one thread; nothing waits.
    """

    def __init__(self, options: LocalOptions) -> None:
        super().__init__(options)
        self._max_keys = options.max_keys
        self._counted: OrderedDict[_Slot, _State] = OrderedDict()
        """Those asked for last stand last."""
        self._windows: dict[str, tuple[float, float]] = {}
        """Start and end of the calendar windows looked at last, in Unix time."""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Go by the clock of the house."""
        self._clock = host.clock

    @hookimpl
    def take_over(self, old: Local) -> None:
        """Go on with what was counted."""
        self._counted = old._counted

    def __len__(self) -> int:
        return len(self._counted)

    @hookimpl
    def take(self, wants: Sequence[tuple[str, int, Limit]]) -> Decision:
        """Take units from every (key, cost, limit) or, when one refuses, from none of them (KC-32).

        Raises:
            ValueError: nothing is wanted, or a cost is below 0.
        """
        if len(wants) == 1:  # by far the most common, and half the work
            key, cost, limit = wants[0]
            decision, slot, after = self._look(key, cost, limit, _NOTHING)
            self._keep(slot, after)
            return decision
        taken: dict[_Slot, _State | None] = {}
        tightest: Decision | None = None
        least = math.inf
        for key, cost, limit in wants:
            decision, slot, after = self._look(key, cost, limit, taken)
            if not decision.allowed:
                self._keep(slot, self._counted.get(slot))
                return decision
            taken[slot] = after
            share = decision.remaining / (limit.burst or limit.amount)
            if share < least:
                tightest, least = decision, share
        if tightest is None:
            raise ValueError("a take wants at least one limit")
        for slot, after in taken.items():
            self._keep(slot, after)
        return tightest

    def _look(
        self, key: str, cost: int, limit: Limit, taken: Mapping[_Slot, _State | None]
    ) -> tuple[Decision, _Slot, _State | None]:
        """Decide on one want and return what is to be kept if all is well, given what wants before it have taken.

        For an evenly spread limit time is the unit: each call uses up an interval, and the clock gives it back.
        """
        if cost < 0:
            raise ValueError(f"a take costs 0 or more, not {cost}")
        window = limit.window
        if isinstance(window, str):
            return self._look_calendar(key, cost, limit, window, taken)
        slot = (key, "")
        state = taken[slot] if taken and slot in taken else self._counted.get(slot)
        now = self._clock.now()
        capacity = limit.burst or limit.amount
        interval = window / limit.amount
        full = interval * capacity
        used = 0.0
        if state is not None and state[0] > now:
            # Never more than all of it, also where it was used up under a limit with a longer window.
            used = min(state[0] - now, full)
        wanted = used + cost * interval
        left = (full - wanted) / interval + _ROUNDING
        if left >= 0:
            after = (now + wanted, 0) if cost else state
            return Decision(True, limit, int(left), wanted, 0.0, key), slot, after
        retry = wanted - full if cost <= capacity else math.inf
        return Decision(False, limit, int((full - used) / interval + _ROUNDING), used, retry, key), slot, state

    def _look_calendar(
        self, key: str, cost: int, limit: Limit, window: str, taken: Mapping[_Slot, _State | None]
    ) -> tuple[Decision, _Slot, _State | None]:
        slot = (key, window)
        state = taken[slot] if taken and slot in taken else self._counted.get(slot)
        wall = self._clock.wall()
        start, end = self._windows.get(window, (0.0, 0.0))
        if not start <= wall < end:
            start, end = self._windows[window] = calendar_window(window, wall)
        used = state[1] if state is not None and state[0] == end else 0
        left = max(limit.amount - used, 0)  # below 0 where the limit was lowered within the window
        whole = end - wall
        if cost <= left:
            after = (end, used + cost) if cost else state
            return Decision(True, limit, left - cost, whole if used + cost else 0.0, 0.0, key), slot, after
        retry = whole if cost <= limit.amount else math.inf
        return Decision(False, limit, left, whole if used else 0.0, retry, key), slot, state

    def _keep(self, slot: _Slot, state: _State | None) -> None:
        """Store a state as the one asked for last; for a new one, drop what is whole again or too much.

        Only the two oldest are looked at, so that no call pays for a sweep over all of them.
        """
        counted = self._counted
        if slot in counted:
            if state is not None:
                counted[slot] = state
            counted.move_to_end(slot)
            return
        if state is None:
            return
        counted[slot] = state
        for oldest, (until, _) in list(islice(counted.items(), 2)):
            now = self._clock.wall() if oldest[1] else self._clock.now()
            if until > now and len(counted) <= self._max_keys:
                break
            del counted[oldest]


def calendar_window(window: str, wall: float) -> tuple[float, float]:
    """Return start and end of the calendar window that a moment lies in, all in Unix time (FL-40).

    Windows follow UTC; a week begins on Monday, and a month is as long as the calendar has it.
    """
    if window == "month":
        first = datetime.fromtimestamp(wall, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        after = (
            first.replace(year=first.year + 1, month=1) if first.month == 12 else first.replace(month=first.month + 1)
        )
        return first.timestamp(), after.timestamp()
    length = _LENGTH[window]
    offset = _FIRST_MONDAY if window == "week" else 0
    start = (wall - offset) // length * length + offset
    return start, start + length
