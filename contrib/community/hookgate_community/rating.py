"""Ratings: one of each user for an API, from 1 to 5 (KC-82)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from hookgate_community.tables import ratings
from hookgate_community.writing import Author, let_write
from hookgate_storage import Store

LEAST, MOST = 1, 5
AT_ONCE = 500
"""Names that one statement asks for."""


class Ratings:
    """Keeps ratings."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def of(self, apis: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return average, with two digits behind the point, and count for each API; the average of none is ``None``.

        Raises:
            StoreError: the store is away.
        """
        found: dict[str, dict[str, Any]] = {each: {"average": None, "count": 0} for each in apis}
        for begin in range(0, len(apis), AT_ONCE):
            asked = select(ratings.c.api, func.sum(ratings.c.rating), func.count())
            asked = asked.where(ratings.c.api.in_(apis[begin : begin + AT_ONCE])).group_by(ratings.c.api)
            async with self._store.database.transaction() as connection:
                for api, total, count in await connection.execute(asked):
                    found[api] = {"average": round(int(total) / count, 2), "count": count}
        return found

    async def own(self, api: str, user: str) -> int | None:
        """Return what a user has given; ``None`` for nothing."""
        asked = select(ratings.c.rating).where(ratings.c.api == api, ratings.c.user == user)
        async with self._store.database.transaction() as connection:
            found: int | None = (await connection.execute(asked)).scalar()
        return found

    async def give(self, author: Author, api: str, rating: int) -> None:
        """Rate an API, in the place of what the user has given it before.

        Raises:
            TooOften: they have written enough.
        """
        now = self._store.clock()
        async with self._store.aside() as connection:
            await let_write(connection, author, now)
            here = (ratings.c.api == api) & (ratings.c.user == author.name)
            row = {"rating": rating, "at": now}
            if not (await connection.execute(update(ratings).where(here).values(row))).rowcount:
                await connection.execute(insert(ratings).values({"api": api, "user": author.name, **row}))

    async def take_back(self, user: str, api: str) -> None:
        """Remove what a user has given, if they have."""
        async with self._store.aside() as connection:
            await connection.execute(delete(ratings).where(ratings.c.api == api, ratings.c.user == user))
