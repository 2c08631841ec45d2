"""The executor ``local``: every process runs what it has begun, and what processes that have ended left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from pydantic import Field

from hookgate import Duration, Host, Options, ServiceUnavailable, hookimpl
from hookgate_workflows.executors import Executor, JournalAway, Runner

ResultT = TypeVar("ResultT")
log = logging.getLogger("hookgate.workflows")


class LocalOptions(Options):
    """Options of `local`."""

    poll: Duration = Field(default=2.0, ge=0.05, le=60)
    """Seconds between two looks for instances whose process has ended, or that have waited long enough."""
    at_once: int = Field(default=100, ge=1, le=10_000)
    """Instances of routes that do not wait which one process runs at once; more of them wait for their turn."""


class Local(Executor[LocalOptions]):
    """Runs instances in the process that was asked to start them, and takes over those whose lease has ended, in SQLite
    and in PostgreSQL."""

    holds = True

    def __init__(self, options: LocalOptions) -> None:
        super().__init__(options)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._turns = asyncio.Semaphore(options.at_once)
        self._questions: set[asyncio.Task[Any]] = set()
        self._host: Host | None = None
        self._looks = False
        self._trouble = ""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host
        self._start()

    def begin(self, runner: Runner) -> None:
        """Begin to look for what is ready."""
        super().begin(runner)
        self._start()

    def _start(self) -> None:
        if self._host is not None and self.runner is not None and not self._looks:
            self._looks = True
            self._host.start("overdue instances", self._look(self._host))
            self._host.start("leases", self._renew())

    @hookimpl
    async def shutdown(self) -> None:
        """Look no more."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._questions, return_exceptions=True)

    @hookimpl
    async def ready(self, instance: int) -> None:
        """Run it here.

        Raises:
            ServiceUnavailable: there is no store, so there are no instances.
        """
        if self.runner is None:
            raise ServiceUnavailable("No workflows are run here.", reason="no-journal")
        self._take(instance)

    def _take(self, instance: int) -> None:
        task = asyncio.get_running_loop().create_task(self._run(instance))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, instance: int) -> None:
        assert self.runner is not None
        try:
            async with self._turns:
                await self.runner.run(instance)
        except JournalAway as error:
            log.warning("the instance %d cannot be taken: %s", instance, error)

    async def _asked(self, question: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Ask the journal. Whoever is told to stop meanwhile does not leave a connection open that is being made."""
        task = asyncio.get_running_loop().create_task(question)
        self._questions.add(task)
        task.add_done_callback(self._questions.discard)
        return await asyncio.shield(task)

    async def _look(self, host: Host) -> None:
        while True:
            assert self.runner is not None
            pause = self.options.poll
            try:
                free = self.options.at_once - len(self._tasks)
                for instance in await self._asked(self.runner.overdue(free)) if free > 0 else ():
                    self._take(instance)
                wake = await self._asked(self.runner.next_wake())
                if wake is not None:
                    pause = min(pause, max(wake - host.clock.wall(), 0.01))
                self._trouble = ""
            except JournalAway as error:
                self._trouble = str(error)
            await asyncio.sleep(pause)

    async def _renew(self) -> None:
        while True:
            assert self.runner is not None
            await asyncio.sleep(self.runner.lease / 3)
            try:
                await self._asked(self.runner.renew())
            except JournalAway as error:
                self._trouble = str(error)

    @hookimpl
    def health(self) -> Mapping[str, Any]:
        """Say what runs."""
        told: dict[str, Any] = {"running": len(self._tasks)}
        return told | {"problems": [f"workflows cannot be journalled: {self._trouble}"]} if self._trouble else told
