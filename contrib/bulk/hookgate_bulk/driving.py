"""Starting rows: one process holds a bulk by a lease, and begins its rows; who runs their instances is another matter.

A row begins in the transaction that makes its instance, and only if it is still queued: it is never begun twice, and
what a process leaves when it is killed, another one goes on with.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from hookgate import Host
from hookgate_bulk.keeping import Bulks, begun
from hookgate_bulk.tables import RUNNING
from hookgate_bulk.watcher import LABEL
from hookgate_storage import StoreError
from hookgate_workflows import Also, Fenced, Graph, JournalAway, WorkflowEngine, older

log = logging.getLogger("hookgate.bulk")

MOST = 50
"""Bulks that one process holds at once."""
SETTLE = 5.0
"""Seconds between two looks for rows whose end nobody has told."""


class Driver:
    """Starts the rows of bulks that this process holds."""

    def __init__(self, host: Host, poll: float) -> None:
        self._host, self._poll = host, poll
        self.owner = uuid.uuid4().hex
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._events: dict[int, asyncio.Event] = {}
        self._wake = asyncio.Event()
        self.trouble = ""

    @property
    def _section(self) -> WorkflowEngine:
        return self._host.section("workflow_engine", WorkflowEngine)

    @property
    def bulks(self) -> Bulks:
        """The store.

        Raises:
            JournalAway: there is none.
        """
        return Bulks(self._section.engine.journal.database)

    def poke(self, bulk: int | None = None) -> None:
        """Look at once: at a bulk, or for new ones."""
        if bulk is None or bulk not in self._events:
            self._wake.set()
        else:
            self._events[bulk].set()

    async def run(self) -> None:
        """Take bulks that nobody holds, and drive them."""
        try:
            while True:
                try:
                    await self._take()
                    self.trouble = ""
                except (StoreError, JournalAway) as error:
                    self.trouble = str(error)
                self._wake.clear()
                try:
                    async with asyncio.timeout(self._poll):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def release(self) -> None:
        """Let go of what is held, so that others take it at once."""
        try:
            await self.bulks.release(self.owner)
        except (StoreError, JournalAway, LookupError) as error:
            log.warning("bulks cannot be let go of: %s", error)

    async def _take(self) -> None:
        if len(self._tasks) >= MOST:
            return
        bulks, now = self.bulks, self._host.clock.wall()
        lease = self._section.engine.lease
        for bulk in await bulks.claim(self.owner, now, now + lease, MOST - len(self._tasks)):
            if bulk["id"] in self._tasks:  # held, and lost meanwhile
                self._tasks.pop(bulk["id"]).cancel()
            self._events[bulk["id"]] = asyncio.Event()
            task = asyncio.get_running_loop().create_task(self._guarded(bulk, lease), name=f"bulk {bulk['id']}")
            self._tasks[bulk["id"]] = task
            task.add_done_callback(partial(self._over, bulk["id"]))

    def _over(self, bulk: int, task: asyncio.Task[None]) -> None:
        if self._tasks.get(bulk) is task:
            del self._tasks[bulk]
            self._events.pop(bulk, None)
        self._wake.set()

    async def _guarded(self, bulk: Mapping[str, Any], lease: float) -> None:
        try:
            await self._drive(bulk, lease)
        except Fenced:
            log.info("the bulk %d is paused, or was taken over by another process", bulk["id"])
        except (StoreError, JournalAway) as error:  # its lease ends, and it is taken again
            self.trouble = str(error)
            log.warning("the bulk %d cannot go on now: %s", bulk["id"], error)
            await asyncio.sleep(self._poll)
        except Exception:
            log.exception("the bulk %d cannot go on", bulk["id"])
            await asyncio.sleep(lease)

    async def _drive(self, bulk: Mapping[str, Any], lease: float) -> None:
        clock, event = self._host.clock, self._events[bulk["id"]]
        try:
            graph = older(bulk["workflow"], {"body": bulk["definition"]})
        except ValueError as error:
            await self.bulks.pause(bulk["id"], f"its definition cannot be used any more: {error}")
            return
        renewed = settled = clock.now()
        await self.bulks.settle(bulk["id"])
        while True:
            bulks, now = self.bulks, clock.now()
            if now > renewed + lease / 3:
                if not await bulks.renew(bulk["id"], bulk["fence"], clock.wall() + lease):
                    raise Fenced
                renewed = now
            if now > settled + SETTLE:
                await bulks.settle(bulk["id"])
                settled = now
            event.clear()
            patience = bulk["sequence_timeout"]
            since = None if patience is None else clock.wall() - patience
            running, waited, failed, queued = await bulks.look(bulk, since)
            if queued and failed and bulk["stop_on_error"]:
                await bulks.stop(bulk["id"])
                continue
            if not queued and not running:
                if await bulks.close(bulk["id"], bulk["fence"], clock.wall()):
                    return
                raise Fenced
            if queued and waited < bulk["parallel"]:
                try:
                    await self._begin(bulk, graph, queued)
                except Fenced:  # it is not ours any more; or a row has failed meanwhile
                    if not await bulks.renew(bulk["id"], bulk["fence"], clock.wall() + lease):
                        raise
                continue
            pause = min(self._poll, lease / 4, *(() if patience is None else (max(patience / 4, 0.01),)))
            try:
                async with asyncio.timeout(pause):
                    await event.wait()
            except TimeoutError:
                pass

    async def _begin(self, bulk: Mapping[str, Any], graph: Graph, queued: Sequence[Mapping[str, Any]]) -> None:
        """Begin rows.

        Raises:
            Fenced: the bulk is not ours any more, or is paused.
            StoreError: the journal is away.
        """
        found = await asyncio.gather(*(self._row(bulk, graph, each) for each in queued), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each

    async def _row(self, bulk: Mapping[str, Any], graph: Graph, row: Mapping[str, Any]) -> None:
        section, now = self._section, self._host.clock.wall()
        engine = section.engine
        if engine.leaving:
            raise JournalAway("the gateway is about to stop")
        body = orjson.loads(row["original"] if row["value"] is None else row["value"])
        place = {"id": bulk["id"], "row": row["row"], "attempt": row["attempt"] + 1}
        instance = await engine.make(
            graph,
            {**orjson.loads(bulk["request"]), "body": body, "bulk": place},
            owner=bulk["owner"],
            route=bulk["route"],
            method=bulk["method"],
            handler=bulk["handler"],
            label=f"{LABEL}{bulk['id']}",
        )
        values = {
            "status": RUNNING,
            "instance": instance.id,
            "guid": instance.guid,
            "attempt": row["attempt"] + 1,
            "started": now,
            "ended": None,
        }

        def write(connection: Any) -> None:
            begun(connection, bulk, row["row"], values)

        instance.also.append(Also(write))
        await engine.store(instance, hold=False)  # by whom it is found again where nobody knows if it was written
        if (waiting := section.executor.ready(instance.id)) is not None:
            await waiting

    def health(self) -> Mapping[str, Any]:
        """Say what is driven."""
        told: dict[str, Any] = {"bulks": len(self._tasks)}
        return told | {"problems": [f"bulks cannot go on: {self.trouble}"]} if self.trouble else told
