"""API tokens: 256 bits made by chance, shown once, and kept as SHA-256, which is enough for what nobody can guess."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import delete, insert, select, update

from hookgate_people.audit import Audit, By
from hookgate_people.granting import granted
from hookgate_people.naming import ADMIN, permissions
from hookgate_people.tables import tokens, users
from hookgate_storage import Database, Exists, Missing, Refused

TOKEN = "tokens"  # noqa: S105 - the kind
PREFIX = "hgt_"
"""How each begins, so that a scanner for secrets finds one that has got into the wrong place."""
TOUCH = 60.0
"""Seconds between two notes of when a token was used last."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without what is shown of it."""

    id: str
    user: str
    name: str
    scopes: tuple[str, ...] | None
    """Permissions that it gives, as far as its user has them; ``None`` for all of these."""
    made: float
    """Unix time."""
    ends: float | None
    used: float | None


@dataclass(frozen=True, slots=True)
class Shown:
    """What a token gives."""

    token: Token
    roles: frozenset[str]
    permissions: frozenset[str]


class Tokens:
    """Makes, finds and ends tokens; what is made and ended is in the audit."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._clock = audit.clock

    async def make(
        self,
        by: By,
        user: str,
        name: str,
        scopes: Iterable[str] | None = None,
        seconds: float | None = None,
    ) -> tuple[str, Token]:
        """Make a token that ends after so many seconds, or never; return it, and what is kept of it.

        Raises:
            Missing: there is no such user.
            Exists: the user has a token of that name.
            Refused: the name is none, or the user has not got a permission that is in the scopes.
        """
        if not 0 < len(name) <= 100 or not name.isprintable() or name != name.strip():
            raise Refused(TOKEN, name[:50], f"{name[:50]!r} is no name of a token: 1 to 100 printable characters")
        wanted = None if scopes is None else permissions(TOKEN, name, scopes)
        text = PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        kept = None if wanted is None else tuple(sorted(wanted))
        made = Token(secrets.token_hex(8), user, name, kept, now, None if seconds is None else now + seconds, None)
        async with self._database.transaction(writes=True) as connection:
            if (await connection.execute(select(users.c.name).where(users.c.name == user))).first() is None:
                raise Missing("users", user, f"there is no user {user}")
            same = select(tokens.c.id).where(tokens.c.user == user, tokens.c.name == name)
            if (await connection.execute(same)).first() is not None:
                raise Exists(TOKEN, name, f"{user} has a token {name} already")
            _, held = await granted(connection, user)
            if wanted is not None and ADMIN not in held and (beyond := sorted(wanted - held)):
                raise Refused(TOKEN, name, f"{user} has no permission {beyond[0]}, so no token can give it")
            row = {
                "id": made.id,
                "user": user,
                "name": name,
                "hash": _hash(text),
                "scopes": None if kept is None else orjson.dumps(kept).decode(),
                "made": made.made,
                "ends": made.ends,
                "used": None,
            }
            await connection.execute(insert(tokens).values(row))
            await self._audit.note(connection, by, "create", f"{TOKEN}/{made.id}", None, _told(made))
        return text, made

    async def page(self, user: str | None = None, after: str = "", limit: int = 100) -> list[Token]:
        """Return tokens in the order of their ids: all, or those of a user."""
        wanted = select(tokens).where(tokens.c.id > after).order_by(tokens.c.id).limit(limit)
        if user is not None:
            wanted = wanted.where(tokens.c.user == user)
        async with self._database.transaction() as connection:
            return [_token(row) for row in await connection.execute(wanted)]

    async def get(self, identifier: str) -> Token | None:
        """Return a token."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(tokens).where(tokens.c.id == identifier))).first()
        return None if row is None else _token(row)

    async def end(self, by: By, identifier: str) -> None:
        """End a token.

        Raises:
            Missing: there is none.
        """
        async with self._database.transaction(writes=True) as connection:
            row = (await connection.execute(select(tokens).where(tokens.c.id == identifier))).first()
            if row is None:
                raise Missing(TOKEN, identifier, f"there is no token {identifier}")
            await connection.execute(delete(tokens).where(tokens.c.id == identifier))
            await self._audit.note(connection, by, "remove", f"{TOKEN}/{identifier}", _told(_token(row)), None)

    async def shown(self, text: str) -> Shown | None:
        """Return what a token gives; nothing for one that is none, has ended, or whose user is disabled."""
        if not text.startswith(PREFIX):
            return None
        now = self._clock()
        wanted = select(tokens).join(users, users.c.name == tokens.c.user)
        wanted = wanted.where(tokens.c.hash == _hash(text), users.c.disabled.is_(False))
        async with self._database.transaction() as connection:
            row = (await connection.execute(wanted)).first()
            if row is None or (row.ends is not None and row.ends <= now):
                return None
            held_roles, held = await granted(connection, row.user)
        token = _token(row)
        if token.used is None or now - token.used >= TOUCH:
            async with self._database.transaction(writes=True) as connection:
                await connection.execute(update(tokens).where(tokens.c.id == token.id).values(used=now))
        return Shown(token, held_roles, narrowed(held, token.scopes))


def narrowed(held: frozenset[str], scopes: Iterable[str] | None) -> frozenset[str]:
    """Return what is left of permissions within scopes."""
    if scopes is None:
        return held
    return frozenset(scopes) if ADMIN in held else held & frozenset(scopes)


def _hash(text: str) -> bytes:
    return sha256(text.encode(errors="replace")).digest()


def _token(row: Any) -> Token:
    scopes = None if row.scopes is None else tuple(orjson.loads(row.scopes))
    return Token(row.id, row.user, row.name, scopes, row.made, row.ends, row.used)


def _told(token: Token) -> dict[str, Any]:
    """Return what the audit tells of a token."""
    return {"user": token.user, "name": token.name, "scopes": token.scopes, "ends": token.ends}
