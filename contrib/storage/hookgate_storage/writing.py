"""Parts of a write: what is checked before, read for it, and carried out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import and_, bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_storage import digest as digests
from hookgate_storage.errors import Exists, Missing, Refused, Stale
from hookgate_storage.sealing import Keys
from hookgate_storage.tables import changes, generations, objects
from hookgate_storage.things import Change, Generation, Key, Made, Writing

LONGEST_BODY = 1024 * 1024
"""Bytes of one object."""
LONGEST_NAME = 200
AT_ONCE = 500
"""Names in one question."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Puts writes into the tables, within a transaction: what they ask and tell of is asked and told together."""

    keys: Keys
    secret: bytes
    at: float
    """Unix time of the generations."""

    async def run(
        self,
        connection: AsyncConnection,
        head: Generation,
        wanted: Sequence[Writing],
        bodies: Sequence[Sequence[bytes | None]],
    ) -> list[Made]:
        """Make a generation of each write, one upon the other. ``bodies`` are those of the changes, as they are sealed.

        Raises:
            Exists, Missing, Stale: an object has another version than a change expects.
        """
        listed = [change for writing in wanted for change in writing.changes]
        before = await rows(connection, listed)
        last = await last_versions(connection, [each for each in listed if (each.kind, each.name) not in before])
        held: dict[Key, dict[str, Any] | None] = {}
        """What there is after the changes so far, of objects that they touch."""
        told: list[dict[str, Any]] = []
        made: list[Made] = []
        for writing, plains in zip(wanted, bodies, strict=True):
            number, total, count = head.number + 1, int(head.digest, 16), head.count
            olds, versions = [], []
            for ordinal, (change, plain) in enumerate(zip(writing.changes, plains, strict=True)):
                key = change.kind, change.name
                old = held[key] if key in held else before.get(key)
                expect(change, None if old is None else old["version"])
                was = None if old is None else self.keys.open(old["sealed"], "/".join(key))
                olds.append(None if was is None else orjson.loads(was))
                if old is not None and was is not None:
                    total -= digests.share(self.secret, *key, old["version"], was)
                version = last[key] = 1 + (last.get(key, 0) if old is None else old["version"])
                row = {"kind": change.kind, "name": change.name, "shape": change.shape, "version": version}
                row["sealed"] = None if plain is None else self.keys.seal(plain, "/".join(key))
                told.append({"generation": number, "ordinal": ordinal, **row})
                held[key] = None if plain is None else {"generation": number, **row}
                if plain is not None:
                    total += digests.share(self.secret, *key, version, plain)
                count += (plain is not None) - (old is not None)
                versions.append(version)
            head = Generation(number, self.at, writing.author, writing.comment, digests.shown(total), count)
            made.append(Made(head, writing, tuple(olds), tuple(versions)))
        await connection.execute(insert(changes), told)
        await carry_out(connection, before, held)
        await connection.execute(insert(generations), [_row(each.generation) for each in made])
        return made


def portions(wanted: Sequence[Change]) -> Iterator[tuple[str, list[str]]]:
    """Give kinds with names of theirs, as many at a time as one question may have."""
    names: dict[str, list[str]] = {}
    for change in wanted:
        names.setdefault(change.kind, []).append(change.name)
    for kind, listed in names.items():
        for start in range(0, len(listed), AT_ONCE):
            yield kind, listed[start : start + AT_ONCE]


async def rows(connection: AsyncConnection, wanted: Sequence[Change]) -> dict[Key, Any]:
    """Return the rows of the objects that changes touch."""
    found: dict[Key, Any] = {}
    for kind, names in portions(wanted):
        asked = select(objects).where(objects.c.kind == kind, objects.c.name.in_(names))
        for row in (await connection.execute(asked)).mappings():
            found[row["kind"], row["name"]] = row
    return found


async def last_versions(connection: AsyncConnection, wanted: Sequence[Change]) -> dict[Key, int]:
    """Return the versions that objects had when they were removed."""
    found: dict[Key, int] = {}
    for kind, names in portions(wanted):
        asked = select(changes.c.name, func.max(changes.c.version)).where(
            changes.c.kind == kind, changes.c.name.in_(names)
        )
        for name, version in await connection.execute(asked.group_by(changes.c.name)):
            found[kind, name] = version
    return found


async def carry_out(connection: AsyncConnection, before: Mapping[Key, Any], held: Mapping[Key, Any]) -> None:
    """Have the objects be what changes have made of them."""
    here = and_(objects.c.kind == bindparam("of_kind"), objects.c.name == bindparam("of_name"))
    named = [{"of_kind": kind, "of_name": name} for kind, name in held]
    if gone := [each for each, (key, row) in zip(named, held.items(), strict=True) if row is None and key in before]:
        await connection.execute(delete(objects).where(here), gone)
    changed = [
        each | {column: row[column] for column in ("shape", "version", "generation", "sealed")}
        for each, (key, row) in zip(named, held.items(), strict=True)
        if row is not None and key in before
    ]
    if changed:
        await connection.execute(update(objects).where(here), changed)
    if fresh := [row for key, row in held.items() if row is not None and key not in before]:
        await connection.execute(insert(objects), fresh)


def is_other_path(name: str) -> bool:
    """Whether a name, encoded in a path, would be a dot segment to whoever decodes first: such calls are refused."""
    return any(part in (".", "..") for part in re.split(r"[\\/;]", name))


def checked(change: Change) -> bytes | None:
    """Write the body of a change.

    Raises:
        Refused: its name or its body is none, or too long.
    """
    kind, name = change.kind, change.name
    if not name or len(name) > LONGEST_NAME or not name.isprintable() or name != name.strip():
        message = f"{name[:50]!r} is no name: up to {LONGEST_NAME} printable characters, without blanks around them"
        raise Refused(kind, name, message)
    if change.body is None:
        return None
    try:
        plain = digests.canonical(change.body)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(kind, name, f"the body is no JSON: {error}") from None
    if len(plain) > LONGEST_BODY:
        raise Refused(kind, name, f"the body has {len(plain):,} bytes; at most {LONGEST_BODY:,} are stored")
    return plain


def expect(change: Change, version: int | None) -> None:
    """Refuse a change whose object has another version than it must; ``None`` is the one of what is not there."""
    what = f"{change.kind}/{change.name}"
    if change.version == 0 and version is not None:
        raise Exists(change.kind, change.name, f"{what} is there already")
    if version is None and (change.body is None or change.version):
        raise Missing(change.kind, change.name, f"there is no {what}")
    if change.version and version != change.version:
        raise Stale(
            change.kind, change.name, f"{what} has been changed since: it has version {version}, not {change.version}"
        )


def _row(generation: Generation) -> dict[str, Any]:
    return {name: getattr(generation, name) for name in ("number", "at", "author", "comment", "digest", "count")}
