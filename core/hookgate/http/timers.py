"""Time-outs of many connections from one coarse timer.

A timer for each request would cost more than reading it. Here a connection only moves its ``deadline``; the wheel looks
at it when the deadline it knew of has come, and comes back later if it was moved meanwhile. So a time-out comes up to
one tick late, and never early.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

log = logging.getLogger("hookgate")

TICK = 0.1
"""Seconds between two looks at the wheel."""
NEVER = float("inf")


class Timed(Protocol):
    """What a wheel looks after."""

    deadline: float
    """Time of the event loop at which it expires; ``NEVER`` if at no time."""
    looked_at: float
    """Kept by the wheel: when it will look; ``NEVER`` if it will not."""

    def expired(self, now: float) -> None:
        """The deadline has come. Whoever wants another one sets it here."""


class Wheel:
    """The timer of one event loop. It runs only while it has something to look after."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, list[Timed]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._turned = 0
        """The last slot that was looked at."""

    def set(self, timed: Timed, deadline: float) -> None:
        """Have something expire at a time of the loop, in place of the time set before."""
        timed.deadline = deadline
        if deadline < timed.looked_at:
            self._place(timed, deadline)

    def _place(self, timed: Timed, deadline: float) -> None:
        timed.looked_at = deadline
        if self._timer is None:
            self._turned = int(self._loop.time() / TICK)
            self._timer = self._loop.call_later(TICK, self._turn)
        slot = max(int(deadline / TICK) + 1, self._turned + 1)
        self._slots.setdefault(slot, []).append(timed)

    def _turn(self) -> None:
        now = self._loop.time()
        reached = int(now / TICK)
        due = [self._slots.pop(slot) for slot in range(self._turned + 1, reached + 1) if slot in self._slots]
        self._turned = reached
        self._timer = self._loop.call_later(TICK, self._turn) if self._slots or due else None
        for timed in [each for slot in due for each in slot]:
            self._look(timed, now)

    def _look(self, timed: Timed, now: float) -> None:
        if timed.looked_at > now:  # it was placed anew, in an earlier slot, and then in a later one
            return
        timed.looked_at = NEVER
        if timed.deadline <= now:
            timed.deadline = NEVER
            try:
                timed.expired(now)
            except Exception:
                log.exception("a time-out could not be dealt with")
        if timed.deadline != NEVER and timed.looked_at == NEVER:
            self._place(timed, timed.deadline)


_wheels: dict[asyncio.AbstractEventLoop, Wheel] = {}


def wheel(loop: asyncio.AbstractEventLoop) -> Wheel:
    """Return the wheel of an event loop."""
    found = _wheels.get(loop)
    if found is None:
        for over in [each for each in _wheels if each.is_closed()]:
            del _wheels[over]  # with all that it looked after
        found = _wheels[loop] = Wheel(loop)
    return found
