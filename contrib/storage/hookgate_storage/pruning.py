"""Letting go of what is old: the ledger, nodes that are gone, and what other distributions keep in the same database.

It goes in small batches, each a transaction of its own that takes no lock of those who write. What is served is never
touched, and neither is what an older generation that is kept needs: of each object there stays the last change before
the oldest one.

A distribution with tables of its own names a function such as :func:`ledger` under the entry-point group
``hookgate.pruning``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.metadata import entry_points
from typing import Any

from pydantic import Field
from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select, tuple_

from hookgate import Duration, Options
from hookgate_storage.store import Store
from hookgate_storage.tables import changes, generations, nodes

GROUP = "hookgate.pruning"
BATCH = 500
"""Rows that one transaction removes."""
REST = 0.05
"""Seconds between two of them, in which others have the database for themselves."""
DAY = 86400.0
GONE = 7 * DAY
"""Seconds after which a node that was not heard of is forgotten."""


class Keep(Options):
    """How long what is old is kept."""

    changes: Duration = Field(default=400 * DAY, gt=0)
    """Generations of the ledger, with their changes: those that are older cannot be looked at, compared or gone back
    to."""
    generations: int = Field(default=1000, ge=1)
    """So many of the newest generations are kept, however old they are."""
    audit: Duration = Field(default=800 * DAY, gt=0)
    """Entries of the audit. The chain can be checked from the oldest one that is kept."""
    ended: Duration = Field(default=30 * DAY, gt=0)
    """API tokens after their end, so that people see what has ended; sessions go at once."""


Pruner = Callable[[Store, Keep, bool], AsyncIterator[tuple[str, int]]]
"""Removes what is old and gives what it was, with how many, after each batch; if the last argument is true it removes
nothing."""


async def prune(store: Store, keep: Keep, *, dry: bool = False) -> AsyncIterator[tuple[str, int]]:
    """Remove what is old, some at a time, and give what it was with how many. If it is ``dry``, nothing is removed.

    Raises:
        StoreError: the store is away; what has been removed so far is gone.
    """
    others = [point.load() for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)]
    for pruner in (ledger, *others):
        async for told in pruner(store, keep, dry):
            yield told


async def ledger(store: Store, keep: Keep, dry: bool) -> AsyncIterator[tuple[str, int]]:
    """Remove old generations, and nodes that are gone."""
    oldest = await _oldest(store, keep)
    if oldest is not None:
        # first what says that they can be looked at, then what is looked at
        here = generations.c.number < oldest
        async for count in removed(store, generations, here, dry=dry):
            yield "generations", count
        async for count in _changes(store, oldest, dry=dry):
            yield "changes", count
    async for count in removed(store, nodes, nodes.c.seen < store.clock() - GONE, dry=dry):
        yield "nodes", count


async def _oldest(store: Store, keep: Keep) -> int | None:
    """Return the generation that shall be the oldest one."""
    async with store.database.transaction() as connection:
        head = (await connection.execute(select(func.max(generations.c.number)))).scalar() or 0
        old = and_(generations.c.at < store.clock() - keep.changes, generations.c.number <= head - keep.generations)
        found: int | None = (await connection.execute(select(func.max(generations.c.number)).where(old))).scalar()
        return found


async def _changes(store: Store, oldest: int, *, dry: bool) -> AsyncIterator[int]:
    """Remove the changes up to a generation that no later one needs: those with a later change of the same object up
    to it, and removals. The older ones go first, so no removal goes before what it has removed.
    """
    later = changes.alias()
    place, after = tuple_(changes.c.generation, changes.c.ordinal), (-1, 0)
    superseded = (
        select(later.c.generation)
        .where(
            later.c.kind == changes.c.kind,
            later.c.name == changes.c.name,
            later.c.generation <= oldest,
            or_(
                later.c.generation > changes.c.generation,
                and_(later.c.generation == changes.c.generation, later.c.ordinal > changes.c.ordinal),
            ),
        )
        .exists()
    )
    listed = select(
        changes.c.generation, changes.c.ordinal, or_(changes.c.sealed.is_(None), superseded).label("old")
    ).order_by(changes.c.generation, changes.c.ordinal)
    while True:
        behind = or_(
            changes.c.generation > after[0], and_(changes.c.generation == after[0], changes.c.ordinal > after[1])
        )
        async with store.database.transaction() as connection:
            found = (await connection.execute(listed.where(changes.c.generation <= oldest, behind).limit(BATCH))).all()
        gone = [(row.generation, row.ordinal) for row in found if row.old]
        if gone:
            if not dry:
                await _remove(store, changes, place.in_(gone))
            yield len(gone)
        if len(found) < BATCH:
            return
        after = found[-1].generation, found[-1].ordinal
        await asyncio.sleep(0 if dry else REST)


async def removed(store: Store, table: Table, old: ColumnElement[bool], *, dry: bool) -> AsyncIterator[int]:
    """Remove the rows of a table with one column as its key that are old, the lowest keys first, and give how many."""
    (key,) = table.primary_key
    if dry:
        async with store.database.transaction() as connection:
            count = (await connection.execute(select(func.count()).select_from(table).where(old))).scalar_one()
        if count:
            yield count
        return
    while True:
        async with store.database.transaction() as connection:
            asked = select(key).where(old).order_by(key).limit(BATCH)
            found: Sequence[Any] = (await connection.execute(asked)).scalars().all()
        if found:
            await _remove(store, table, and_(key.in_(found), old))
            yield len(found)
        if len(found) < BATCH:
            return
        await asyncio.sleep(REST)


async def _remove(store: Store, table: Table, here: ColumnElement[bool]) -> None:
    async with store.aside() as connection:
        await connection.execute(delete(table).where(here))
