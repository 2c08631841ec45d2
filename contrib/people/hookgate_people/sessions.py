"""Sessions of browsers: 256 bits made by chance in a cookie, kept as SHA-256, with an end when idle and one for all.

What shows a session shows a second token with each call that changes something. It comes from the first one, so
nothing more is kept, and a page of somebody else cannot know it: it cannot read the cookie.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import delete, insert, or_, select, update

from hookgate_people.audit import Audit, By, clean
from hookgate_people.granting import granted
from hookgate_people.tables import sessions, users
from hookgate_storage import Database, Missing

SESSION = "sessions"
IDLE = 30 * 60.0
"""Seconds without a call after which a session ends."""
LIFETIME = 12 * 3600.0
"""Seconds after which a session ends in any case."""
MOST = 20
"""Sessions of one user; with one more the oldest ends."""
TOUCHES = 10
"""How often within the idle time a call is noted: not each one is written."""
LENGTH = 43
"""Characters of what is in the cookie."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session, without what is shown of it."""

    id: str
    user: str
    method: str
    """How its user has logged in."""
    address: str
    """Where from."""
    agent: str
    """What the browser called itself."""
    made: float
    """Unix time."""
    used: float
    """When it was used last, by and large."""
    ends: float


@dataclass(frozen=True, slots=True)
class Held:
    """What a session gives."""

    session: Session
    roles: frozenset[str]
    permissions: frozenset[str]


class Sessions:
    """Begins, finds and ends sessions; what begins and is ended is in the audit."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit
        self._clock = audit.clock
        self.idle, self.lifetime = IDLE, LIFETIME
        """Seconds."""

    async def begin(self, by: By, method: str, agent: str = "", instead: str = "") -> tuple[str, Session]:
        """Begin a session of somebody who has just logged in; what is shown of it is new. ``instead`` ends.

        Raises:
            Missing: the user has gone, or been disabled, meanwhile.
        """
        text, now = secrets.token_urlsafe(32), self._clock()
        ends = now + self.lifetime
        address, told_agent = clean(by.address, 100), clean(agent, 200)
        made = Session(secrets.token_hex(8), by.who, method, address, told_agent, now, now, ends)
        row = {name: getattr(made, name) for name in Session.__slots__} | {"hash": _hash(text)}
        async with self._database.transaction(writes=True) as connection:
            wanted = select(users.c.name).where(users.c.name == by.who, users.c.disabled.is_(False))
            if (await connection.execute(wanted)).first() is None:
                raise Missing("users", by.who, f"there is no user {by.who}")
            over = or_(sessions.c.ends <= now, sessions.c.used <= now - self.idle, sessions.c.hash == _hash(instead))
            await connection.execute(delete(sessions).where(over))
            theirs = select(sessions.c.id).where(sessions.c.user == by.who).order_by(sessions.c.made.desc())
            old = (await connection.execute(theirs.offset(MOST - 1))).scalars().all()
            await connection.execute(delete(sessions).where(sessions.c.id.in_(old)))
            await connection.execute(insert(sessions).values(row))
            await self._audit.note(connection, by, "create", f"{SESSION}/{made.id}", None, _told(made))
        return text, made

    async def held(self, text: str) -> Held | None:
        """Return what a session gives; nothing for one that is none, has ended, or whose user is disabled."""
        if len(text) != LENGTH:
            return None
        now = self._clock()
        wanted = select(sessions).join(users, users.c.name == sessions.c.user)
        wanted = wanted.where(sessions.c.hash == _hash(text), users.c.disabled.is_(False))
        async with self._database.transaction() as connection:
            row = (await connection.execute(wanted)).first()
            if row is None or row.ends <= now or row.used <= now - self.idle:
                return None
            roles, permissions = await granted(connection, row.user)
        if now - row.used >= self.idle / TOUCHES:
            async with self._database.transaction(writes=True) as connection:
                await connection.execute(update(sessions).where(sessions.c.id == row.id).values(used=now))
        return Held(_session(row), roles, permissions)

    async def page(self, user: str | None = None, after: str = "", limit: int = 100) -> list[Session]:
        """Return sessions that have not ended in the order of their ids: all, or those of a user."""
        now = self._clock()
        wanted = select(sessions).where(sessions.c.id > after, sessions.c.ends > now)
        wanted = wanted.where(sessions.c.used > now - self.idle).order_by(sessions.c.id).limit(limit)
        if user is not None:
            wanted = wanted.where(sessions.c.user == user)
        async with self._database.transaction() as connection:
            return [_session(row) for row in await connection.execute(wanted)]

    async def get(self, identifier: str) -> Session | None:
        """Return a session."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(sessions).where(sessions.c.id == identifier))).first()
        return None if row is None else _session(row)

    async def end(self, by: By, identifier: str) -> None:
        """End a session.

        Raises:
            Missing: there is none.
        """
        async with self._database.transaction(writes=True) as connection:
            row = (await connection.execute(select(sessions).where(sessions.c.id == identifier))).first()
            if row is None:
                raise Missing(SESSION, identifier, f"there is no session {identifier}")
            await connection.execute(delete(sessions).where(sessions.c.id == identifier))
            await self._audit.note(connection, by, "remove", f"{SESSION}/{identifier}", _told(_session(row)), None)


def forgery_token(text: str) -> str:
    """Return what has to be shown beside a session with each call that changes something."""
    return hmac.digest(text.encode(errors="replace"), b"hookgate forgery", "sha256").hex()


def _hash(text: str) -> bytes:
    return sha256(text.encode(errors="replace")).digest()


def _session(row: Any) -> Session:
    return Session(*(getattr(row, name) for name in Session.__slots__))


def _told(session: Session) -> dict[str, Any]:
    """Return what the audit tells of a session."""
    return {name: getattr(session, name) for name in ("user", "method", "address", "agent", "ends")}
