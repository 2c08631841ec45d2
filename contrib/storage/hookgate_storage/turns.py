"""Turns among processes that write to one PostgreSQL.

A turn spares others work that would be for nothing: what is stored is safe without it. So it goes to the next as soon
as its holder cannot be heard, and a holder that has lost it carries on.
"""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from hookgate_storage.database import TURN_LOCK, Database
from hookgate_storage.errors import StoreError

BEAT = 0.5
"""Seconds between two signs of life of a holder."""
SILENT = 2.0
"""Seconds without a sign after which PostgreSQL gives a turn to the next."""
END = 1.0
"""Seconds that giving it back may take, before the connection is dropped instead."""


class Turn:
    """A turn of this process, held by a task of its own: to hold it must not hold up who has it."""

    def __init__(self) -> None:
        self.had: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once it is there."""
        self._over = asyncio.Event()

    async def hold(self, database: Database, seconds: float) -> None:
        """Wait for it, and hold it until it ends or for so many seconds.

        Raises:
            StoreError: it cannot be had in time, or the store is away.
        """
        try:
            async with database.transaction(writes=True, more=seconds, lock=TURN_LOCK, idle=SILENT) as connection:
                self.had.set_result(None)
                while not self._over.is_set():
                    try:
                        await asyncio.wait_for(self._over.wait(), BEAT)
                    except TimeoutError:
                        await connection.execute(text("SELECT 1"))
        except StoreError:
            if not self.had.done():
                raise

    async def end(self, holding: asyncio.Task[None]) -> None:
        """Give it back."""
        self._over.set()
        if not self.had.done():
            holding.cancel()
        try:
            await asyncio.wait([holding], timeout=END)
        finally:
            holding.cancel()  # the connection goes, and with it the turn
