"""The executor ``procrastinate``: nodes share what is ready over a queue in PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationInfo, model_validator

from hookgate import ConfigError, Duration, Host, Options, Problem, ServiceUnavailable, hookimpl
from hookgate_storage import ask_store
from hookgate_workflows import Executor, JournalAway, Runner

if TYPE_CHECKING:
    from hookgate_procrastinate.queue import Queue

log = logging.getLogger("hookgate.workflows")
MOST = 500
"""Instances that one look finds."""
NO_QUEUE = (
    "procrastinate needs a store in PostgreSQL, and this one lies in SQLite; leave the executor out, or name local"
)


class ProcrastinateOptions(Options):
    """Options of `procrastinate`."""

    poll: Duration = Field(default=2.0, ge=0.05, le=60)
    """Seconds between two looks for instances whose process has ended, or that have waited long enough."""
    at_once: int = Field(default=100, ge=1, le=10_000)
    """Instances of routes that do not wait which one process runs at once; more of them wait in the queue."""

    @model_validator(mode="after")
    def _stored(self, info: ValidationInfo) -> Self:
        ask_store(info, "the queue of procrastinate lies in the database")
        return self


class Procrastinate(Executor[ProcrastinateOptions]):
    """Hands instances to whichever node has a turn free, over a queue in the PostgreSQL of the store.

    The queue holds hints, and the journal decides: who takes an instance out of the queue still has to get its lease.
    What was lost on its way, what has waited long enough, and what a dead node has left is found in the journal, and
    put into the queue by the node that notices first.
    """

    def __init__(self, options: ProcrastinateOptions) -> None:
        super().__init__(options)
        self._host: Host | None = None
        self._queue: Queue | None = None
        self._works = False
        self._new: list[int] = []
        self._wanted = asyncio.Event()
        self._trouble = ""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house.

        Raises:
            ConfigError: the store lies in SQLite.
        """
        with suppress(LookupError):
            section: Any = host.section("storage")
            if section.store is not None and section.store.database.is_sqlite:
                raise ConfigError([Problem(("workflow_engine", "executor"), NO_QUEUE)])
        self._host = host
        self._start()

    def begin(self, runner: Runner) -> None:
        """Begin to look for what is ready."""
        super().begin(runner)
        self._start()

    def _start(self) -> None:
        host, runner = self._host, self.runner
        if host is None or runner is None or self._works:
            return
        self._works = True
        from hookgate_procrastinate.queue import Queue

        section: Any = host.section("storage")
        options = self.options
        self._queue = Queue(
            section.store.database.plain_url,
            lease=runner.lease,
            poll=options.poll,
            at_once=options.at_once,
            run=self._run,
        )
        host.start("the queue of workflows", self._work(self._queue))
        host.start("leases", self._renew())

    @hookimpl
    async def ready(self, instance: int) -> None:
        """Put it into the queue, with others that come at the same time.

        Raises:
            ServiceUnavailable: there is no queue, so nobody would run it.
        """
        if self._queue is None:
            raise ServiceUnavailable("No workflows are run here.", reason="no-queue")
        self._new.append(instance)
        self._wanted.set()

    async def _run(self, instance: int) -> None:
        assert self.runner is not None
        try:
            await self.runner.run(instance)
        except JournalAway as error:
            log.warning("the instance %d cannot be taken: %s", instance, error)

    async def _work(self, queue: Queue) -> None:
        while True:
            looking: list[asyncio.Task[None]] = []
            try:
                await queue.work(lambda: looking.append(asyncio.create_task(self._look(queue))))  # noqa: B023
            except asyncio.CancelledError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, the next try may do
                self._trouble = f"the queue cannot be read: {_told(error)}"
                log.warning("%s", self._trouble)
            finally:
                for task in looking:
                    task.cancel()
                await asyncio.gather(*looking, return_exceptions=True)
            await asyncio.sleep(self.options.poll)

    async def _look(self, queue: Queue) -> None:
        """Put into the queue what is new, and now and then what the journal says is ready."""
        from hookgate_procrastinate.queue import AWAY, rest

        assert self._host is not None
        assert self.runner is not None
        clock, due = self._host.clock, 0.0
        while True:
            self._wanted.clear()
            new, self._new = self._new, []
            try:
                if new:
                    await queue.put(new)
                if clock.now() >= due:
                    due = clock.now() + self.options.poll
                    if found := await self.runner.overdue(MOST):
                        await queue.put(found)
                    await queue.tidy()
                    wake = await self.runner.next_wake()
                    if wake is not None:
                        due = min(due, clock.now() + max(wake - clock.wall(), 0.01))
                self._trouble = ""
            except (JournalAway, *AWAY) as error:  # what was new is found in the journal
                self._trouble = f"the queue cannot be written: {_told(error)}"
                await asyncio.sleep(min(self.options.poll, 1.0))
            await rest(due - clock.now(), self._wanted)

    async def _renew(self) -> None:
        while True:
            assert self.runner is not None
            await asyncio.sleep(self.runner.lease / 3)
            try:
                await self.runner.renew()
            except JournalAway as error:
                self._trouble = str(error)

    @hookimpl
    def health(self) -> Mapping[str, Any]:
        """Say what is wrong."""
        return {"problems": [f"workflows are not handed to nodes: {self._trouble}"]} if self._trouble else {}


def _told(error: BaseException) -> str:
    cause = error.__cause__ or error
    return str(cause).strip().partition("\n")[0] or type(cause).__name__
