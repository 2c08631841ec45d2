"""Schedules in the store: how far they are, and what they have started. A start is decided there, so that of several
nodes one makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from hookgate_schedules.tables import runs, schedules
from hookgate_storage import Database
from hookgate_workflows import Fenced

LOCK = 0x686F6F6B73636865
"""Of the advisory lock on PostgreSQL that writers of schedules hold."""
GAP = 15.0
"""Seconds after which a schedule that nobody has had any more was another one meanwhile, where another was had."""
KEEP = 90 * 86_400.0
"""Seconds that starts are kept."""


class Kept:
    """Reads and writes schedules. Every method may raise ``StoreError``: the store is away."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._insert: Any = sqlite.insert if database.is_sqlite else postgresql.insert

    async def see(self, have: Mapping[str, str], now: float) -> dict[str, float]:
        """Say that this node has schedules, by name with their digests; return how far each is. One that is new, or
        that was another one meanwhile, begins now: it has missed nothing."""
        async with self.database.transaction(writes=True, lock=LOCK) as connection:
            asked = select(schedules).where(schedules.c.name.in_(list(have)))
            rows = [dict(row) for row in (await connection.execute(asked)).mappings()]
            found: dict[str, float] = {}
            for name, digest in have.items():
                mine = next((row for row in rows if (row["name"], row["digest"]) == (name, digest)), None)
                others = [row["seen"] for row in rows if row["name"] == name and row["digest"] != digest]
                since = now if mine is None or max(others, default=0.0) > mine["seen"] + GAP else mine["since"]
                values = {"name": name, "digest": digest, "since": since, "seen": now}
                put = self._insert(schedules).values(values)
                key = [schedules.c.name, schedules.c.digest]
                await connection.execute(put.on_conflict_do_update(index_elements=key, set_=values))
                found[name] = since
            return found

    async def pass_by(self, name: str, digest: str, due: float) -> None:
        """Note that a start is not made."""
        async with self.database.transaction(writes=True, lock=LOCK) as connection:
            await connection.execute(_moving(name, digest, due))

    async def last(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the last start of each."""
        found = {}
        async with self.database.transaction() as connection:
            for name in names:
                asked = select(runs).where(runs.c.name == name).order_by(runs.c.due.desc()).limit(1)
                row = (await connection.execute(asked)).mappings().first()
                if row is not None:
                    found[name] = dict(row)
        return found

    async def history(self, name: str, before: float | None, most: int) -> list[dict[str, Any]]:
        """Return starts, the newest first."""
        asked = select(runs).where(runs.c.name == name).order_by(runs.c.due.desc()).limit(most)
        if before is not None:
            asked = asked.where(runs.c.due < before)
        async with self.database.transaction() as connection:
            return [dict(row) for row in (await connection.execute(asked)).mappings()]

    async def forget(self, now: float) -> None:
        """Remove what is old."""
        async with self.database.transaction(writes=True, lock=LOCK) as connection:
            await connection.execute(delete(runs).where(runs.c.at < now - KEEP))
            await connection.execute(delete(schedules).where(schedules.c.seen < now - KEEP))


def started(connection: Connection, run: Mapping[str, Any], digest: str | None) -> None:
    """Write a start, in the transaction that makes its instance.

    Raises:
        Fenced: another node has made it.
    """
    if digest is not None and connection.execute(_moving(run["name"], digest, run["due"])).rowcount != 1:
        raise Fenced
    taken = select(runs.c.due).where(runs.c.name == run["name"], runs.c.due == run["due"])
    if connection.execute(taken).first() is not None:
        raise Fenced
    connection.execute(insert(runs).values(run))


def _moving(name: str, digest: str, due: float) -> Any:
    here = and_(schedules.c.name == name, schedules.c.digest == digest, schedules.c.since < due)
    return update(schedules).where(here).values(since=due)
