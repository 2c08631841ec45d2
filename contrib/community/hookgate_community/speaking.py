"""Comments on APIs, and replies to them (KC-82)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select

from hookgate_community.tables import comments, new_id
from hookgate_community.writing import Author, let_write
from hookgate_people import By, people_of
from hookgate_storage import Missing, Refused, Store

KIND = "comments"


@dataclass(frozen=True, slots=True)
class Said:
    """A comment or a reply."""

    id: str
    author: str
    """Empty where the user is gone."""
    display: str
    text: str
    at: float
    """Unix time."""
    parent: str = ""
    replies: int = 0


class Comments:
    """Keeps comments."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def page(self, api: str, after: str, limit: int, reply_to: str = "") -> list[Said]:
        """Return comments on an API, the newest first, those before one; or replies to a comment, the oldest first."""
        asked = select(comments).where(comments.c.api == api, comments.c.parent == reply_to).limit(limit)
        if reply_to:
            asked = asked.where(comments.c.id > after).order_by(comments.c.id)
        else:
            asked = asked.order_by(comments.c.id.desc())
            asked = asked.where(comments.c.id < after) if after else asked
        return await self._found(api, asked)

    async def get(self, api: str, comment: str) -> Said | None:
        """Return one of them."""
        found = await self._found(api, select(comments).where(comments.c.api == api, comments.c.id == comment))
        return found[0] if found else None

    async def make(self, author: Author, api: str, text: str, reply_to: str = "") -> Said:
        """Say something about an API, or reply to a comment.

        Raises:
            TooOften: they have written enough.
            Missing: there is no such comment.
            Refused: it is a reply itself.
        """
        now = self._store.clock()
        made = Said(new_id(now), author.name, author.display, text, now, reply_to)
        async with self._store.aside() as connection:
            if reply_to:
                asked = select(comments.c.parent).where(comments.c.api == api, comments.c.id == reply_to)
                above = (await connection.execute(asked.with_for_update())).scalar()  # or it may be removed meanwhile
                if above is None:
                    raise Missing(KIND, reply_to[:50], f"there is no comment {reply_to[:50]}")
                if above:
                    raise Refused(KIND, reply_to[:50], "that is a reply itself: reply to the comment above it")
            await let_write(connection, author, now)
            row = {each: getattr(made, each) for each in ("id", "author", "display", "text", "at", "parent")}
            await connection.execute(insert(comments).values(api=api, **row))
        return made

    async def remove(self, by: By, api: str, found: Said) -> None:
        """Remove a comment with the replies to it. Where it is somebody else's, the audit has it.

        Raises:
            Missing: it is gone already.
        """
        here = (comments.c.api == api) & (comments.c.id == found.id)
        async with self._store.database.transaction(writes=True) as connection:
            # first this one, for which those wait who reply to it; then all replies are there
            if not (await connection.execute(delete(comments).where(here))).rowcount:
                raise Missing(KIND, found.id, f"there is no comment {found.id}")
            await connection.execute(delete(comments).where(comments.c.api == api, comments.c.parent == found.id))
            if by.who != found.author:
                said = {"author": found.author, "text": found.text}
                await people_of(self._store).audit.note(connection, by, "remove", f"{KIND}/{found.id} on {api}", said)

    async def _found(self, api: str, asked: Any) -> list[Said]:
        counts: dict[str, int]
        async with self._store.database.transaction() as connection:
            rows = (await connection.execute(asked)).all()
            ids = [row.id for row in rows]
            counted = select(comments.c.parent, func.count()).where(comments.c.api == api, comments.c.parent.in_(ids))
            answered = await connection.execute(counted.group_by(comments.c.parent))
            counts = dict(answered.tuples().all())
        return [
            Said(row.id, row.author, row.display, row.text, row.at, row.parent, counts.get(row.id, 0)) for row in rows
        ]
