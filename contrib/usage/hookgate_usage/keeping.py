"""Usage in a database: batches are added in one transaction, once, and read by day or month."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_statistics import OTHER
from hookgate_storage import Database
from hookgate_usage.folding import NAMES, NUMBERS, Batch, Used
from hookgate_usage.tables import batches, usage

LOCK = 0x686F6F6B75736167
"""Number of the advisory lock on PostgreSQL that writers of usage hold."""
MOST_READ = 200_000
"""Rows that one question may take."""
AT_ONCE = 500
CALLERS = frozenset({"subscription", "application", "owner"})
"""Names of those who call, which other tenants do not see."""


class TooMuch(Exception):
    """So many rows would have to be read that the question is refused."""


@dataclass(frozen=True, slots=True)
class Question:
    """Usage of the days that begin between two Unix times, the second not included."""

    since: int
    until: int
    where: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Values by name, any of which counts."""
    by: tuple[str, ...] = NAMES
    """What is told apart."""
    months: bool = False
    """Whether the days of a month are summed up."""


@dataclass(frozen=True, slots=True)
class Row:
    """Usage of one period."""

    period: str
    """A day, `2026-11-30`, or a month, `2026-11`."""
    names: tuple[str, ...]
    used: Used

    def told(self, by: Sequence[str]) -> dict[str, Any]:
        """Return it as plain values."""
        numbers = {name: getattr(self.used, name) for name in NUMBERS}
        return {"period": self.period, **dict(zip(by, self.names, strict=True)), **numbers}


async def add(database: Database, writer: str, number: int, at: float, batch: Batch) -> bool:
    """Add a batch, once: return ``False`` where it has been added before, and its answer was lost.

    Raises:
        StoreError: nothing was added, or nobody knows; send the same batch again.
    """
    folded: Batch = {}
    for raw, used in batch.items():
        folded.setdefault(raw.clean(), Used()).add(used)
    rows = [
        {"day": key.day, "digest": key.digest}
        | dict(zip(NAMES, key[1:], strict=True))
        | {name: getattr(used, name) for name in NUMBERS}
        for key, used in sorted(folded.items())
    ]
    insert: Any = sqlite.insert if database.is_sqlite else postgresql.insert
    async with database.transaction(writes=True, lock=LOCK) as connection:
        last = await connection.scalar(select(batches.c.number).where(batches.c.writer == writer))
        if last is not None and last >= number:
            return False
        begun = insert(batches).values(writer=writer, number=number, at=at)
        fresh = {name: begun.excluded[name] for name in ("number", "at")}
        await connection.execute(begun.on_conflict_do_update(index_elements=["writer"], set_=fresh))
        await _sum_up(connection, insert(usage), rows)
    return True


async def _sum_up(connection: AsyncConnection, statement: Any, rows: list[dict[str, Any]]) -> None:
    summed = {name: usage.c[name] + statement.excluded[name] for name in NUMBERS}
    statement = statement.on_conflict_do_update(index_elements=["day", "digest"], set_=summed)
    for first in range(0, len(rows), AT_ONCE):
        await connection.execute(statement, rows[first : first + AT_ONCE])


async def forget(database: Database, now: float, keep: float) -> int:
    """Remove days that are older than so many seconds; return how many rows went."""
    async with database.transaction(writes=True, lock=LOCK, more=60) as connection:
        gone = (await connection.execute(delete(usage).where(usage.c.day < int(now - keep) - 86_400))).rowcount
        await connection.execute(delete(batches).where(batches.c.at < now - 30 * 86_400))
    return gone


async def ask(
    database: Database, question: Question, own: str | None = None, has: Callable[[str], bool] | None = None
) -> list[Row]:
    """Answer a question, by period and names. With ``own`` only of the subscriptions of that owner. With ``has``, which
    knows the names of a tenant, of its APIs and of its people's subscriptions: who else calls its APIs is told as one.

    Raises:
        TooMuch: it would take more rows than a question may.
        StoreError: the database is away.
    """
    where = (usage.c.day >= question.since) & (usage.c.day < question.until)
    for name, values in question.where.items():
        where &= usage.c[name].in_(list(values))
    if own is not None:
        where &= usage.c.owner == own
    by = tuple(dict.fromkeys((*question.by, *(() if has is None else ("api", "owner")))))
    names = [usage.c[name] for name in by]
    sums = [func.sum(usage.c[name]).label(name) for name in NUMBERS]
    wanted = select(usage.c.day, *names, *sums).where(where).group_by(usage.c.day, *names).limit(MOST_READ + 1)
    async with database.transaction(more=20) as connection:
        rows = (await connection.execute(wanted)).mappings().all()
    if len(rows) > MOST_READ:
        raise TooMuch
    found: dict[tuple[str, tuple[str, ...]], Used] = {}
    for row in rows:
        told = dict(row)
        if has is not None and not has(told["owner"]):
            if not has(told["api"]) or CALLERS & question.where.keys():
                continue
            told |= dict.fromkeys(CALLERS & told.keys(), OTHER)
        day = datetime.fromtimestamp(told["day"], UTC)
        period = f"{day:%Y-%m}" if question.months else f"{day:%Y-%m-%d}"
        used = found.setdefault((period, tuple(told[name] for name in question.by)), Used())
        for name in NUMBERS:
            setattr(used, name, getattr(used, name) + int(told[name]))
    return [Row(*place, used) for place, used in sorted(found.items(), key=lambda each: each[0])]
