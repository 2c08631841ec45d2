"""The observer ``usage``: counts what subscriptions use, and writes it every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from hookgate import Duration, Exchange, Host, MachineError, Observer, Options, Secret, hookimpl
from hookgate_statistics import Flushing, Writer
from hookgate_storage import Storage
from hookgate_usage.folding import Batch, Folding
from hookgate_usage.keeping import Question, Row, add, ask, forget
from hookgate_usage.tables import REVISION


class UsageOptions(Options):
    """Options of `usage`."""

    url: Secret | None = None
    """The database: `sqlite:///FILE` or `postgresql://user:password@host/name`. Left out, that of the store."""
    flush: Duration = Field(default=5.0, ge=0.1, le=3600)
    """Seconds between two writings: a process that is killed loses the calls of so many seconds at most, while the
    database answers."""
    waiting: int = Field(default=100_000, ge=100, le=1_000_000)
    """Records that wait in memory at most while the database is away: one for each day, subscription, API and tier.
    Beyond, the oldest days are dropped, and calls under new records are not counted."""
    keep: Duration = Field(default=800 * 86_400.0, ge=62 * 86_400.0)
    """Seconds that usage is kept."""


class UsageObserver(Observer[UsageOptions]):
    """Counts calls, faults, refusals by limits and bytes for each subscription, by API, version, tier and day.

    Calls belong to a subscription where a step `subscription` has found one and left it in `vars.subscription`; others
    are not counted. Counting takes a few microseconds of a call. A thread of its own adds the counts to a database
    every few seconds, each batch once; several gateways may share it. No call waits for it: while it is away counts
    gather in memory up to a bound. `/-/health` says how many calls are not written yet, which is what a kill would
    lose, and how many were lost, as does the metric `hookgate_usage_lost_total`.
    """

    _folding: Folding | None = None
    _flushing: Flushing[Batch] | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Start the thread, which opens the database, and begin to count.

        Raises:
            MachineError: no database is named, and there is no store.
        """
        options = self.options
        self._folding = folding = Folding(host.clock.wall, options.waiting)
        self._flushing = Flushing(
            host,
            "usage",
            folding,
            Writer(_url_of_store(host) if options.url is None else options.url.reveal(), "usage", REVISION),
            add=add,
            forget=lambda database, now: forget(database, now, options.keep),
            pause=options.flush,
            waiting=options.waiting,
        )
        about = "Calls of subscriptions whose usage was dropped, since it could not be written for too long."
        host.metrics.counter("usage_lost_total", about, read=lambda: folding.lost)
        host.start("writing", self._flushing.run())

    @hookimpl
    async def shutdown(self) -> None:
        """Write what is left, if the database takes it soon."""
        if self._flushing is not None:
            await self._flushing.stop()

    @hookimpl
    def exchange_finished(self, exchange: Exchange) -> None:
        """Count a call."""
        assert self._folding is not None, "startup comes first"
        self._folding.count(exchange)

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say how many calls a kill would lose, and what is wrong."""
        folding, flushing = self._folding, self._flushing
        if folding is None or flushing is None:
            return None
        waiting = sum(each.calls for each in (flushing.pending or {}).values())
        told: dict[str, Any] = {"unwritten_calls": folding.unwritten + waiting, "lost_calls": folding.lost}
        return told | {"problems": [flushing.trouble]} if flushing.trouble else told

    async def ask(
        self, question: Question, own: str | None = None, has: Callable[[str], bool] | None = None
    ) -> list[Row]:
        """Answer a question, with what has been counted until now. With ``own`` only of subscriptions of that owner,
        with ``has`` only of the names of a tenant.

        Raises:
            TooMuch: it would take too many rows.
            StoreError: the database is away.
        """
        assert self._flushing is not None, "startup comes first"
        return await self._flushing.ask(lambda database: ask(database, question, own, has))


def usage_of(host: Host) -> UsageObserver | None:
    """Return the observer that is live in a gateway, if there is one."""
    found = host.find(UsageObserver)
    return found[-1] if found else None


def _url_of_store(host: Host) -> str:
    try:
        store = host.section("storage", Storage).store
    except LookupError:
        store = None
    if store is None:
        raise MachineError("usage has no database: serve with the source `store`, or set the option url")
    return store.database.engine.url.render_as_string(hide_password=False)
