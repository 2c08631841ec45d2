"""Users and service accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_people.audit import Audit, By
from hookgate_people.errors import InUse
from hookgate_people.granting import has_administrator
from hookgate_people.hashing import LONGEST, SHORTEST, Passwords
from hookgate_people.naming import checked
from hookgate_people.tables import factors, identities, logins, roles, sessions, user_roles, users
from hookgate_storage import Database, Exists, Missing, Refused, Stale

USER = "users"
Removed = Callable[[AsyncConnection, str], Awaitable[None]]
"""Is told of a user who is removed, within the transaction."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in, or a service account: that has tokens only."""

    name: str
    display: str
    service: bool
    disabled: bool
    roles: tuple[str, ...]
    made: float
    """Unix time."""
    version: int
    failed: int = 0
    """Logins that failed in a row."""
    locked_until: float | None = None
    """Unix time."""
    factor: bool = False
    """Whether a login takes a second factor."""
    provider: str | None = None
    """Where the user logs in, if not here."""


@dataclass(frozen=True, slots=True)
class UserChange:
    """What changes of a user; ``None`` leaves as it is."""

    display: str | None = None
    disabled: bool | None = None
    roles: tuple[str, ...] | None = None
    password: str | None = None
    locked: bool | None = None
    """``False`` ends a lock."""


class Users:
    """Makes, changes and removes users; each change is in the audit."""

    def __init__(self, database: Database, audit: Audit, passwords: Passwords) -> None:
        self._database = database
        self._audit = audit
        self._passwords = passwords
        self._clock = audit.clock
        self.removed: dict[str, Removed] = {}
        """Told of users who are removed, by a name of their own: what is theirs goes with them."""

    async def get(self, name: str) -> User | None:
        """Return a user."""
        async with self._database.transaction() as connection:
            return await self._get(connection, name)

    async def page(self, after: str = "", limit: int = 100) -> list[User]:
        """Return users in the order of their names, those behind a name."""
        wanted = select(users.c.name).where(users.c.name > after).order_by(users.c.name).limit(limit)
        async with self._database.transaction() as connection:
            names = (await connection.execute(wanted)).scalars().all()
            return await self._all(connection, names)

    async def make(
        self,
        by: By,
        name: str,
        password: str | None,
        display: str = "",
        roles: Iterable[str] = (),
        *,
        disabled: bool = False,
        provider: str | None = None,
    ) -> User:
        """Make a user; without a password, a service account, or somebody who logs in at a provider.

        Raises:
            Exists: there is one of that name.
            Refused: the name or the password is none, or there is no such role.
        """
        checked(USER, name, ":/")
        hashed = None if password is None else await self._hashed(name, password)
        service = password is None and provider is None
        async with self._database.transaction(writes=True) as connection:
            made = await self.made(connection, by, name, hashed, display, roles, service=service, disabled=disabled)
            if provider is not None:
                row = {"user": name, "provider": provider, "subject": None, "roles": "[]"}
                await connection.execute(insert(identities).values(row))
                made = await self._must(connection, name)
        return made

    async def made(
        self,
        connection: AsyncConnection,
        by: By,
        name: str,
        hashed: str | None,
        display: str,
        roles: Iterable[str],
        *,
        service: bool,
        disabled: bool = False,
    ) -> User:
        """Make a user within a transaction."""
        checked(USER, name, ":/")
        row = {
            "name": name,
            "display": _display(name, display),
            "hash": hashed,
            "service": service,
            "disabled": disabled,
            "made": self._clock(),
            "version": 1,
        }
        if await self._get(connection, name) is not None:
            raise Exists(USER, name, f"there is a user {name} already")
        await connection.execute(insert(users).values(row))
        await self._give(connection, name, roles)
        made = await self._must(connection, name)
        await self._audit.note(connection, by, "create", f"{USER}/{name}", None, _told(made))
        return made

    async def give(self, connection: AsyncConnection, by: By, old: User, wanted: Iterable[str]) -> None:
        """Give a user other roles, within a transaction. Sessions end where one is taken away."""
        had = await has_administrator(connection)
        row = {"version": old.version + 1}
        await connection.execute(update(users).where(users.c.name == old.name).values(row))
        await connection.execute(delete(user_roles).where(user_roles.c.user == old.name))
        await self._give(connection, old.name, wanted)
        await keep_administrator(connection, had, USER, old.name)
        made = await self._must(connection, old.name)
        if set(old.roles) - set(made.roles):
            await connection.execute(delete(sessions).where(sessions.c.user == old.name))
        await self._audit.note(connection, by, "change", f"{USER}/{old.name}", _told(old), _told(made))

    async def change(self, by: By, name: str, wanted: UserChange, version: int | None = None) -> User:
        """Change a user. Sessions end with a new password, a role that is taken away, and where the user is disabled.

        Raises:
            Missing: there is none of that name.
            Stale: the user has another version.
            InUse: it is the last administrator, and would be none.
            Refused: it cannot be.
        """
        hashed = None if wanted.password is None else await self._hashed(name, wanted.password)
        async with self._database.transaction(writes=True) as connection:
            old = await self._must(connection, name, version)
            if hashed is not None and old.service:
                raise Refused(USER, name, f"{name} is a service account, which has tokens and no password")
            had = await has_administrator(connection)
            row: dict[str, Any] = {"version": old.version + 1}
            if wanted.display is not None:
                row["display"] = _display(name, wanted.display)
            if wanted.disabled is not None:
                row["disabled"] = wanted.disabled
            if hashed is not None:
                row["hash"] = hashed
            await connection.execute(update(users).where(users.c.name == name).values(row))
            if wanted.roles is not None:
                await connection.execute(delete(user_roles).where(user_roles.c.user == name))
                await self._give(connection, name, wanted.roles)
            if hashed is not None or wanted.locked is False:
                await connection.execute(delete(logins).where(logins.c.name == name))
            await keep_administrator(connection, had, USER, name)
            made = await self._must(connection, name)
            if hashed is not None or made.disabled or set(old.roles) - set(made.roles):
                await connection.execute(delete(sessions).where(sessions.c.user == name))
            after = _told(made) | ({"password": "changed"} if hashed is not None else {})
            await self._audit.note(connection, by, "change", f"{USER}/{name}", _told(old), after)
        return made

    async def remove(self, by: By, name: str, version: int | None = None) -> None:
        """Remove a user, and the tokens of it.

        Raises:
            Missing: there is none of that name.
            Stale: the user has another version.
            InUse: it is the last administrator.
        """
        async with self._database.transaction(writes=True) as connection:
            old = await self._must(connection, name, version)
            had = await has_administrator(connection)
            await connection.execute(delete(users).where(users.c.name == name))
            await keep_administrator(connection, had, USER, name)
            for told in self.removed.values():
                await told(connection, name)
            await self._audit.note(connection, by, "remove", f"{USER}/{name}", _told(old), None)

    @staticmethod
    async def known(connection: AsyncConnection, name: str, *, enabled: bool = False) -> bool:
        """Whether there is a user of that name, within a transaction of others; if asked for, one who is enabled."""
        wanted = select(users.c.disabled).where(users.c.name == name)
        disabled: bool | None = (await connection.execute(wanted)).scalar()
        return disabled is not None and not (enabled and disabled)

    async def count(self) -> int:
        """Return how many there are."""
        async with self._database.transaction() as connection:
            return (await connection.execute(select(func.count()).select_from(users))).scalar() or 0

    async def _hashed(self, name: str, password: str) -> str:
        if not SHORTEST <= len(password) <= LONGEST:
            raise Refused(USER, name, f"a password has {SHORTEST} to {LONGEST} characters")
        if password.casefold() == name.casefold():
            raise Refused(USER, name, "a password is not the name")
        return await self._passwords.hash(password)

    async def get_within(self, connection: AsyncConnection, name: str) -> User | None:
        """Return a user, within a transaction."""
        return await self._get(connection, name)

    async def _get(self, connection: AsyncConnection, name: str) -> User | None:
        found = await self._all(connection, [name])
        return found[0] if found else None

    async def _all(self, connection: AsyncConnection, names: Any) -> list[User]:
        wanted = select(users, logins.c.failed, logins.c.until, factors.c.confirmed, identities.c.provider)
        wanted = wanted.outerjoin(logins, logins.c.name == users.c.name)
        wanted = wanted.outerjoin(factors, factors.c.user == users.c.name)
        wanted = wanted.outerjoin(identities, identities.c.user == users.c.name)
        rows = await connection.execute(wanted.where(users.c.name.in_(names)).order_by(users.c.name))
        held: dict[str, list[str]] = {}
        of_them = select(user_roles).where(user_roles.c.user.in_(names)).order_by(user_roles.c.role)
        for row in await connection.execute(of_them):
            held.setdefault(row.user, []).append(row.role)
        return [
            User(
                row.name,
                row.display,
                row.service,
                row.disabled,
                tuple(held.get(row.name, ())),
                row.made,
                row.version,
                row.failed or 0,
                row.until if row.until and row.until > self._clock() else None,
                bool(row.confirmed),
                row.provider,
            )
            for row in rows
        ]

    async def _must(self, connection: AsyncConnection, name: str, version: int | None = None) -> User:
        found = await self._get(connection, name)
        if found is None:
            raise Missing(USER, name, f"there is no user {name}")
        if version is not None and found.version != version:
            raise Stale(USER, name, f"{name} has been changed since: it has version {found.version}, not {version}")
        return found

    @staticmethod
    async def _give(connection: AsyncConnection, name: str, wanted: Iterable[str]) -> None:
        names = list(dict.fromkeys(wanted))
        await know_roles(connection, USER, name, names)
        if names:
            await connection.execute(insert(user_roles), [{"user": name, "role": role} for role in names])


async def know_roles(connection: AsyncConnection, kind: str, name: str, wanted: list[str]) -> None:
    """Refuse roles that there are not."""
    found = (await connection.execute(select(roles.c.name).where(roles.c.name.in_(wanted)))).scalars().all()
    if strange := sorted(set(wanted) - set(found)):
        raise Refused(kind, name, f"there is no role {strange[0][:50]!r}")


async def keep_administrator(connection: AsyncConnection, had: bool, kind: str, name: str) -> None:
    """Refuse what leaves a store without an administrator that has had one."""
    if had and not await has_administrator(connection):
        raise InUse(kind, name, "nobody would be left with the permission admin; give it to somebody else first")


def _display(name: str, display: str) -> str:
    if len(display) > 200 or not display.isprintable():
        raise Refused(USER, name, "the display name has up to 200 printable characters")
    return display or name


def _told(user: User) -> dict[str, Any]:
    """Return what the audit tells of a user."""
    told = asdict(user)
    return {key: told[key] for key in ("display", "service", "disabled", "roles", "locked_until")}
