"""The face of people: who a token or a password belongs to, and what they may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_people.audit import Audit, By, Told
from hookgate_people.errors import CodeNeeded, Denied, TooMany
from hookgate_people.factors import Factors, has_factor
from hookgate_people.granting import granted
from hookgate_people.hashing import Passwords
from hookgate_people.limits import Attempts
from hookgate_people.outside import Outside
from hookgate_people.roles import Roles
from hookgate_people.sessions import Sessions
from hookgate_people.shipped import SHIPPED
from hookgate_people.tables import logins, roles, users
from hookgate_people.tokens import Tokens
from hookgate_people.users import Users
from hookgate_storage import Exists, Made, Store

MOST_FAILED = 10
"""Failed logins in a row that lock a name."""
LOCKED = 15 * 60.0
"""Seconds for which a name is locked; after as long without an attempt, failures are forgotten."""
ADMINISTRATORS = "administrators"
"""The role that the first administrator has."""

address: ContextVar[str] = ContextVar("hookgate_people_address", default="")
"""Where the caller that is served calls from, for the audit of what is written to the store."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has shown who they are."""

    name: str
    roles: frozenset[str]
    """Those inside of roles, too."""
    permissions: frozenset[str]
    """Those that what was shown gives."""
    ends: float | None = None
    """When what was shown ends, in Unix time."""


class People:
    """Users, roles, tokens and the audit of one store."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store
        self._clock = clock
        self._database = store.database
        self._passwords = Passwords()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.attempts = Attempts()
        self.audit = Audit(store, clock)
        self.users = Users(store.database, self.audit, self._passwords)
        self.roles = Roles(store.database, self.audit)
        self.tokens = Tokens(store.database, self.audit)
        self.sessions = Sessions(store.database, self.audit)
        self.outside = Outside(store.database, self.audit, self.users)
        self.factors = Factors(store.database, self.audit, store.secret)
        self.mask: Callable[[str, Any], Any] = _all_masked
        """Takes the secrets out of the body of an object of a kind, for the audit."""

    async def authenticate(self, token: str) -> Person:
        """Return whose token that is.

        Raises:
            Denied: nobody's; or it has ended, or its user is disabled.
            StoreError: the store cannot be asked.
        """
        shown = await self.tokens.shown(token)
        if shown is None:
            raise Denied
        return Person(shown.token.user, shown.roles, shown.permissions, shown.token.ends)

    async def login(self, name: str, password: str, source: str = "", code: str = "") -> Person:
        """Return who has that name and password, and that code if they have a second factor. ``source`` is the address
        that it is asked from.

        Unknown names, service accounts and users that are disabled are refused as wrong passwords are: with the same
        words, after the same work, and locked in the same way. So are wrong codes.

        Raises:
            Denied: nobody has.
            CodeNeeded: there is a second factor, and no code.
            TooMany: the name is locked, too many logins of that address have failed, or too many wait.
            StoreError: the store cannot be asked.
        """
        name = name if 0 < len(name) <= 200 and name.isprintable() else "?"
        turn = self._turns.setdefault(name, asyncio.Lock())
        async with turn:  # so that calls at a time which show one password do not lock each other out
            known, factor = await self._known(name)
            unsure = known is None or not self._passwords.remembered(password, known)
            if unsure or (factor and code):
                self.attempts.count(source)
                await self._begin(name)
                right = await self._passwords.right(password, known) if unsure else True
                asked = right and factor and not code
                outcome = "asked for a code" if asked else "done" if right else "refused: wrong name or password"
                if right and factor and code and not await self.factors.take(name, code):
                    right, outcome = False, "refused: wrong code"
                await self._end(By(name, source), outcome, right=right, asked=asked)
                if not right:
                    raise Denied
                self.attempts.take_back(source)
            if factor and not code:
                raise CodeNeeded(name)
            return await self._person(name)

    async def check_code(self, by: By, code: str) -> None:
        """Check a code of the second factor of somebody who is logged in; wrong ones count as logins that fail.

        Raises:
            Denied: it is none.
            TooMany: too many were none.
        """
        async with self._turns.setdefault(by.who, asyncio.Lock()):
            await self._known(by.who)
            self.attempts.count(by.address)
            await self._begin(by.who)
            right = await self.factors.take(by.who, code)
            await self._end(by, "done" if right else "refused: wrong code", right=right)
            if not right:
                raise Denied
            self.attempts.take_back(by.address)

    async def person(self, name: str) -> Person | None:
        """Return a user who is vouched for by something else than a password; nothing for nobody, and for one who is
        disabled.

        Raises:
            StoreError: the store cannot be asked.
        """
        async with self._database.transaction(snapshot=False) as connection:
            wanted = select(users.c.name).where(users.c.name == name, users.c.disabled.is_(False))
            if (await connection.execute(wanted)).first() is None:
                return None
            return Person(name, *await granted(connection, name))

    async def permissions(self, user: str) -> frozenset[str]:
        """Return what a user may do; nothing for nobody, and for one who is disabled."""
        async with self._database.transaction() as connection:
            wanted = select(users.c.name).where(users.c.name == user, users.c.disabled.is_(False))
            if (await connection.execute(wanted)).first() is None:
                return frozenset()
            return (await granted(connection, user))[1]

    async def first(self, name: str, password: str) -> None:
        """Make the first administrator.

        Raises:
            Exists: there are users already.
        """
        by = By("hookgate people first")
        if await self.users.count():
            raise Exists("users", name, "there are users already; an administrator makes others")
        async with self._database.transaction(writes=True) as connection:
            if (await connection.execute(select(roles.c.name).where(roles.c.name == ADMINISTRATORS))).first() is None:
                await self.roles.made(connection, by, ADMINISTRATORS, ["admin"], description="May do everything.")
        await self.ship(by)
        await self.users.make(by, name, password, roles=[ADMINISTRATORS])

    async def ship(self, by: By) -> list[str]:
        """Make those of the shipped roles that there are not, and return their names. Roles that are there stay."""
        made = []
        async with self._database.transaction(writes=True) as connection:
            for name, role in SHIPPED.items():
                if (await connection.execute(select(roles.c.name).where(roles.c.name == name))).first() is None:
                    await self.roles.made(connection, by, name, role.permissions, description=role.description)
                    made.append(name)
        return made

    async def written(self, connection: AsyncConnection, made: Sequence[Made]) -> None:
        """Note what was written to the store, within its transaction: changes, with the bodies there were."""
        told: list[tuple[By, list[Told]]] = []
        count = 0
        for each in made:
            listed: list[Told] = []
            for change, before in zip(each.writing.changes, each.before, strict=True):
                action = "create" if before is None else "remove" if change.body is None else "change"
                old, new = (None if body is None else self.mask(change.kind, body) for body in (before, change.body))
                listed.append((action, f"{change.kind}/{change.name}", old, new))
                count += 1
                if count % 100 == 0:
                    await asyncio.sleep(0)  # calls are served meanwhile
            told.append((By(each.generation.author, each.writing.context.get(address, "")), listed))
        await self.audit.of_several(connection, told)

    async def _known(self, name: str) -> tuple[str | None, bool]:
        """Return the hash of somebody's password who may log in, and whether there is a second factor; refuse a name
        that is locked."""
        async with self._database.transaction() as connection:
            wanted = select(users.c.hash).where(users.c.name == name, users.c.disabled.is_(False))
            known: str | None = (await connection.execute(wanted)).scalar()
            until = (await connection.execute(select(logins.c.until).where(logins.c.name == name))).scalar()
            factor = await has_factor(connection, name)
        self._let(until or 0.0)
        return known, factor

    def _let(self, until: float) -> None:
        left = until - self._clock()
        if left > 0:
            raise TooMany("too many logins with this name have failed, and it is locked", left)

    async def _begin(self, name: str) -> None:
        """Count an attempt as failed before it is made: nobody gets more of them by making many at a time."""
        now = self._clock()
        async with self._database.transaction(writes=True) as connection:
            old = and_(logins.c.last < now - LOCKED, logins.c.until < now)
            await connection.execute(delete(logins).where(old))
            row = (await connection.execute(select(logins).where(logins.c.name == name))).first()
            if row is None:
                await connection.execute(insert(logins).values(name=name, failed=1, last=now, until=0.0))
                return
            self._let(row.until)
            failed = 1 if row.until else row.failed + 1
            told = {"failed": failed, "last": now, "until": now + LOCKED if failed >= MOST_FAILED else 0.0}
            await connection.execute(update(logins).where(logins.c.name == name).values(told))

    async def _end(self, by: By, outcome: str, *, right: bool, asked: bool = False) -> None:
        """Take back what was counted if the attempt has not failed: all of it, or this one where a code is missing, so
        that whoever has a password only does not get more attempts at codes by it."""
        async with self._database.transaction(writes=True) as connection:
            theirs = logins.c.name == by.who
            if asked:
                back = {"failed": logins.c.failed - 1, "until": 0.0}
                await connection.execute(update(logins).where(theirs, logins.c.failed > 0).values(back))
            elif right:
                await connection.execute(delete(logins).where(theirs))
            await self.audit.note(connection, by, "login", f"users/{by.who}", outcome=outcome)

    async def _person(self, name: str) -> Person:
        async with self._database.transaction() as connection:
            held, permissions = await granted(connection, name)
        return Person(name, held, permissions)


def _all_masked(kind: str, body: Any) -> Any:
    return {"kind": kind, "masked": True}


_known: list[People] = []
"""Those of the store that is served: reloads of the document do not forget who has failed to log in."""


def people_of(store: Store) -> People:
    """Return the people of a store, always the same ones."""
    for each in _known:
        if each.store is store:
            return each
    made = People(store)
    store.watchers["people"] = made.written
    _known[:] = [made]
    return made
