"""Documents of APIs (KC-48)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_community.tables import contents, documents, new_id
from hookgate_community.visibility import SAME, Level
from hookgate_people import By, InUse, people_of
from hookgate_storage import Exists, Missing, Stale, Store

KIND = "documents"
Type = Literal["HOWTO", "SAMPLES", "PUBLIC_FORUM", "SUPPORT_FORUM", "OTHER"]
Source = Literal["inline", "url", "file"]
MARKDOWN = "text/markdown; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Written:
    """What a publisher writes of a document."""

    name: str
    type: Type
    other_type: str = ""
    summary: str = ""
    visibility: Level | None = None
    """``None`` for what it has; for a new one, that of the API."""
    source: Source = "inline"
    text: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class File:
    """What is put into a document."""

    filename: str
    media: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Document:
    """A document of an API."""

    id: str
    api: str
    name: str
    type: Type
    other_type: str
    summary: str
    visibility: Level
    source: Source
    text: str
    """Markdown, of one with the source ``inline``; empty in lists."""
    url: str
    filename: str
    """Empty for a file that nobody has put there yet."""
    media: str
    size: int
    """Bytes of the file."""
    made: float
    """Unix time."""
    changed: float
    """Unix time."""
    version: int

    @property
    def told(self) -> str:
        """What the audit calls it; the API last, since that says whose tenant it is."""
        return f"{KIND}/{self.id} of {self.api}"


_FIELDS = [field.name for field in fields(Document)]


class Documents:
    """Makes, finds, changes and removes documents."""

    def __init__(self, store: Store) -> None:
        self._store, self._database = store, store.database

    async def page(self, api: str, levels: Collection[Level], after: str, limit: int) -> list[Document]:
        """Return documents of an API with one of these levels, the oldest first, those behind one; without texts."""
        listed = [column for column in documents.c if column.name != "text"]
        asked = select(*listed).where(documents.c.api == api, documents.c.visibility.in_(levels))
        asked = asked.where(documents.c.id > after).order_by(documents.c.id).limit(limit)
        async with self._database.transaction() as connection:
            return [Document(**row, text="") for row in (await connection.execute(asked)).mappings()]

    async def get(self, api: str, document: str) -> Document | None:
        """Return a document of an API."""
        asked = select(documents).where(documents.c.api == api, documents.c.id == document)
        async with self._database.transaction() as connection:
            row = (await connection.execute(asked)).mappings().first()
        return None if row is None else Document(**row)

    async def body(self, document: str) -> bytes | None:
        """Return the file of a document; ``None`` where there is none."""
        asked = select(contents.c.body).where(contents.c.document == document)
        async with self._database.transaction() as connection:
            found: bytes | None = (await connection.execute(asked)).scalar()
        return found

    async def make(self, by: By, api: str, wanted: Written, most: int) -> Document:
        """Make a document, unless the API has ``most`` of them.

        Raises:
            Exists: the API has one of that name.
            InUse: the API has enough.
        """
        now = self._store.clock()
        empty = Document(new_id(now), api, "", "OTHER", "", "", SAME, "inline", "", "", "", "", 0, now, now, 0)
        made = _as_written(empty, wanted, now)
        async with self._database.transaction(writes=True) as connection:
            counted = select(func.count()).select_from(documents).where(documents.c.api == api)
            if (count := (await connection.execute(counted)).scalar_one()) >= most:
                raise InUse(KIND, wanted.name, f"{api} has {count} documents, and may have {most}: remove one first")
            await _free(connection, made)
            await connection.execute(insert(documents).values(_row(made)))
            await self._note(connection, by, "create", made, None, _said(made))
        return made

    async def replace(self, by: By, old: Document, wanted: Written, version: int | None) -> Document:
        """Put something else in the place of a document; a file stays if it is to be one still.

        Raises:
            Missing: it is gone.
            Stale: it has another version.
            Exists: the API has another one of that name.
        """
        async with self._database.transaction(writes=True) as connection:
            held = await self._must(connection, old, version)
            new = _as_written(held, wanted, self._store.clock())
            await _free(connection, new)
            await connection.execute(update(documents).where(documents.c.id == new.id).values(_row(new)))
            if new.source != "file":
                await connection.execute(delete(contents).where(contents.c.document == new.id))
            await self._note(connection, by, "change", new, _said(held), _said(new))
        return new

    async def put(self, by: By, old: Document, file: File, version: int | None) -> Document:
        """Put a file into a document, which has no other source then.

        Raises:
            Missing: it is gone.
            Stale: it has another version.
        """
        async with self._database.transaction(writes=True) as connection:
            held = await self._must(connection, old, version)
            new = replace(
                held,
                source="file",
                text="",
                url="",
                filename=file.filename,
                media=file.media,
                size=len(file.body),
                changed=self._store.clock(),
                version=held.version + 1,
            )
            await connection.execute(update(documents).where(documents.c.id == new.id).values(_row(new)))
            await connection.execute(delete(contents).where(contents.c.document == new.id))
            await connection.execute(insert(contents).values(document=new.id, body=file.body))
            await self._note(connection, by, "change", new, _said(held), _said(new))
        return new

    async def remove(self, by: By, old: Document, version: int | None) -> None:
        """Remove a document with its file.

        Raises:
            Missing: it is gone.
            Stale: it has another version.
        """
        async with self._database.transaction(writes=True) as connection:
            held = await self._must(connection, old, version)
            await connection.execute(delete(documents).where(documents.c.id == held.id))
            await self._note(connection, by, "remove", held, _said(held), None)

    async def _note(
        self, connection: AsyncConnection, by: By, action: str, what: Document, before: Any, after: Any
    ) -> None:
        await people_of(self._store).audit.note(connection, by, action, what.told, before, after)

    async def _must(self, connection: AsyncConnection, old: Document, version: int | None) -> Document:
        asked = select(documents).where(documents.c.api == old.api, documents.c.id == old.id)
        row = (await connection.execute(asked)).mappings().first()
        if row is None:
            raise Missing(KIND, old.id, f"there is no document {old.id}")
        if version is not None and row["version"] != version:
            message = f"{row['name']} has been changed since: it has version {row['version']}, not {version}"
            raise Stale(KIND, old.id, message)
        return Document(**row)


async def _free(connection: AsyncConnection, made: Document) -> None:
    same = (documents.c.api == made.api) & (documents.c.name == made.name) & (documents.c.id != made.id)
    if (await connection.execute(select(documents.c.id).where(same))).first() is not None:
        raise Exists(KIND, made.name, f"{made.api} has a document {made.name!r} already")


def _as_written(old: Document, wanted: Written, now: float) -> Document:
    """Return a document as it is to be; what there is of its file stays if it is one still."""
    stays = wanted.source == old.source == "file"
    return replace(
        old,
        name=wanted.name,
        type=wanted.type,
        other_type=wanted.other_type,
        summary=wanted.summary,
        visibility=wanted.visibility or old.visibility,
        source=wanted.source,
        text=wanted.text,
        url=wanted.url,
        filename=old.filename if stays else "",
        media=old.media if stays else "",
        size=old.size if stays else 0,
        changed=now,
        version=old.version + 1,
    )


def _row(document: Document) -> dict[str, Any]:
    return {name: getattr(document, name) for name in _FIELDS}


def _said(document: Document) -> dict[str, Any]:
    """Return what the audit has of a document; of its text the length."""
    kept = ("name", "type", "summary", "visibility", "source", "url", "filename", "media", "size")
    return {**{name: getattr(document, name) for name in kept}, "characters": len(document.text)}
