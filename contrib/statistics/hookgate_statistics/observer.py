"""The observer ``statistics``: counts calls in memory, and writes the counts every few seconds."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from hookgate import Duration, Exchange, Host, MachineError, Observer, Options, Secret, hookimpl
from hookgate_statistics.cells import Counts, Minutes
from hookgate_statistics.flushing import Flushing
from hookgate_statistics.keeping import add, ask, forget
from hookgate_statistics.questions import Answer, Question
from hookgate_statistics.tables import REVISION
from hookgate_statistics.writer import Writer


class StatisticsOptions(Options):
    """Options of `statistics`."""

    url: Secret | None = None
    """The database: `sqlite:///FILE` or `postgresql://user:password@host/name`; that of the store will do. Left out:
    the file `statistics.db` in the folder that systemd's `StateDirectory=` provides, else in `$XDG_STATE_HOME/hookgate`
    or `~/.local/state/hookgate`, which is made."""
    flush: Duration = Field(default=10.0, ge=0.1, le=3600)
    """Seconds between two writings: what a crash loses at most."""
    most: int = Field(default=1000, ge=1, le=20_000)
    """Combinations of dimensions that are told apart in a minute; of an hour or a day these are those with most calls.
    Of those beyond, application, user and target are counted together as `(other)`."""
    waiting: int = Field(default=20_000, ge=100, le=1_000_000)
    """Combinations that wait in memory while the database is away, counted for each minute. Beyond, the oldest minutes
    are dropped."""
    keep_minutes: Duration = Field(default=2 * 86400.0, gt=0)
    """Seconds that counts by minute are kept."""
    keep_hours: Duration = Field(default=62 * 86400.0, gt=0)
    """Seconds that counts by hour are kept."""
    keep_days: Duration = Field(default=800 * 86400.0, gt=0)
    """Seconds that counts by day are kept."""


class Statistics(Observer[StatisticsOptions]):
    """Counts calls, errors, bytes and latencies by API, version, operation, application, user, route and target.

    Counting takes a few microseconds of a call. A thread of its own adds the counts to a database every few seconds, to
    minutes, hours and days at once; several gateways may share it. No call waits for it: while it is away counts gather
    in memory up to a bound, and health and the metric `hookgate_statistics_lost_total` say so. Ask with
    `hookgate statistics` or `GET /-/api/statistics`.
    """

    _counts: Counts | None = None
    _flushing: Flushing[Minutes] | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Start the thread, which opens the database, and begin to count."""
        options, self._clock = self.options, host.clock
        self._counts = counts = Counts(host.clock.wall, most=options.most, waiting=options.waiting)
        keep = {60: options.keep_minutes, 3600: options.keep_hours, 86400: options.keep_days}
        self._flushing = Flushing(
            host,
            "statistics",
            counts,
            Writer(_default_url() if options.url is None else options.url.reveal(), "statistics", REVISION),
            add=lambda database, name, number, at, minutes: add(database, name, number, at, minutes, options.most),
            forget=lambda database, now: forget(database, now, keep),
            pause=options.flush,
            waiting=options.waiting,
        )
        about = "Calls whose counts were dropped, since they could not be written for too long."
        host.metrics.counter("statistics_lost_total", about, read=lambda: counts.lost)
        about = "Calls that were counted as (other), since there are too many combinations."
        host.metrics.counter("statistics_folded_total", about, read=lambda: counts.folded)
        host.start("writing", self._flushing.run())

    @hookimpl
    async def shutdown(self) -> None:
        """Write what is left, if the database takes it soon."""
        if self._flushing is not None:
            await self._flushing.stop()

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None:
        """Count a call."""
        assert self._counts is not None, "startup comes first"
        self._counts.count(exchange)

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say what waits and what is wrong."""
        flushing = self._flushing
        waiting = 0 if flushing is None or flushing.pending is None else sum(map(len, flushing.pending.values()))
        told: dict[str, Any] = {"waiting": waiting, "lost": 0 if self._counts is None else self._counts.lost}
        return told | {"problems": [flushing.trouble]} if flushing is not None and flushing.trouble else told

    async def ask(
        self, question: Question, own: str | None = None, has: Callable[[str], bool] | None = None
    ) -> list[Answer]:
        """Answer a question, with what has been counted until now. With ``own`` only of calls of that user, with
        ``has`` only of APIs and routes that it has.

        Raises:
            TooMuch: it would take too many rows.
            StoreError: the database is away.
        """
        assert self._flushing is not None, "startup comes first"
        return await self._flushing.ask(lambda database: ask(database, question, own, has))

    def resolution(self, since: float, until: float) -> int:
        """Choose what is read for a time: minutes up to six hours, hours up to sixty days, if they are still there."""
        age, length = self._clock.wall() - since, until - since
        if length <= 6 * 3600 and age <= self.options.keep_minutes:
            return 60
        return 3600 if length <= 60 * 86400 and age <= self.options.keep_hours else 86400


def statistics_of(host: Host) -> Statistics | None:
    """Return the observer that is live in a gateway, if there is one."""
    found = host.find(Statistics)
    return found[-1] if found else None


def _default_url() -> str:
    """Return a file in the folder for what a program of this user keeps: systemd's, or as the XDG ones have it."""
    if provided := os.environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return f"sqlite:///{Path(provided) / 'statistics.db'}"
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        folder = (Path(state) if state.startswith("/") else Path.home() / ".local" / "state") / "hookgate"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise MachineError(f"there is no folder for statistics.db: {error}; set the option url") from None
    return f"sqlite:///{folder / 'statistics.db'}"
