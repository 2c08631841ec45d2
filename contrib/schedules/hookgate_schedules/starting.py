"""Starting what is due."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hookgate import Host
from hookgate_schedules.keeping import Kept, started
from hookgate_schedules.records import ScheduleSection
from hookgate_storage import StoreError
from hookgate_workflows import ACTIVE, Also, Fenced, JournalAway, WorkflowEngine, Workflows

if TYPE_CHECKING:
    from sqlalchemy import Connection

log = logging.getLogger("hookgate.schedules")

TICK = 1.0
"""Seconds between two looks at the clock."""
SEE = 5.0
"""Seconds between two looks at the store where nothing is due."""
LATE = 60.0
"""Seconds after which a start counts as missed."""
FORGET = 3600.0
NAME = "schedule "
"""What labels of instances begin with, with the name of the schedule behind it."""


class Starter:
    """Starts what is due, if no other node does."""

    def __init__(self, host: Host, found: Mapping[str, ScheduleSection]) -> None:
        self._host, self._schedules = host, found
        self._since: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self.trouble = ""

    @property
    def _section(self) -> WorkflowEngine:
        return self._host.section("workflow_engine", WorkflowEngine)

    @property
    def kept(self) -> Kept:
        """The store.

        Raises:
            JournalAway: there is none.
        """
        return Kept(self._section.engine.journal.database)

    async def run(self) -> None:
        """Look at the clock, for ever."""
        clock, seen = self._host.clock, None
        forgotten = clock.now() + FORGET * random.random()  # noqa: S311
        while True:
            now = clock.now()
            due = any(when <= clock.wall() for when in self._next.values())
            if due or seen is None or now > seen + SEE:
                try:
                    await self._look()
                    seen, self.trouble = now, ""
                    if now > forgotten:
                        forgotten = now + FORGET
                        await self.kept.forget(clock.wall())
                except (StoreError, JournalAway) as error:
                    self.trouble = str(error)
            wait = min((when - clock.wall() for when in self._next.values()), default=TICK)
            await asyncio.sleep(TICK if self.trouble else min(TICK, max(wait, 0.01)))

    async def _look(self) -> None:
        now = self._host.clock.wall()
        digests = {name: each.digest for name, each in self._schedules.items()}
        self._since = await self.kept.see(digests, now)
        for name, since in self._since.items():
            schedule = self._schedules[name]
            if not schedule.enabled:
                continue
            due = schedule.times.last(since, now)
            if due is not None:
                await self._due(name, schedule, due, now)
            self._next[name] = next(iter(schedule.times.after(due or since, 1)), now + 86_400.0)

    async def _due(self, name: str, schedule: ScheduleSection, due: float, now: float) -> None:
        late = now - due > LATE
        if late and schedule.missed == "skip":
            log.warning("the schedule %s has missed %s, and skips it", name, _shown(due))
            await self.kept.pass_by(name, schedule.digest, due)
            return
        if not schedule.overlap and await self._is_active(name):
            log.warning("the schedule %s is not started: what it has started last is active", name)
            await self.kept.pass_by(name, schedule.digest, due)
            return
        with suppress(Fenced):  # another node has made it
            await self._start(name, schedule, due, "missed" if late else "due", schedule.digest, None)

    async def _is_active(self, name: str) -> bool:
        last = (await self.kept.last([name])).get(name)
        row = None if last is None else await self._section.engine.journal.read(last["instance"])
        return row is not None and row["status"] == ACTIVE

    async def start_now(self, name: str, by: str) -> Any:
        """Start one now; return its instance.

        Raises:
            LookupError: there is none of that name.
            StoreError: the store is away.
        """
        return await self._start(name, self._schedules[name], self._host.clock.wall(), "manual", None, by)

    async def _start(
        self, name: str, schedule: ScheduleSection, due: float, kind: str, digest: str | None, by: str | None
    ) -> Any:
        section = self._section
        engine = section.engine
        if engine.leaving:
            raise JournalAway("the gateway is about to stop")
        graph = self._host.section("workflows", Workflows).graphs[schedule.workflow]
        told = {"name": name, "due": _shown(due), "kind": kind}
        request = {"body": schedule.body, "content_type": "", "match_info": {}, "method": "", "params": {}, "tail": ""}
        instance = await engine.make(
            graph,
            {**request, "url": "", "schedule": told},
            owner=by,
            handler=schedule.error_handler or "",
            label=f"{NAME}{name}"[:200],
        )
        run = {
            "name": name,
            "due": due,
            "kind": kind,
            "instance": instance.id,
            "guid": instance.guid,
            "by": by,
            "at": self._host.clock.wall(),
        }

        def write(connection: Connection) -> None:
            started(connection, run, digest)

        instance.also.append(Also(write))
        await engine.store(instance, hold=False)
        if (waiting := section.executor.ready(instance.id)) is not None:
            await waiting
        return instance


def _shown(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).isoformat()
