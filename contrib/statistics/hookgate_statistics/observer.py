"""The observer ``statistics``: counts calls in memory, and writes the counts every few seconds."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import Field

from hookgate import Duration, Exchange, Host, MachineError, Observer, Options, Secret, hookimpl
from hookgate_statistics.cells import Counts, Minutes
from hookgate_statistics.keeping import add, ask, forget
from hookgate_statistics.questions import Answer, Question
from hookgate_statistics.writer import Writer
from hookgate_storage import StoreError

STOP = 5.0
"""Seconds that the last writing may take when the gateway stops."""
FRESH = 2.0
"""Seconds that an answer waits for what has just been counted."""
FORGETTING = 600.0
"""Seconds between two looks for what is too old. The clock must have been steady for so long, too."""
STEADY = 60.0
"""Seconds by which the clock may be set without being called unsteady."""


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

    _writer: Writer | None = None

    def __init__(self, options: StatisticsOptions) -> None:
        super().__init__(options)
        self._counts: Counts | None = None
        self._pending: Minutes | None = None
        self._name, self._number = secrets.token_hex(16), 0
        self._trouble = ""
        self._turn = asyncio.Lock()
        self._offset = self._steady = self._forgot = 0.0

    @hookimpl
    def startup(self, host: Host) -> None:
        """Start the thread, which opens the database, and begin to count."""
        options, self._clock, self._log = self.options, host.clock, host.log
        self._counts = counts = Counts(host.clock.wall, most=options.most, waiting=options.waiting)
        self._offset, self._steady = host.clock.wall() - host.clock.now(), host.clock.now()
        self._writer = Writer(_default_url() if options.url is None else options.url.reveal())
        about = "Calls whose counts were dropped, since they could not be written for too long."
        host.metrics.counter("statistics_lost_total", about, read=lambda: counts.lost)
        about = "Calls that were counted as (other), since there are too many combinations."
        host.metrics.counter("statistics_folded_total", about, read=lambda: counts.folded)
        host.start("writing", self._write())

    @hookimpl
    async def shutdown(self) -> None:
        """Write what is left, if the database takes it soon."""
        writer, counts = self._writer, self._counts
        if writer is None or counts is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP):
                while await self._flush():
                    pass
        self._writer = None
        await writer.close(STOP)
        before = counts.lost
        for left in (self._pending or {}, counts.take()):
            counts.drop(left, 0)
        if counts.lost > before:
            self._log.error("statistics of %d calls could not be written: %s", counts.lost - before, self._trouble)

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None:
        """Count a call."""
        assert self._counts is not None, "startup comes first"
        self._counts.count(exchange)

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say what waits and what is wrong."""
        waiting = 0 if self._pending is None else sum(map(len, self._pending.values()))
        told: dict[str, Any] = {"waiting": waiting, "lost": 0 if self._counts is None else self._counts.lost}
        return told | {"problems": [self._trouble]} if self._trouble else told

    async def ask(
        self, question: Question, own: str | None = None, has: Callable[[str], bool] | None = None
    ) -> list[Answer]:
        """Answer a question, with what has been counted until now. With ``own`` only of calls of that user, with
        ``has`` only of APIs and routes that it has.

        Raises:
            TooMuch: it would take too many rows.
            StoreError: the database is away.
        """
        if self._writer is None:
            raise StoreError("statistics are about to stop")
        with suppress(TimeoutError):
            async with asyncio.timeout(FRESH):
                await self._flush()
        return await self._writer.do(lambda database: ask(database, question, own, has))

    def resolution(self, since: float, until: float) -> int:
        """Choose what is read for a time: minutes up to six hours, hours up to sixty days, if they are still there."""
        age, length = self._clock.wall() - since, until - since
        if length <= 6 * 3600 and age <= self.options.keep_minutes:
            return 60
        return 3600 if length <= 60 * 86400 and age <= self.options.keep_hours else 86400

    async def _write(self) -> None:
        while True:
            await self._clock.sleep(self.options.flush)
            await self._flush()
            await self._forget()

    async def _flush(self) -> bool:
        """Write a batch; return whether there was one, and it was written."""
        writer, counts = self._writer, self._counts
        assert writer is not None, "startup comes first"
        assert counts is not None, "startup comes first"
        async with self._turn:
            if not self._pending:
                self._pending = counts.take()
                self._number += 1
            if not self._pending:
                return False
            pending, number, at = self._pending, self._number, self._clock.wall()
            try:
                await writer.do(lambda database: add(database, self._name, number, at, pending, self.options.most))
            except Exception as error:  # noqa: BLE001 - whatever it is, no count is to be lost for it
                if str(error) != self._trouble:
                    self._log.warning("statistics wait: %s", error)
                self._trouble = str(error) or type(error).__name__
                counts.drop(pending, self.options.waiting)
                return False
            self._pending, self._trouble = None, ""
            return True

    async def _forget(self) -> None:
        """Remove what is too old, unless the clock has been set a while ago: it may be wrong."""
        now, wall = self._clock.now(), self._clock.wall()
        if abs(wall - now - self._offset) > STEADY:
            self._offset, self._steady = wall - now, now
        if now - max(self._steady, self._forgot) < FORGETTING or self._writer is None:
            return
        self._forgot, options = now, self.options
        keep = {60: options.keep_minutes, 3600: options.keep_hours, 86400: options.keep_days}
        with suppress(StoreError):  # told by the next writing
            await self._writer.do(lambda database: forget(database, wall, keep))


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
