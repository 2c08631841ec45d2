"""What happens to documents and to what was said when APIs and users change: all of it within the same transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_apimanager.register import fates
from hookgate_community.tables import OF_APIS, SPOKEN, contents, documents, new_id, ratings, written
from hookgate_people import people_of
from hookgate_storage import Made, Store

NAME = "community"


def attach(store: Store) -> None:
    """Follow the APIs and users of a store; doing it again changes nothing."""
    store.watchers[NAME] = followed
    people_of(store).users.removed[NAME] = without


async def followed(connection: AsyncConnection, made: Sequence[Made]) -> None:
    """Let what belongs to an API go with it, or have another name when the API has."""
    for each in made:
        for name, now in fates(each):
            for table in OF_APIS:
                if now is None:
                    await connection.execute(delete(table).where(table.c.api == name))
                else:
                    await connection.execute(update(table).where(table.c.api == name).values(api=now))


async def without(connection: AsyncConnection, user: str) -> None:
    """Forget a user who is removed: what they have said stays, and is nobody's any more, so that somebody else of that
    name does not have it. Their ratings go."""
    for table in SPOKEN:
        gone = {"author": "", "display": ""}
        await connection.execute(update(table).where(table.c.author == user).values(gone))
    await connection.execute(delete(ratings).where(ratings.c.user == user))
    await connection.execute(delete(written).where(written.c.author == user))


async def copied(connection: AsyncConnection, api: str, to: str) -> None:
    """Give a new version of an API copies of the documents of another one, each with its visibility."""
    now = time.time()
    await connection.execute(delete(documents).where(documents.c.api == to))  # of one that stood in the file once
    ids = (await connection.execute(select(documents.c.id).where(documents.c.api == api))).scalars().all()
    for each in sorted(ids):
        new: dict[str, Any] = {"id": new_id(now), "api": to, "made": now, "changed": now, "version": 1}
        columns = [literal(new[name]) if (name := column.name) in new else column for column in documents.c]
        row = select(*columns).where(documents.c.id == each)
        await connection.execute(insert(documents).from_select(list(documents.c), row))
        body = select(literal(new["id"]), contents.c.body).where(contents.c.document == each)
        await connection.execute(insert(contents).from_select(["document", "body"], body))
        now += 1e-6  # they stay in their order
