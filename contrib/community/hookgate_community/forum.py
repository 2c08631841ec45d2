"""The forum of an API: topics, and posts in them (KC-82)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from hookgate_community.tables import new_id, posts, topics
from hookgate_community.writing import Author, let_write
from hookgate_people import By, people_of
from hookgate_storage import Missing, Store

KIND = "topics"


class Closed(Exception):
    """A topic takes no more posts."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, and what was said first."""

    id: str
    author: str
    """Empty where the user is gone."""
    display: str
    title: str
    text: str
    closed: bool
    at: float
    """Unix time."""
    posts: int = 0


@dataclass(frozen=True, slots=True)
class Posted:
    """A post in a topic."""

    id: str
    author: str
    """Empty where the user is gone."""
    display: str
    text: str
    at: float
    """Unix time."""
    topic: str = ""


class Forum:
    """Keeps topics and posts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def topics(self, api: str, after: str, limit: int) -> list[Topic]:
        """Return the topics of an API, the newest first, those before one."""
        asked = select(topics).where(topics.c.api == api).order_by(topics.c.id.desc()).limit(limit)
        asked = asked.where(topics.c.id < after) if after else asked
        return await self._topics(asked)

    async def topic(self, api: str, topic: str) -> Topic | None:
        """Return one of them."""
        found = await self._topics(select(topics).where(topics.c.api == api, topics.c.id == topic))
        return found[0] if found else None

    async def posts(self, topic: str, after: str, limit: int) -> list[Posted]:
        """Return the posts in a topic, the oldest first, those behind one."""
        asked = select(posts).where(posts.c.topic == topic, posts.c.id > after).order_by(posts.c.id).limit(limit)
        async with self._store.database.transaction() as connection:
            return [_post(row) for row in await connection.execute(asked)]

    async def post(self, api: str, post: str) -> Posted | None:
        """Return a post in a topic of an API."""
        asked = select(posts).join(topics, topics.c.id == posts.c.topic)
        asked = asked.where(topics.c.api == api, posts.c.id == post)
        async with self._store.database.transaction() as connection:
            row = (await connection.execute(asked)).first()
        return None if row is None else _post(row)

    async def begin(self, author: Author, api: str, title: str, text: str) -> Topic:
        """Begin a topic.

        Raises:
            TooOften: they have written enough.
        """
        now = self._store.clock()
        made = Topic(new_id(now), author.name, author.display, title, text, closed=False, at=now)
        async with self._store.aside() as connection:
            await let_write(connection, author, now)
            fields = ("id", "author", "display", "title", "text", "closed", "at")
            row = {each: getattr(made, each) for each in fields}
            await connection.execute(insert(topics).values(api=api, **row))
        return made

    async def answer(self, author: Author, topic: str, text: str) -> Posted:
        """Write a post in a topic.

        Raises:
            TooOften: they have written enough.
            Missing: there is no such topic any more.
            Closed: it takes no more posts.
        """
        now = self._store.clock()
        made = Posted(new_id(now), author.name, author.display, text, now, topic)
        async with self._store.aside() as connection:
            # locked: whoever closes or removes it meanwhile is not overtaken
            asked = select(topics.c.closed).where(topics.c.id == topic).with_for_update()
            closed = (await connection.execute(asked)).scalar()
            if closed is None:
                raise Missing(KIND, topic[:50], f"there is no topic {topic[:50]}")
            if closed:
                raise Closed
            await let_write(connection, author, now)
            row = {each: getattr(made, each) for each in ("id", "author", "display", "text", "at", "topic")}
            await connection.execute(insert(posts).values(row))
        return made

    async def close(self, by: By, api: str, topic: Topic, *, closed: bool) -> None:
        """Close a topic, or open it again; the audit has it.

        Raises:
            Missing: it is gone already.
        """
        async with self._store.database.transaction(writes=True) as connection:
            here = topics.c.id == topic.id
            if not (await connection.execute(update(topics).where(here).values(closed=closed))).rowcount:
                raise Missing(KIND, topic.id, f"there is no topic {topic.id}")
            before, after = {"closed": topic.closed}, {"closed": closed}
            await people_of(self._store).audit.note(connection, by, "change", _told(topic, api), before, after)

    async def remove(self, by: By, api: str, topic: Topic) -> None:
        """Remove a topic with its posts. Where it is somebody else's, the audit has it.

        Raises:
            Missing: it is gone already.
        """
        said = {"author": topic.author, "title": topic.title, "text": topic.text, "posts": topic.posts}
        await self._remove(by, delete(topics).where(topics.c.id == topic.id), topic.author, _told(topic, api), said)

    async def take_back(self, by: By, api: str, post: Posted) -> None:
        """Remove a post. Where it is somebody else's, the audit has it.

        Raises:
            Missing: it is gone already.
        """
        said = {"author": post.author, "text": post.text}
        what = f"posts/{post.id} on {api}"
        await self._remove(by, delete(posts).where(posts.c.id == post.id), post.author, what, said)

    async def _remove(self, by: By, statement: Any, author: str, what: str, said: Any) -> None:
        async with self._store.database.transaction(writes=True) as connection:
            if not (await connection.execute(statement)).rowcount:
                raise Missing(KIND, what[:50], f"there is no {what}")
            if by.who != author:
                await people_of(self._store).audit.note(connection, by, "remove", what, said)

    async def _topics(self, asked: Any) -> list[Topic]:
        counts: dict[str, int]
        async with self._store.database.transaction() as connection:
            rows = (await connection.execute(asked)).all()
            ids = [row.id for row in rows]
            counted = select(posts.c.topic, func.count()).where(posts.c.topic.in_(ids)).group_by(posts.c.topic)
            counts = dict((await connection.execute(counted)).tuples().all())
        return [
            Topic(row.id, row.author, row.display, row.title, row.text, row.closed, row.at, counts.get(row.id, 0))
            for row in rows
        ]


def _told(topic: Topic, api: str) -> str:
    return f"{KIND}/{topic.id} on {api}"


def _post(row: Any) -> Posted:
    return Posted(row.id, row.author, row.display, row.text, row.at, row.topic)
