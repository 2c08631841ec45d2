"""When something is due: cron in a time zone, over the hours that daylight saving skips and doubles.

An hour that is skipped: what is due at a fixed time in it is due when it is over. One that is doubled: what is due at a
fixed time in it is due once, the first time; what has `*` for its hours is due in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

WINDOWS = (7200.0, 2 * 86_400.0, 40 * 86_400.0, 400 * 86_400.0, 50 * 366 * 86_400.0)
"""Seconds before now in which the last time is looked for, one after the other."""


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name[:100]!r}; write one such as Europe/Vienna, or UTC") from None


class Times:
    """The times at which a schedule is due."""

    def __init__(self, cron: str, zone: str) -> None:
        self._cron, self._zone = cron, zone_of(zone)
        if len(cron.split()) != 5:
            raise ValueError(f"{cron!r} is no cron: write minute hour day month weekday")
        try:
            self.after(0.0, 1)
        except CronSimError as error:
            raise ValueError(f"{cron!r} is no cron: {error}") from None

    def shown(self, due: float) -> str:
        """Return a time as people in the time zone write it (RFC 3339)."""
        return datetime.fromtimestamp(due, self._zone).isoformat()

    def _behind(self, since: float) -> Iterator[float]:
        begin = datetime.fromtimestamp(since, self._zone)
        for found in CronSim(self._cron, begin):
            if (due := found.timestamp()) > since:
                yield due

    def after(self, since: float, count: int) -> list[float]:
        """Return the next times, in Unix seconds, as many as there are."""
        found = self._behind(since)
        return [due for _, due in zip(range(count), found, strict=False)]

    def last(self, since: float, now: float) -> float | None:
        """Return the last time that is behind ``since`` and not in the future."""
        for window in WINDOWS:  # what is due often is found in the first one, and years are not walked through
            begin, last = max(since, now - window), None
            for due in self._behind(begin):
                if due > now:
                    break
                last = due
            if last is not None or begin == since:
                return last
        return None
