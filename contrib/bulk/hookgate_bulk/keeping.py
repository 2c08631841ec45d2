"""Bulks in the store: what is asked and written of them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_bulk.conversion import Row
from hookgate_bulk.tables import DONE, FAILED, INVALID, PAUSED, QUEUED, ROW_STATUSES, RUNNING, STOPPED, bulks, rows
from hookgate_storage import Database
from hookgate_workflows import ACTIVE, ERRORS, SUCCESS, Fenced, instances

LOCK = 0x686F6F6B62756C6B
"""Of the advisory lock on PostgreSQL that writers of bulks hold."""
AT_ONCE = 1000
"""Rows in one statement."""
LONGER = 30.0
"""Seconds more for a write of many rows."""


class Bulks:
    """Reads and writes bulks. Every method may raise ``StoreError``: the store is away."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def _write(self, statement: Any) -> int:
        async with self.database.transaction(writes=True, lock=LOCK, more=LONGER) as connection:
            return int((await connection.execute(statement)).rowcount)

    async def add(self, about: Mapping[str, Any], found: Sequence[Row], now: float) -> dict[str, Any]:
        """Store a bulk with its rows; return its row. All of it is there then, or nothing."""
        made = {
            **about,
            "guid": str(uuid.uuid4()),
            "rows": len(found),
            "status": ACTIVE,
            "reason": "",
            "created": now,
            "closed": None,
            "lease": None,
            "lease_until": None,
            "fence": 0,
        }
        async with self.database.transaction(writes=True, lock=LOCK, more=LONGER) as connection:
            asked = insert(bulks).values(made).returning(bulks.c.id)
            made["id"] = int((await connection.execute(asked)).scalar_one())
            for start in range(0, len(found), AT_ONCE):
                await connection.execute(
                    insert(rows), [_row(made["id"], each) for each in found[start : start + AT_ONCE]]
                )
        return made

    async def read(self, key: int | str) -> dict[str, Any] | None:
        """Return a bulk by number or GUID, with how many rows have which status."""
        column = bulks.c.guid if isinstance(key, str) else bulks.c.id
        async with self.database.transaction() as connection:
            row = (await connection.execute(select(bulks).where(column == key))).mappings().first()
            return None if row is None else {**row, "stats": (await _stats(connection, [row["id"]]))[row["id"]]}

    async def page(self, where: Mapping[str, str], before: int | None, most: int) -> list[dict[str, Any]]:
        """Return bulks, the newest first, with how many rows have which status."""
        asked = select(bulks).order_by(bulks.c.id.desc()).limit(most)
        for name, value in where.items():
            asked = asked.where(bulks.c[name] == value)
        if before is not None:
            asked = asked.where(bulks.c.id < before)
        async with self.database.transaction() as connection:
            found = [dict(row) for row in (await connection.execute(asked)).mappings()]
            stats = await _stats(connection, [each["id"] for each in found])
        return [{**each, "stats": stats[each["id"]]} for each in found]

    async def rows(self, bulk: int, status: str | None, after: int, most: int) -> list[dict[str, Any]]:
        """Return rows of a bulk, in their order."""
        asked = select(rows).where(rows.c.bulk == bulk, rows.c.row > after).order_by(rows.c.row).limit(most)
        if status is not None:
            asked = asked.where(rows.c.status == status)
        async with self.database.transaction() as connection:
            return [dict(row) for row in (await connection.execute(asked)).mappings()]

    # --- by people --------------------------------------------------------------------------------------------------

    async def pause(self, bulk: int, reason: str) -> bool:
        """Begin no more rows. Those that run go on."""
        here = and_(bulks.c.id == bulk, bulks.c.status == ACTIVE)
        free = {"lease": None, "lease_until": None}
        return await self._write(update(bulks).where(here).values(status=PAUSED, reason=reason[:1000], **free)) == 1

    async def resume(self, bulk: int) -> bool:
        """Go on with one that is paused."""
        here = and_(bulks.c.id == bulk, bulks.c.status == PAUSED)
        return await self._write(update(bulks).where(here).values(status=ACTIVE, reason="")) == 1

    async def cancel(self, bulk: int, reason: str) -> bool:
        """Never begin what has not begun."""
        open_ = and_(bulks.c.id == bulk, bulks.c.status.in_((ACTIVE, PAUSED)))
        async with self.database.transaction(writes=True, lock=LOCK, more=LONGER) as connection:
            told = update(bulks).where(open_).values(status=ACTIVE, reason=reason[:1000])
            if (await connection.execute(told)).rowcount != 1:
                return False
            await connection.execute(_stopping(bulk))
            return True

    async def replay(self, bulk: int, wanted: Sequence[int] | None) -> int:
        """Queue rows that failed or were stopped, all of them or some; return how many."""
        here = and_(rows.c.bulk == bulk, rows.c.status.in_((FAILED, STOPPED)))
        again: dict[str, Any] = {"status": QUEUED, "trace": "[]", "response": "null", "ended": None}
        async with self.database.transaction(writes=True, lock=LOCK, more=LONGER) as connection:
            count = 0
            for some in [None] if wanted is None else _pieces(wanted):
                asked = here if some is None else and_(here, rows.c.row.in_(some))
                count += (await connection.execute(update(rows).where(asked).values(again))).rowcount
            if count:
                is_over = bulks.c.status.in_((SUCCESS, ERRORS))
                opened = update(bulks).where(bulks.c.id == bulk, is_over)
                await connection.execute(opened.values(status=ACTIVE, reason="", closed=None))
            return count

    # --- by whoever starts rows -------------------------------------------------------------------------------------

    async def claim(self, owner: str, now: float, until: float, most: int) -> list[dict[str, Any]]:
        """Take bulks that nobody holds."""
        free = and_(bulks.c.status == ACTIVE, or_(bulks.c.lease.is_(None), bulks.c.lease_until < now))
        async with self.database.transaction() as connection:
            listed = select(bulks.c.id).where(free).order_by(bulks.c.id).limit(most)
            ids = list((await connection.execute(listed)).scalars())
        if not ids:
            return []
        async with self.database.transaction(writes=True, lock=LOCK) as connection:
            taken = update(bulks).where(bulks.c.id.in_(ids), free)
            taken = taken.values(lease=owner, lease_until=until, fence=bulks.c.fence + 1)
            await connection.execute(taken)
            mine = select(bulks).where(bulks.c.id.in_(ids), bulks.c.lease == owner, bulks.c.lease_until == until)
            return [dict(row) for row in (await connection.execute(mine)).mappings()]

    async def renew(self, bulk: int, fence: int, until: float) -> bool:
        """Hold one for longer; ``False`` where it is not ours any more, or is paused."""
        return await self._write(update(bulks).where(_ours(bulk, fence)).values(lease_until=until)) == 1

    async def release(self, owner: str) -> None:
        """Let go of all that somebody holds."""
        await self._write(update(bulks).where(bulks.c.lease == owner).values(lease=None, lease_until=None))

    async def look(self, bulk: Mapping[str, Any], since: float | None) -> tuple[int, int, bool, list[dict[str, Any]]]:
        """Return how many rows run, how many of them are waited for, whether one has failed, and the rows that are
        next, as many as may run. Those that were begun before ``since`` are not waited for."""
        mine = and_(rows.c.bulk == bulk["id"], rows.c.status == RUNNING)
        async with self.database.transaction() as connection:
            running = waited = int((await connection.execute(select(func.count()).where(mine))).scalar_one())
            if since is not None:
                waited_for = select(func.count()).where(mine, rows.c.started > since)
                waited = int((await connection.execute(waited_for)).scalar_one())
            failed = select(rows.c.row).where(rows.c.bulk == bulk["id"], rows.c.status == FAILED).limit(1)
            has_failed = (await connection.execute(failed)).first() is not None
            most = max(bulk["parallel"] - waited, 0)
            queued = select(rows).where(rows.c.bulk == bulk["id"], rows.c.status == QUEUED).order_by(rows.c.row)
            found = [dict(row) for row in (await connection.execute(queued.limit(max(most, 1)))).mappings()]
        return running, waited, has_failed, found

    async def stop(self, bulk: int) -> None:
        """Stop what has not begun."""
        await self._write(_stopping(bulk))

    async def settle(self, bulk: int) -> int:
        """Note what came of rows whose instance was closed by a process that does not know of bulks, or is gone."""
        here = and_(rows.c.bulk == bulk, rows.c.status == RUNNING, rows.c.instance == instances.c.id)
        over = select(instances).join(rows, here).where(instances.c.status != ACTIVE).limit(AT_ONCE)
        async with self.database.transaction() as connection:
            found = [dict(row) for row in (await connection.execute(over)).mappings()]
        for each in found:
            response = orjson.loads(each["context"]).get("*response*")
            async with self.database.transaction(writes=True, lock=LOCK) as connection:
                await connection.run_sync(ended, each["id"], each["status"], each["errors"], response, each["closed"])
        return len(found)

    async def close(self, bulk: int, fence: int, now: float) -> bool:
        """Close one of which nothing is left."""
        async with self.database.transaction(writes=True, lock=LOCK) as connection:
            stats = (await _stats(connection, [bulk]))[bulk]
            if stats[QUEUED] or stats[RUNNING]:
                return False
            status = SUCCESS if stats[DONE] == sum(stats.values()) else ERRORS
            closed = update(bulks).where(_ours(bulk, fence))
            closed = closed.values(status=status, closed=now, lease=None, lease_until=None)
            return (await connection.execute(closed)).rowcount == 1

    async def forget(self, before: float) -> int:
        """Remove bulks that were closed before a time; return how many went."""
        old = and_(bulks.c.status.in_((SUCCESS, ERRORS)), bulks.c.closed < before)
        total = 0
        while True:
            async with self.database.transaction(writes=True, lock=LOCK, more=LONGER) as connection:
                ids = list((await connection.execute(select(bulks.c.id).where(old).limit(10))).scalars())
                await connection.execute(delete(rows).where(rows.c.bulk.in_(ids)))
                await connection.execute(delete(bulks).where(bulks.c.id.in_(ids)))
            total += len(ids)
            if len(ids) < 10:
                return total


def begun(connection: Connection, bulk: Mapping[str, Any], row: int, values: Mapping[str, Any]) -> None:
    """Write that a row has begun, in the transaction that makes its instance.

    Raises:
        Fenced: the bulk is paused, or somebody else has taken it, or the row has begun.
    """
    if connection.execute(select(bulks.c.id).where(_ours(bulk["id"], bulk["fence"]))).first() is None:
        raise Fenced
    queued = and_(rows.c.bulk == bulk["id"], rows.c.row == row, rows.c.status == QUEUED)
    if bulk["stop_on_error"]:
        others = rows.alias()
        failed = select(others.c.row).where(others.c.bulk == bulk["id"], others.c.status == FAILED)
        queued = and_(queued, ~failed.exists())
    if connection.execute(update(rows).where(queued).values(values)).rowcount != 1:
        raise Fenced


def ended(connection: Connection, instance: int, status: str, errors: str, response: Any, closed: float | None) -> None:
    """Write what came of a row, in the transaction that closes its instance."""
    mine = and_(rows.c.instance == instance, rows.c.status == RUNNING)
    said = orjson.dumps(response).decode().replace("\\u0000", "\\ufffd")
    values = {"status": DONE if status == SUCCESS else FAILED, "trace": errors, "response": said, "ended": closed}
    connection.execute(update(rows).where(mine).values(values))


def _row(bulk: int, row: Row) -> dict[str, Any]:
    original = orjson.dumps(row.original).decode().replace("\\u0000", "\\ufffd")
    value = orjson.dumps(row.value).decode().replace("\\u0000", "\\ufffd")
    return {
        "bulk": bulk,
        "row": row.number,
        "line": row.line,
        "original": original,
        "value": None if value == original or row.errors else value,
        "status": INVALID if row.errors else QUEUED,
        "trace": orjson.dumps(row.errors).decode(),
        "instance": None,
        "guid": None,
        "attempt": 0,
        "response": "null",
        "started": None,
        "ended": None,
    }


def _ours(bulk: int, fence: int) -> Any:
    return and_(bulks.c.id == bulk, bulks.c.fence == fence, bulks.c.status == ACTIVE)


def _stopping(bulk: int) -> Any:
    return update(rows).where(rows.c.bulk == bulk, rows.c.status == QUEUED).values(status=STOPPED)


def _pieces(wanted: Sequence[int]) -> list[Sequence[int]]:
    return [wanted[start : start + AT_ONCE] for start in range(0, len(wanted), AT_ONCE)]


async def _stats(connection: AsyncConnection, ids: Sequence[int]) -> dict[int, dict[str, int]]:
    found = {each: dict.fromkeys(ROW_STATUSES, 0) for each in ids}
    if ids:
        asked = select(rows.c.bulk, rows.c.status, func.count()).where(rows.c.bulk.in_(ids))
        for bulk, status, count in await connection.execute(asked.group_by(rows.c.bulk, rows.c.status)):
            found[bulk][status] = count
    return found
