"""Drafts in the store: bodies that objects may get, which nothing serves (FL-33).

They lie in a table of their own, sealed, so a backup has them; an export and the digest do not, since these say what is
served.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_storage import Keys, Missing, Refused, Stale, Store

MOST = 1000
"""Drafts in one store: a bound on what a list of them costs."""
metadata = MetaData()
drafts = Table(
    "hookgate_drafts",
    metadata,
    Column("kind", String(100), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("base", Integer, nullable=False),
    Column("author", String(200), nullable=False),
    Column("at", Float, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
Noted = Callable[[AsyncConnection, Any], Awaitable[None]]
"""Notes in the audit what is done, within the transaction that does it; is given the body that was there before."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody wants an object to be."""

    kind: str
    name: str
    version: int
    """Grows with each saving, also where a draft of that name was dropped before."""
    base: int
    """Version of the object that it was made from; 0 for an object that was not there."""
    author: str
    at: float
    """Unix time of the last saving."""
    body: Any = None
    """Left out where drafts are only listed."""


class Drafts:
    """The drafts of one store."""

    def __init__(self, store: Store) -> None:
        self._database = store.database
        # of the secret of the store and not of its key, which may be rotated
        self._keys = Keys([hmac.digest(store.secret, b"hookgate drafts", "sha256")])

    async def listed(self, kind: str | None = None) -> list[Draft]:
        """Return the drafts, without their bodies, in the order of kinds and names."""
        wanted = select(*(column for column in drafts.c if column.name != "sealed"))
        if kind is not None:
            wanted = wanted.where(drafts.c.kind == kind)
        async with self._database.transaction() as connection:
            found = await connection.execute(wanted.order_by(drafts.c.kind, drafts.c.name))
            return [Draft(*row) for row in found]

    async def get(self, kind: str, name: str) -> Draft | None:
        """Return a draft."""
        async with self._database.transaction() as connection:
            return await self._get(connection, kind, name)

    async def save(self, wanted: Draft, plain: bytes, noted: Noted, expected: int | None = None) -> Draft:
        """Keep a draft in the place of the one that there is; ``expected`` is the version that this must have, 0 for
        none. Its ``version`` and time are given here.

        Raises:
            Stale: it has another version.
            Missing: there is none, and a version is expected.
            Refused: there are too many.
        """
        async with self._database.transaction(writes=True) as connection:
            old = await self._get(connection, wanted.kind, wanted.name)
            _expect(wanted.kind, wanted.name, old, expected)
            now = time.time()
            # a clock and no count from 1: a draft that was dropped and made anew must not have an ETag of before
            version = int(now * 1000) if old is None else max(old.version + 1, int(now * 1000))
            row = {
                "version": version,
                "base": wanted.base,
                "author": wanted.author[:200],
                "at": now,
                "sealed": self._keys.seal(plain, f"{wanted.kind}/{wanted.name}"),
            }
            if old is None:
                if (await connection.execute(select(func.count()).select_from(drafts))).scalar_one() >= MOST:
                    raise Refused(wanted.kind, wanted.name, f"there are {MOST} drafts; deploy or drop some")
                await connection.execute(insert(drafts).values(kind=wanted.kind, name=wanted.name, **row))
            else:
                await connection.execute(update(drafts).where(_here(wanted.kind, wanted.name)).values(**row))
            await noted(connection, None if old is None else old.body)
        return Draft(wanted.kind, wanted.name, version, wanted.base, wanted.author, now, wanted.body)

    async def drop(self, kind: str, name: str, noted: Noted, expected: int | None = None) -> None:
        """Forget a draft.

        Raises:
            Missing: there is none.
            Stale: it has another version.
        """
        async with self._database.transaction(writes=True) as connection:
            old = await self._get(connection, kind, name)
            _expect(kind, name, old, expected)
            if old is None:
                raise Missing(kind, name, f"{kind}/{name} has no draft")
            await connection.execute(delete(drafts).where(_here(kind, name)))
            await noted(connection, old.body)

    @staticmethod
    async def deployed(connection: AsyncConnection, done: Iterable[Draft]) -> None:
        """Forget drafts within the transaction that makes them live.

        Raises:
            Stale: somebody has saved or dropped one meanwhile.
        """
        for each in done:
            here = _here(each.kind, each.name) & (drafts.c.version == each.version)
            if not (await connection.execute(delete(drafts).where(here))).rowcount:
                raise Stale(each.kind, each.name, f"the draft of {each.kind}/{each.name} has been changed meanwhile")

    async def _get(self, connection: AsyncConnection, kind: str, name: str) -> Draft | None:
        row = (await connection.execute(select(drafts).where(_here(kind, name)))).first()
        if row is None:
            return None
        body = orjson.loads(self._keys.open(row.sealed, f"{kind}/{name}"))
        return Draft(kind, name, row.version, row.base, row.author, row.at, body)


def _here(kind: str, name: str) -> Any:
    return (drafts.c.kind == kind) & (drafts.c.name == name)


def _expect(kind: str, name: str, old: Draft | None, expected: int | None) -> None:
    if expected is None:
        return
    if old is None and expected:
        raise Missing(kind, name, f"{kind}/{name} has no draft")
    if old is not None and old.version != expected:
        was = "none is expected" if expected == 0 else f"not {expected}"
        raise Stale(kind, name, f"{kind}/{name} has a draft of version {old.version}, {was}")
