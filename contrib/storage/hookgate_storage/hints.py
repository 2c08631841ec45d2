"""Hints of PostgreSQL that there is a new generation: one LISTEN for a node. A hint that is lost costs a poll."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg  # type: ignore[import-untyped]

from hookgate_storage.database import PATIENCE, Database
from hookgate_storage.store import CHANNEL

log = logging.getLogger("hookgate.storage")


@asynccontextmanager
async def hinted(database: Database, event: asyncio.Event) -> AsyncIterator[None]:
    """Set an event whenever anybody has written, for as long as the block lasts. SQLite gives no hints."""
    connection = None
    if not database.is_sqlite:
        try:
            connection = await asyncpg.connect(database.plain_url, timeout=PATIENCE / 2)
            await connection.add_listener(CHANNEL, lambda *_: event.set())
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.info("no hints of the store %s: %s", database.shown, type(error).__name__)
    try:
        yield
    finally:
        if connection is not None:
            with suppress(Exception):
                await connection.close(timeout=1)
