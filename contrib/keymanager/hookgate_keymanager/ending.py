"""What ends before its time: told to the cache of every node within a second, whichever node has ended it (KC-8).

Each ending is a row with a number; numbers commit in order, under a lock. A node looks for new ones several times in a
second. While it cannot look, answers that are kept count for a while only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_keymanager.family import Ended, nobody_listens
from hookgate_keymanager.tables import ended
from hookgate_people import Audit, People, Wanted
from hookgate_storage import Store, StoreError

LOCK = 0x686F6F6B6F617574
"""Number of the advisory lock on PostgreSQL that those hold who end something or use something up."""
POLL = 0.4
"""Seconds between two looks."""
AT_ONCE = 1000
ENTRIES = 100
"""Entries of the audit that one look reads."""

log = logging.getLogger("hookgate.keymanager")


class Endings:
    """Notes what has ended, and tells of it."""

    def __init__(self, store: Store, patience: float = 10.0, people: People | None = None) -> None:
        self._store, self._patience, self._people = store, patience, people
        self._entry: int | None = None
        """The last entry of the audit that was looked at."""
        self._seen: int | None = None
        self._looked = -1e9
        self._turn = asyncio.Lock()
        self.tell: Ended = nobody_listens
        self.trouble = ""
        """Why it cannot look."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Run statements that end something, one transaction after the other."""
        async with self._store.database.transaction(writes=True, lock=LOCK) as connection:
            yield connection

    async def note(self, connection: AsyncConnection, kind: str, value: str) -> None:
        """Note within such a transaction that something has ended."""
        last = (await connection.execute(select(func.max(ended.c.number)))).scalar() or 0
        row = {"number": last + 1, "kind": kind, "value": value, "at": self._store.clock()}
        await connection.execute(insert(ended).values(row))

    @property
    def is_current(self) -> bool:
        """Whether the last look was a short while ago."""
        return time.monotonic() - self._looked <= self._patience

    async def look(self) -> None:
        """Tell of what has ended since the last look; at once after ending something here."""
        async with self._turn:
            begun = time.monotonic()
            more = True
            while more:
                more = await self._page()
            if self._people is not None:
                await self._look_at(self._people.audit)
            if begun - self._looked > self._patience:
                self.tell("all", "")  # of what was kept meanwhile nobody knows
            self._looked = begun

    async def _page(self) -> bool:
        async with self._store.database.transaction() as connection:
            if self._seen is None:
                self._seen = (await connection.execute(select(func.max(ended.c.number)))).scalar() or 0
                return False
            wanted = select(ended).where(ended.c.number > self._seen).order_by(ended.c.number).limit(AT_ONCE)
            rows = (await connection.execute(wanted)).all()
        for row in rows:
            self._seen = row.number
            self.tell(row.kind, row.value)
        return len(rows) == AT_ONCE

    async def _look_at(self, audit: Audit) -> None:
        """Tell of users who were changed or removed, and of roles: what tokens give is no more what it was."""
        newest = await audit.page(Wanted(), limit=1 if self._entry is None else ENTRIES)
        before, self._entry = self._entry, newest[0].number if newest else 0
        if before is None:
            return
        fresh = [each for each in newest if each.number > before]
        for each in reversed(fresh):
            kind, _, name = each.object.partition("/")
            if each.action in ("change", "remove") and kind in ("users", "roles"):
                self.tell("user", name) if kind == "users" else self.tell("all", "")
        if len(fresh) == ENTRIES:
            self.tell("all", "")  # there may be more, behind them

    async def follow(self) -> None:
        """Look for as long as it is let."""
        while True:
            try:
                await self.look()
                self.trouble = ""
            except StoreError as error:
                if not self.trouble:
                    log.warning("what has ended cannot be looked for: %s", error)
                self.trouble = str(error)
            await asyncio.sleep(POLL)
