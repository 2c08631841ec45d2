"""The journal in the store: what was begun and what came of it. Writes of many instances go in one transaction."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from hookgate_storage import Database
from hookgate_workflows.sessions import session_in
from hookgate_workflows.tables import calls, cells, definitions, documents, instances, keys, numbers

LOCK = 0x686F6F6B776F726B
"""Of the advisory locks on PostgreSQL that writers hold: each process has one of its own, so that none waits."""
BLOCK = 50
"""Numbers of instances that a process takes at once."""
AT_ONCE = 200
"""Writes that go in one transaction at most."""
ACTIVE, SUCCESS, ERRORS = "ACTIVE", "CLOSED_IN_SUCCESS", "CLOSED_IN_ERRORS"

Write = Callable[[Connection], Any]


_BEGIN = insert(instances)
_GO_ON = (
    update(instances)
    .where(instances.c.id == bindparam("its_id"), instances.c.fence == bindparam("its_fence"))
    .values({each.name: bindparam(each.name) for each in instances.c if each.name not in ("id", "fence")})
)


_AT_LARGE = or_(instances.c.parent.is_(None), instances.c.method == "SUBWORKFLOW")
"""Instances that go on by themselves: a handler for errors is run by its parent."""


class Fenced(Exception):
    """Somebody else has taken the instance: what this process knows of it counts no more."""


@dataclass(frozen=True, slots=True)
class Saving:
    """A write that saves an instance; several are saved together."""

    save: Callable[[Connection, Sequence[Saving]], None]
    row: Mapping[str, Any]
    new: bool
    definition: Mapping[str, Any] | None
    parts: Mapping[str, Sequence[Mapping[str, Any]]]
    also: Sequence[Write]

    def __call__(self, connection: Connection) -> None:
        """Save it alone."""
        self.save(connection, [self])


class Journal:
    """Reads and writes instances."""

    def __init__(self, database: Database, owner: str) -> None:
        self.database, self.owner = database, owner
        self._lock = LOCK + zlib.crc32(owner.encode())
        self._waiting: list[tuple[Write, asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._numbers: list[int] = []
        self._numbering = asyncio.Lock()
        self._insert: Any = sqlite.insert if database.is_sqlite else postgresql.insert
        # statements are made once: to make one takes longer than to run it
        self._define = self._insert(definitions).on_conflict_do_nothing()
        self._put = {table.name: self._putting(table) for table in (cells, documents, calls)}

    def _putting(self, table: Table) -> Any:
        begun = self._insert(table)
        fresh = {each.name: begun.excluded[each.name] for each in table.c if not each.primary_key}
        return begun.on_conflict_do_update(index_elements=[each.name for each in table.primary_key], set_=fresh)

    async def write(self, write: Write) -> Any:
        """Do a write, together with others that wait, in one transaction; return when it is on disk.

        Raises:
            Fenced: as the write says.
            StoreError: the database is away; nothing was written, or nobody knows.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((write, future))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            if len(taken) == 1 or not await self._together(taken):
                for each in taken:
                    await self._alone(*each)

    async def _together(self, taken: Sequence[tuple[Write, asyncio.Future[Any]]]) -> bool:
        """Do several writes in one transaction; ``False`` where one fails, and none is done."""
        try:
            results = await self.database.at_once(
                lambda connection: self._all(connection, [write for write, _ in taken]), lock=self._lock
            )
        except Exception:  # noqa: BLE001 - each is told what is wrong with it when it is done alone
            return False
        for (_, future), result in zip(taken, results, strict=True):
            if not future.done():
                future.set_result(result)
        return True

    def _all(self, connection: Connection, writes: Sequence[Write]) -> list[Any]:
        results = [None if isinstance(each, Saving) else each(connection) for each in writes]
        self._save(connection, [each for each in writes if isinstance(each, Saving)])
        return results

    async def _alone(self, write: Write, future: asyncio.Future[Any]) -> None:
        try:
            result = await self.database.at_once(write, lock=self._lock)
        except Exception as error:  # noqa: BLE001 - it is for whoever waits
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)

    async def number(self) -> int:
        """Return a number that no other instance has."""
        async with self._numbering:
            if not self._numbers:
                first = await self.write(self._block)
                self._numbers = list(range(first + BLOCK - 1, first - 1, -1))
            return self._numbers.pop()

    def _block(self, connection: Connection) -> int:
        begun = self._insert(numbers).values(name="instances", next=1 + BLOCK)
        taken = begun.on_conflict_do_update(index_elements=["name"], set_={"next": numbers.c.next + BLOCK})
        return int(connection.execute(taken.returning(numbers.c.next)).scalar_one()) - BLOCK

    def saving(
        self,
        row: Mapping[str, Any],
        *,
        new: bool,
        definition: Mapping[str, Any] | None,
        runs: Sequence[Mapping[str, Any]],
        files: Sequence[Mapping[str, Any]],
        made: Sequence[Mapping[str, Any]],
        also: Sequence[Write] = (),
    ) -> Write:
        """Return the write that saves an instance, with the runs of cells, documents and calls that have changed, and
        what others write ``also``."""

        return Saving(self._save, row, new, definition, {"cells": runs, "documents": files, "calls": made}, also)

    def _save(self, connection: Connection, savings: Sequence[Saving]) -> None:
        """Save instances, with as few statements as there can be: each is a way to the database and back."""
        given = {each.definition["digest"]: each.definition for each in savings if each.definition is not None}
        if given:
            connection.execute(self._define, list(given.values()))
        if fresh := [each.row for each in savings if each.new]:
            connection.execute(_BEGIN, fresh)
        for row in (each.row for each in savings if not each.new):
            mine = {"its_id": row["id"], "its_fence": row["fence"]}
            values = {name: value for name, value in row.items() if name not in ("id", "fence")}
            if connection.execute(_GO_ON, {**values, **mine}).rowcount != 1:
                raise Fenced
        for name, table in (("cells", cells), ("documents", documents), ("calls", calls)):
            if rows := [row for each in savings for row in each.parts[name]]:
                connection.execute(self._put[table.name], rows)
        for each in savings:
            for write in each.also:
                write(connection)

    async def claim(
        self, instance: int, now: float, until: float, *, waiting: bool = False, where: Any = None
    ) -> dict[str, Any] | None:
        """Take an instance that is ready, or one that is ``waiting``, and that nobody holds, or one of which holds what
        ``where`` says; return its row, its cells and its documents."""
        here = where if where is not None else waits(now) if waiting else _ready(now)

        def write(connection: Connection) -> dict[str, Any] | None:
            taken = (
                update(instances)
                .where(instances.c.id == instance, here)
                .values(lease=self.owner, lease_until=until, fence=instances.c.fence + 1)
            )
            if connection.execute(taken).rowcount != 1:
                return None
            return _whole(connection, instance)

        found: dict[str, Any] | None = await self.write(write)
        return found

    async def put_off(self, instance: int, fence: int, until: float, reason: str) -> None:
        """Let go of an instance that cannot be run here, until a time."""
        mine = and_(instances.c.id == instance, instances.c.fence == fence)
        off = {"waits": "time", "wake": until, "reason": reason, "lease": None, "lease_until": None}
        await self.write(lambda connection: connection.execute(update(instances).where(mine).values(off)))

    async def read(self, instance: int | str) -> dict[str, Any] | None:
        """Return an instance by its number or GUID, with its cells, documents without their content, and calls."""
        column = instances.c.guid if isinstance(instance, str) else instances.c.id
        async with self.database.transaction() as connection:
            row = (await connection.execute(select(instances).where(column == instance))).mappings().first()
            if row is None:
                return None
            found = await connection.run_sync(_whole, row["id"], contents=False)
            asked = select(calls).where(calls.c.instance == row["id"]).order_by(calls.c.ordinal)
            found["calls"] = [dict(each) for each in (await connection.execute(asked)).mappings()]
            return found

    async def session(self, instance: int) -> dict[str, str] | None:
        """Return the session that an instance keeps, encrypted."""
        async with self.database.transaction() as connection:
            state = (await connection.execute(select(instances.c.state).where(instances.c.id == instance))).scalar()
        return None if state is None else session_in(state)

    async def children(self, instance: int) -> list[int]:
        """Return the instances that belong to another one."""
        async with self.database.transaction() as connection:
            asked = select(instances.c.id).where(instances.c.parent == instance).order_by(instances.c.id)
            return list((await connection.execute(asked)).scalars())

    async def page(self, where: Mapping[str, Any], before: int | None, most: int) -> list[dict[str, Any]]:
        """Return instances, the newest first, with what their list shows."""
        shown = [instances.c[name] for name in LISTED]
        asked = select(*shown).order_by(instances.c.id.desc()).limit(most)
        for name, value in where.items():
            asked = asked.where(instances.c[name] == value)
        if before is not None:
            asked = asked.where(instances.c.id < before)
        async with self.database.transaction() as connection:
            return [dict(row) for row in (await connection.execute(asked)).mappings()]

    async def definition(self, digest: str) -> dict[str, Any] | None:
        """Return a definition as it was when an instance was started."""
        async with self.database.transaction() as connection:
            asked = select(definitions).where(definitions.c.digest == digest)
            row = (await connection.execute(asked)).mappings().first()
            return None if row is None else dict(row)

    async def overdue(self, now: float, most: int) -> list[int]:
        """Return instances that are ready and that nobody holds, the oldest first."""
        asked = select(instances.c.id).where(_ready(now), _AT_LARGE)
        async with self.database.transaction() as connection:
            return list((await connection.execute(asked.order_by(instances.c.id).limit(most))).scalars())

    async def next_wake(self) -> float | None:
        """Return when the next instance has waited long enough."""
        here = and_(instances.c.status == ACTIVE, instances.c.waits == "time", _AT_LARGE)
        async with self.database.transaction() as connection:
            found: float | None = (await connection.execute(select(func.min(instances.c.wake)).where(here))).scalar()
            return found

    async def renew(self, until: float) -> None:
        """Lengthen the lease of all that this process holds."""
        mine = and_(instances.c.lease == self.owner, instances.c.status == ACTIVE)
        await self.write(lambda connection: connection.execute(update(instances).where(mine).values(lease_until=until)))

    async def release(self) -> None:
        """Let go of all that this process holds."""
        mine = and_(instances.c.lease == self.owner, instances.c.status == ACTIVE)
        free = update(instances).where(mine).values(lease=None, lease_until=None)
        await self.write(lambda connection: connection.execute(free))

    async def forget(self, ids: Sequence[int]) -> None:
        """Remove instances with all that belongs to them."""

        def write(connection: Connection) -> None:
            for table in (calls, documents, cells, keys):
                connection.execute(delete(table).where(table.c.instance.in_(ids)))
            connection.execute(delete(instances).where(instances.c.id.in_(ids)))

        await self.write(write)


LISTED = (
    *("id", "guid", "workflow", "label", "route", "method", "owner", "status", "request_status", "waits", "reason"),
    *("created", "updated", "closed", "parent"),
)


def waits(now: float) -> Any:
    """Of which instances it holds that they wait, and nobody has them."""
    free = or_(instances.c.lease.is_(None), instances.c.lease_until < now)
    return and_(instances.c.status == ACTIVE, instances.c.waits != "", free)


def _ready(now: float) -> Any:
    free = or_(instances.c.lease.is_(None), instances.c.lease_until < now)
    due = or_(instances.c.waits == "", and_(instances.c.waits == "time", instances.c.wake <= now))
    return and_(instances.c.status == ACTIVE, due, free)


def _whole(connection: Connection, instance: int, *, contents: bool = True) -> dict[str, Any]:
    row = connection.execute(select(instances).where(instances.c.id == instance)).mappings().one()
    runs = connection.execute(select(cells).where(cells.c.instance == instance).order_by(cells.c.number))
    columns = [each for each in documents.c if contents or each.name != "content"]
    files = connection.execute(select(*columns).where(documents.c.instance == instance).order_by(documents.c.name))
    return {
        **dict(row),
        "cells": [dict(each) for each in runs.mappings()],
        "documents": [dict(each) for each in files.mappings()],
    }
