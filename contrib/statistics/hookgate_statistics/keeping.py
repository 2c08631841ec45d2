"""Counts in a database: batches are added to minutes, hours and days in one transaction, and read by time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_statistics.cells import DIMENSIONS, OTHER, Cell, Key, Minutes
from hookgate_statistics.questions import Answer, Question, TooMuch
from hookgate_statistics.sketch import merge, packed, unpacked
from hookgate_statistics.tables import batches, counts
from hookgate_storage import Database

LOCK = 0x686F6F6B73746174
"""Number of the advisory lock on PostgreSQL that writers of counts hold; writers of documents have another one."""
RESOLUTIONS = (60, 3600, 86400)
MOST_READ = 200_000
"""Rows that one question may take."""
AT_ONCE = 500
_NUMBERS = ("calls", "client_errors", "server_errors", "aborted", "received", "sent", "seconds")
Place = tuple[int, int]
"""Resolution and start."""


async def add(database: Database, writer: str, number: int, at: float, minutes: Minutes, most: int) -> bool:
    """Add a batch, once: return ``False`` where it has been added before, and its answer was lost.

    Raises:
        StoreError: nothing was added, or nobody knows; send the same batch again.
    """
    folded = _folded(minutes)
    async with database.transaction(writes=True, lock=LOCK) as connection:
        last = await connection.scalar(select(batches.c.number).where(batches.c.writer == writer))
        if last is not None and last >= number:
            return False
        await _put(connection, database, batches, [{"writer": writer, "number": number, "at": at}])
        for place, cells in folded.items():
            await _add_to(connection, database, place, cells)
            await _trim(connection, database, place, most)
    return True


def _folded(minutes: Minutes) -> dict[Place, dict[Key, Cell]]:
    found: dict[Place, dict[Key, Cell]] = {}
    for minute, cells in minutes.items():
        for raw, cell in cells.items():
            key = raw.clean()
            for resolution in RESOLUTIONS:
                place = resolution, minute // resolution * resolution
                found.setdefault(place, {}).setdefault(key, Cell()).add(cell)
    return found


async def _add_to(connection: AsyncConnection, database: Database, place: Place, cells: Mapping[Key, Cell]) -> None:
    by_digest = {key.digest: (key, cell) for key, cell in cells.items()}
    digests = list(by_digest)
    for first in range(0, len(digests), AT_ONCE):
        part = digests[first : first + AT_ONCE]
        here = _at(place) & counts.c.digest.in_(part)
        for row in (await connection.execute(select(counts).where(here))).mappings():
            by_digest[row["digest"]][1].add(_cell(row))
        rows = [_row(place, digest, *by_digest[digest]) for digest in part]
        await _put(connection, database, counts, rows)


async def _trim(connection: AsyncConnection, database: Database, place: Place, most: int) -> None:
    """Where twice as many keys have come together as are kept, count all but those with most calls together."""
    if (await connection.scalar(select(func.count()).where(_at(place))) or 0) <= 2 * most:
        return
    ordered = select(counts).where(_at(place)).order_by(counts.c.calls.desc(), counts.c.digest).offset(most)
    small: dict[Key, Cell] = {}
    gone = []
    for row in (await connection.execute(ordered)).mappings():
        key = _key(row)
        if key != key.others():
            gone.append(row["digest"])
            small.setdefault(key.others(), Cell()).add(_cell(row))
    for first in range(0, len(gone), AT_ONCE):
        await connection.execute(delete(counts).where(_at(place) & counts.c.digest.in_(gone[first : first + AT_ONCE])))
    await _add_to(connection, database, place, small)


async def forget(database: Database, now: float, keep: Mapping[int, float]) -> int:
    """Remove what is older than so many seconds, by resolution; return how many rows went."""
    gone = 0
    async with database.transaction(writes=True, lock=LOCK, more=60) as connection:
        for resolution, seconds in keep.items():
            old = (counts.c.resolution == resolution) & (counts.c.start < int(now - seconds) - resolution)
            gone += (await connection.execute(delete(counts).where(old))).rowcount
        await connection.execute(delete(batches).where(batches.c.at < now - 30 * 86400))
    return gone


async def ask(
    database: Database, question: Question, own: str | None = None, has: Callable[[str], bool] | None = None
) -> list[Answer]:
    """Answer a question, the groups with most calls first; of a series the oldest first. With ``own`` only of the calls
    of that user. With ``has``, which knows names, only of calls of APIs and routes that it has; users and applications
    that it has not are told as one.

    Raises:
        TooMuch: it would take more rows than a question may.
        StoreError: the database is away.
    """
    since, until = question.bounds
    where = (counts.c.resolution == question.resolution) & (counts.c.start >= since) & (counts.c.start < until)
    for name, values in question.where.items():
        where &= counts.c[name].in_(list(values))
    if own is not None:
        where &= counts.c.user == own
    names = dict.fromkeys((*question.by, *(() if has is None else ("api", "route"))))
    wanted = [counts.c.start, *(counts.c[name] for name in (*names, *_NUMBERS, "sketch"))]
    groups: dict[tuple[int | None, tuple[str, ...]], Cell] = {}
    async with database.transaction(more=20) as connection:
        if (await connection.scalar(select(func.count()).where(where)) or 0) > MOST_READ:
            raise TooMuch
        streamed = await connection.stream(select(*wanted).where(where))
        async for row in streamed.mappings():
            if has is not None and not has(row["api"] or row["route"]):
                continue
            start = row["start"] if question.series else None
            group = start, tuple(_shown(name, row[name], has) for name in question.by)
            groups.setdefault(group, Cell()).add(_cell(row))
    answers = [Answer(group, start, cell) for (start, group), cell in groups.items()]
    return sorted(answers, key=lambda each: (each.start or 0, -each.cell.calls, each.group))


def _shown(name: str, value: str, has: Callable[[str], bool] | None) -> str:
    return OTHER if has is not None and value and name in ("user", "application") and not has(value) else value


def _at(place: Place) -> Any:
    return (counts.c.resolution == place[0]) & (counts.c.start == place[1])


def _key(row: Mapping[Any, Any]) -> Key:
    return Key(*(row[name] for name in DIMENSIONS))


def _cell(row: Mapping[Any, Any]) -> Cell:
    cell = Cell()
    for name in _NUMBERS:
        setattr(cell, name, row[name])
    merge(cell.sketch, unpacked(row["sketch"]))
    return cell


def _row(place: Place, digest: str, key: Key, cell: Cell) -> dict[str, Any]:
    numbers = {name: getattr(cell, name) for name in _NUMBERS}
    named = {"resolution": place[0], "start": place[1], "digest": digest}
    return {**named, **dict(zip(DIMENSIONS, key, strict=True)), **numbers, "sketch": packed(cell.sketch)}


async def _put(connection: AsyncConnection, database: Database, table: Any, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows, over those that are there."""
    insert: Any = sqlite.insert if database.is_sqlite else postgresql.insert
    statement = insert(table)
    fresh = {each.name: statement.excluded[each.name] for each in table.columns if not each.primary_key}
    keys = [each.name for each in table.primary_key]
    listed = list(rows)
    if listed:
        await connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=fresh), listed)
