"""The queue: one job for each instance that is ready, which some node takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from procrastinate import App, PsycopgConnector, exceptions
from procrastinate.jobs import Status

SCHEMA = "hookgate_procrastinate"
"""The schema that the tables lie in, apart from those of the store and from another procrastinate."""
QUEUE, TASK = "workflows", "run"
PATIENCE = 5.0
"""Seconds that a connection is waited for."""
POOL = 4
AWAY = (exceptions.ConnectorException, OSError, TimeoutError)
"""What is raised where the database is away."""
NEVER = 3600.0
"""Seconds between two looks for jobs that are to be aborted: nobody asks for that."""

Run = Callable[[int], Awaitable[None]]

for _name in ("procrastinate", "psycopg.pool"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)  # they tell of each job; what is wrong stands in the health


class Queue:
    """Puts instances into the queue, and takes them out of it."""

    def __init__(self, url: str, *, lease: float, poll: float, at_once: int, run: Run) -> None:
        self._lease, self._poll, self._at_once = lease, poll, at_once
        self._app = App(
            connector=PsycopgConnector(
                conninfo=url,
                kwargs={"options": f"-c search_path={SCHEMA}", "connect_timeout": int(PATIENCE)},
                min_size=1,
                max_size=POOL,
                timeout=PATIENCE,
            )
        )

        @self._app.task(name=TASK, queue=QUEUE)
        async def job(instance: int) -> None:
            await run(instance)

        self._task = job

    async def work(self, opened: Callable[[], None]) -> None:
        """Take instances out of the queue until this is cancelled.

        Raises:
            Exception: the database is away, or has no such tables.
        """
        async with self._app.open_async():
            opened()
            await self._app.run_worker_async(
                queues=[QUEUE],
                name="hookgate",
                concurrency=self._at_once,
                install_signal_handlers=False,
                fetch_job_polling_interval=self._poll,  # a notice that comes amid a look is lost
                abort_job_polling_interval=NEVER,
                shutdown_graceful_timeout=0.0,
                delete_jobs="always",
                update_heartbeat_interval=self._lease / 3,
                stalled_worker_timeout=2 * self._lease,
            )
        raise OSError("the worker has ended")

    async def put(self, instances: Iterable[int]) -> None:
        """Put instances in, each once: those that wait in it already are left out.

        Raises:
            Exception: one of `AWAY`.
        """
        wanted = {str(each): each for each in instances}
        for row in await self._app.connector.execute_query_all_async(
            f"SELECT queueing_lock FROM {SCHEMA}.procrastinate_jobs "  # noqa: S608
            "WHERE status = 'todo' AND queueing_lock = ANY(%(locks)s)",
            locks=list(wanted),
        ):
            wanted.pop(row["queueing_lock"], None)
        if not wanted:
            return
        jobs = [self._job(each) for each in wanted.values()]
        try:
            await self._app.job_manager.batch_defer_jobs_async(jobs)
        except exceptions.AlreadyEnqueued:  # another node was faster with one of them
            for job in jobs:
                with suppress(exceptions.AlreadyEnqueued):
                    await self._app.job_manager.batch_defer_jobs_async([job])

    def _job(self, instance: int) -> Any:
        deferrer = self._task.configure(queueing_lock=str(instance))
        return deferrer.make_new_job(instance=instance)

    async def tidy(self) -> None:
        """Remove the jobs of workers that have ended. Their instances are in the journal: who finds that their lease is
        over puts them in again.

        Raises:
            Exception: one of `AWAY`.
        """
        manager = self._app.job_manager
        await manager.prune_stalled_workers(2 * self._lease)
        for job in await manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=2 * self._lease):
            with suppress(exceptions.ConnectorException):  # another node was faster
                await manager.finish_job(job, Status.ABORTED, delete_job=True)


async def rest(seconds: float, event: asyncio.Event) -> None:
    """Wait for so long, or until an event."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
