"""Second factors: codes by time (TOTP, RFC 6238), and codes that stand in for one, each good for one login.

The secret is sealed with a key that comes from the one of the store's digest, as bodies in the audit are: rotating the
key of the store leaves it as it is. A code that was taken is never taken again, nor is an older one: the step of the
last one is kept.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pyotp
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_people.audit import Audit, By
from hookgate_people.errors import InUse
from hookgate_people.tables import factors, recovery, sessions, users
from hookgate_storage import Database, Keys, Missing, Refused

FACTOR = "factors"
ISSUER = "hookgate"
"""What an authenticator calls the account, with the name of the user."""
PERIOD = 30
"""Seconds for which a code is the one that is shown."""
DRIFT = 1
"""Codes before and after the one of now that are taken, too: clocks differ, and people type (RFC 6238, 5.2)."""
CODES = 10
"""Recovery codes that are made; each has 80 bits."""
LONGEST_CODE = 64


@dataclass(frozen=True, slots=True)
class Factor:
    """What is told of a second factor."""

    confirmed: bool
    """Whether a login takes it."""
    recovery: int
    """Recovery codes that are left."""


class Factors:
    """Enrols, takes and removes second factors; each of it is in the audit, without codes."""

    def __init__(self, database: Database, audit: Audit, secret: bytes) -> None:
        self._database = database
        self._audit = audit
        self._clock = audit.clock
        self._keys = Keys([hmac.digest(secret, b"hookgate second factors", "sha256")])

    async def get(self, user: str) -> Factor | None:
        """Return what there is of somebody's factor."""
        async with self._database.transaction() as connection:
            row = await _row(connection, user)
            left = select(func.count()).select_from(recovery).where(recovery.c.user == user)
            return None if row is None else Factor(row.confirmed, (await connection.execute(left)).scalar() or 0)

    async def enrol(self, by: By, user: str) -> tuple[str, str]:
        """Make a factor, which counts once it is confirmed; return its secret, and the URI for an authenticator.

        Raises:
            Missing: there is no such user.
            Refused: it is a service account.
            InUse: the user has a factor.
        """
        secret = pyotp.random_base32()
        async with self._database.transaction(writes=True) as connection:
            found = (await connection.execute(select(users.c.service).where(users.c.name == user))).first()
            if found is None:
                raise Missing("users", user, f"there is no user {user}")
            if found.service:
                raise Refused(FACTOR, user, f"{user} is a service account, which has tokens and does not log in")
            old = await _row(connection, user)
            if old is not None and old.confirmed:
                raise InUse(FACTOR, user, f"{user} has a second factor already; end it first")
            await connection.execute(delete(factors).where(factors.c.user == user))
            sealed = self._keys.seal(secret.encode(), f"factor/{user}")
            await connection.execute(insert(factors).values(user=user, sealed=sealed, confirmed=False, step=0))
        return secret, pyotp.TOTP(secret).provisioning_uri(name=user, issuer_name=ISSUER)

    async def confirm(self, by: By, user: str, code: str, session: str = "") -> list[str]:
        """Have a factor count from now on, with a code that it shows; return the recovery codes. Sessions that began
        without it end, but for ``session``.

        Raises:
            Missing: none was made.
            InUse: it is confirmed.
            Refused: that is not its code.
        """
        async with self._database.transaction(writes=True) as connection:
            row = await _row(connection, user)
            if row is None:
                raise Missing(FACTOR, user, f"{user} has no second factor to confirm; make one first")
            if row.confirmed:
                raise InUse(FACTOR, user, f"{user} has a second factor already; end it first")
            step = self._step(row, code)
            if step is None:
                raise Refused(FACTOR, user, "that is not the code of this factor; look at the clock of the device")
            await connection.execute(update(factors).where(factors.c.user == user).values(confirmed=True, step=step))
            await connection.execute(delete(sessions).where(sessions.c.user == user, sessions.c.id != session))
            made = await _renewed(connection, user)
            await self._audit.note(connection, by, "create", f"{FACTOR}/{user}")
        return made

    async def renew(self, by: By, user: str) -> list[str]:
        """Make new recovery codes in the place of those that are left.

        Raises:
            Missing: there is no factor that is confirmed.
        """
        async with self._database.transaction(writes=True) as connection:
            row = await _row(connection, user)
            if row is None or not row.confirmed:
                raise Missing(FACTOR, user, f"{user} has no second factor")
            made = await _renewed(connection, user)
            await self._audit.note(connection, by, "change", f"{FACTOR}/{user}", None, {"recovery": "renewed"})
        return made

    async def remove(self, by: By, user: str) -> None:
        """Remove a factor, and its recovery codes.

        Raises:
            Missing: there is none.
        """
        async with self._database.transaction(writes=True) as connection:
            if await _row(connection, user) is None:
                raise Missing(FACTOR, user, f"{user} has no second factor")
            for table in (factors, recovery):
                await connection.execute(delete(table).where(table.c.user == user))
            await self._audit.note(connection, by, "remove", f"{FACTOR}/{user}")

    async def take(self, user: str, code: str) -> bool:
        """Whether a code is good, which it is not again: one of the factor, or one for recovery."""
        async with self._database.transaction(writes=True) as connection:
            row = await _row(connection, user)
            if row is None or not row.confirmed:
                return False
            step = self._step(row, code)
            if step is not None:  # of two that show it at a time, one finds the step as it was
                newer = update(factors).where(factors.c.user == user, factors.c.step < step).values(step=step)
                return (await connection.execute(newer)).rowcount == 1
            theirs = delete(recovery).where(recovery.c.user == user, recovery.c.hash == _hash(user, code))
            return (await connection.execute(theirs)).rowcount == 1

    def _step(self, row: Any, code: str) -> int | None:
        """Return which step a code is of, if that is one from now on that was not taken."""
        written = "".join(code.split())
        if len(written) != 6 or not written.isascii() or not written.isdigit():
            return None
        totp = pyotp.TOTP(self._keys.open(row.sealed, f"factor/{row.user}").decode())
        now = int(self._clock()) // PERIOD
        found = None
        for step in range(now - DRIFT, now + DRIFT + 1):
            if hmac.compare_digest(totp.generate_otp(step), written) and step > row.step:
                found = step
        return found


async def has_factor(connection: AsyncConnection, user: str) -> bool:
    """Whether somebody has a factor that is confirmed."""
    row = await _row(connection, user)
    return row is not None and bool(row.confirmed)


async def _row(connection: AsyncConnection, user: str) -> Any:
    return (await connection.execute(select(factors).where(factors.c.user == user))).first()


async def _renewed(connection: AsyncConnection, user: str) -> list[str]:
    made = ["-".join(secrets.token_hex(3)[:5] for _ in range(4)) for _ in range(CODES)]
    await connection.execute(delete(recovery).where(recovery.c.user == user))
    await connection.execute(insert(recovery), [{"user": user, "hash": _hash(user, code)} for code in made])
    return made


def _hash(user: str, code: str) -> bytes:
    plain = "".join(code[:LONGEST_CODE].split()).replace("-", "").lower()
    return sha256(f"{user}\0{plain}".encode(errors="replace")).digest()
