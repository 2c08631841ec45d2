"""Letting go of instances that are over, by their age; those that a GET has started go earlier (CR-32)."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any

from sqlalchemy import and_, delete, or_, select

from hookgate_storage import StoreError
from hookgate_workflows.journal import ACTIVE
from hookgate_workflows.tables import definitions, instances

log = logging.getLogger("hookgate.workflows")

FIRST, EVERY = 300.0, 3600.0
"""Seconds until what is old is looked for first, and then again, about: gateways do not do it together."""
AT_ONCE = 200
REST = 0.05
"""Seconds between two transactions, in which others have the database for themselves."""


async def in_background(engine: Any) -> None:
    """Let go of what is old now and then."""
    pause = FIRST
    while True:
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        pause = EVERY
        try:
            if count := await forget(engine, engine.host.clock.wall()):
                log.info("%d instances of workflows were removed for their age", count)
        except StoreError as error:
            log.warning("old instances of workflows were not all removed: %s", error)


async def forget(engine: Any, now: float) -> int:
    """Remove instances that have been over for longer than the section says, and definitions that none needs; return
    how many went. What is active stays, however old it is.

    Raises:
        StoreError: the journal is away; what has been removed so far is gone.
    """
    journal, settings, total = engine.journal, engine.settings, 0
    reads = and_(instances.c.method == "GET", instances.c.closed < now - settings.keep_reads)
    old = and_(instances.c.status != ACTIVE, or_(instances.c.closed < now - settings.keep, reads))
    while True:
        async with journal.database.transaction() as connection:
            asked = select(instances.c.id).where(old).order_by(instances.c.id).limit(AT_ONCE)
            found = list((await connection.execute(asked)).scalars())
        if found:
            await journal.forget(found)
            total += len(found)
        if len(found) < AT_ONCE:
            break
        await asyncio.sleep(REST)
    needed = select(instances.c.digest).where(instances.c.digest == definitions.c.digest).exists()
    unneeded = delete(definitions).where(~needed, definitions.c.made < now - settings.keep)
    await journal.write(lambda connection: connection.execute(unneeded))
    return total
