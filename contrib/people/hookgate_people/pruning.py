"""Letting go of old entries of the audit, of tokens that have ended, and of sessions that are over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from sqlalchemy import delete, func, select

from hookgate_people.audit import START
from hookgate_people.tables import audit, audit_head, sessions, tokens
from hookgate_storage import Keep, Store, removed

BATCH = 500
"""Entries that one transaction removes."""
REST = 0.05
"""Seconds between two of them."""


async def old_people(store: Store, keep: Keep, dry: bool) -> AsyncIterator[tuple[str, int]]:
    """Remove what is old."""
    now = store.clock()
    async for count in _entries(store, now - keep.audit, dry=dry):
        yield "entries of the audit", count
    async for count in removed(store, tokens, tokens.c.ends < now - keep.ended, dry=dry):
        yield "tokens that have ended", count
    async for count in removed(store, sessions, sessions.c.ends < now, dry=dry):
        yield "sessions that are over", count


async def _entries(store: Store, before: float, *, dry: bool) -> AsyncIterator[int]:
    """Remove entries from the beginning of the chain. Number and hash of the last one that goes are kept, sealed, so
    that the rest can be checked, and so that nobody without the key can move the beginning.
    """
    # entries have the clocks of several machines: the chain is cut before the first one that is young enough
    async with store.database.transaction() as connection:
        young = (await connection.execute(select(func.min(audit.c.number)).where(audit.c.at >= before))).scalar()
        end = (await connection.execute(select(audit_head.c.number))).scalar() or 0
        bound = end if young is None else young
        old = audit.c.number < bound  # the last one stays, whatever its age: the chain goes on from it
        count = (await connection.execute(select(func.count()).select_from(audit).where(old))).scalar_one()
    if dry:
        if count:
            yield count
        return
    while count > 0:
        async with store.aside() as connection:
            asked = select(audit.c.number, audit.c.mac).where(old).order_by(audit.c.number).limit(BATCH)
            found = (await connection.execute(asked)).all()
            if not found:
                return
            last = found[-1]
            await store.tell_within(connection, {START: {"number": last.number, "mac": bytes(last.mac).hex()}})
            await connection.execute(delete(audit).where(audit.c.number <= last.number))
        yield len(found)
        count -= len(found)
        await asyncio.sleep(REST)
