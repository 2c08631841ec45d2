"""What nodes have to forget: told to each of them within a second, whichever node it has happened on (KC-8).

Each notice is a row with a number, in a table of whoever keeps answers in memory; numbers commit in order, under a
lock. A node looks for new ones several times in a second, and for users and roles that were changed. While it cannot
look, answers that are kept count for a while only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from logging import Logger
from typing import Any

from sqlalchemy import Table, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_people.audit import Audit, Wanted
from hookgate_people.people import People
from hookgate_storage import Store, StoreError

POLL = 0.4
"""Seconds between two looks."""
AT_ONCE = 1000
ENTRIES = 100
"""Entries of the audit that one look reads."""

Tell = Callable[[str, str], None]
"""Takes a kind of notice, and which one it is. Of its own accord it is told ``user`` with a name, and ``all`` with
nothing, where nobody knows what has happened meanwhile."""


Late = Callable[[float], None]
"""Takes the seconds from a notice to the moment when it was told here."""


def nobody_measures(seconds: float) -> None:
    """Forget it."""


def nobody_listens(kind: str, value: str) -> None:
    """Forget nothing: nobody has kept answers."""


class Notices:
    """Writes notices into a table with the columns ``number``, ``kind``, ``value`` and ``at``, and tells of them."""

    def __init__(
        self,
        store: Store,
        table: Table,
        log: Logger,
        *,
        lock: int | None = None,
        patience: float = 10.0,
        people: People | None = None,
    ) -> None:
        """Without a ``lock`` of their own, notices are written by those who write to the store. ``patience`` is for how
        many seconds answers count while nobody can look."""
        self._store, self._table, self._log, self._lock = store, table, log, lock
        self.patience, self._people = patience, people
        self._entry: int | None = None
        """The last entry of the audit that was looked at."""
        self._seen: int | None = None
        self._looked = -1e9
        self._turn = asyncio.Lock()
        self.tell: Tell = nobody_listens
        self.late: Late = nobody_measures
        self.trouble = ""
        """Why it cannot look."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Run statements that make notices, one transaction after the other."""
        held: dict[str, Any] = {} if self._lock is None else {"lock": self._lock}
        async with self._store.database.transaction(writes=True, **held) as connection:
            yield connection

    async def note(self, connection: AsyncConnection, kind: str, value: str) -> None:
        """Make a notice within such a transaction."""
        number = self._table.c.number
        last = (await connection.execute(select(func.max(number)))).scalar() or 0
        row = {"number": last + 1, "kind": kind, "value": value, "at": self._store.clock()}
        await connection.execute(insert(self._table).values(row))

    @property
    def is_current(self) -> bool:
        """Whether the last look was a short while ago."""
        return time.monotonic() - self._looked <= self.patience

    async def look(self) -> None:
        """Tell of what is new since the last look; at once after making a notice here."""
        async with self._turn:
            begun = time.monotonic()
            more = True
            while more:
                more = await self._page()
            if self._people is not None:
                await self._look_at(self._people.audit)
            if begun - self._looked > self.patience:
                self.tell("all", "")  # of what was kept meanwhile nobody knows
            self._looked = begun

    async def _page(self) -> bool:
        table = self._table
        async with self._store.database.transaction() as connection:
            if self._seen is None:
                self._seen = (await connection.execute(select(func.max(table.c.number)))).scalar() or 0
                return False
            wanted = select(table).where(table.c.number > self._seen).order_by(table.c.number).limit(AT_ONCE)
            rows = (await connection.execute(wanted)).all()
        for row in rows:
            self._seen = row.number
            self.tell(row.kind, row.value)
            self._measure(row.at)
        return len(rows) == AT_ONCE

    def _measure(self, at: float) -> None:
        """Say how late something was told, by the clocks of both nodes: where they differ, that is in it."""
        self.late(max(0.0, self._store.clock() - at))

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
                self._measure(each.at)
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
                    self._log.warning("what has ended cannot be looked for: %s", error)
                self.trouble = str(error)
            await asyncio.sleep(POLL)
