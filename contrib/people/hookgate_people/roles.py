"""Roles: names with permissions, and with other roles inside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_people.audit import Audit, By
from hookgate_people.errors import InUse
from hookgate_people.granting import circle, has_administrator
from hookgate_people.naming import checked, permissions
from hookgate_people.tables import role_permissions, role_roles, roles, user_roles
from hookgate_people.users import keep_administrator, know_roles
from hookgate_storage import Database, Exists, Missing, Refused, Stale

ROLE = "roles"
LONGEST_DESCRIPTION = 1000
USERS_SHOWN = 10
"""Names that are told of those who use a role."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role."""

    name: str
    description: str
    permissions: tuple[str, ...]
    """Its own ones, without those of roles inside."""
    roles: tuple[str, ...]
    """Those inside."""
    version: int


@dataclass(frozen=True, slots=True)
class RoleChange:
    """What changes of a role; ``None`` leaves as it is."""

    description: str | None = None
    permissions: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None


class Roles:
    """Makes, changes and removes roles; each change is in the audit."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database = database
        self._audit = audit

    async def get(self, name: str) -> Role | None:
        """Return a role."""
        async with self._database.transaction() as connection:
            found = await self._all(connection, [name])
            return found[0] if found else None

    async def page(self, after: str = "", limit: int = 100) -> list[Role]:
        """Return roles in the order of their names, those behind a name."""
        wanted = select(roles.c.name).where(roles.c.name > after).order_by(roles.c.name).limit(limit)
        async with self._database.transaction() as connection:
            return await self._all(connection, (await connection.execute(wanted)).scalars().all())

    async def make(
        self,
        by: By,
        name: str,
        granted: Iterable[str] = (),
        inside: Iterable[str] = (),
        description: str = "",
    ) -> Role:
        """Make a role.

        Raises:
            Exists: there is one of that name.
            Refused: a name or a permission is none, or there is no such role.
        """
        async with self._database.transaction(writes=True) as connection:
            return await self.made(connection, by, name, granted, inside, description)

    async def made(
        self,
        connection: AsyncConnection,
        by: By,
        name: str,
        granted: Iterable[str],
        inside: Iterable[str] = (),
        description: str = "",
    ) -> Role:
        """Make a role within a transaction."""
        checked(ROLE, name, "/")
        if await self._all(connection, [name]):
            raise Exists(ROLE, name, f"there is a role {name} already")
        await connection.execute(insert(roles).values(name=name, description=_described(name, description), version=1))
        await self._grant(connection, name, granted)
        await self._put_inside(connection, name, inside)
        made = await self._must(connection, name)
        await self._audit.note(connection, by, "create", f"{ROLE}/{name}", None, _told(made))
        return made

    async def change(self, by: By, name: str, wanted: RoleChange, version: int | None = None) -> Role:
        """Change a role.

        Raises:
            Missing: there is none of that name.
            Stale: it has another version.
            Refused: it cannot be: it would contain itself, or nobody would be an administrator.
        """
        async with self._database.transaction(writes=True) as connection:
            old = await self._must(connection, name, version)
            had = await has_administrator(connection)
            row: dict[str, Any] = {"version": old.version + 1}
            if wanted.description is not None:
                row["description"] = _described(name, wanted.description)
            await connection.execute(update(roles).where(roles.c.name == name).values(row))
            if wanted.permissions is not None:
                await connection.execute(delete(role_permissions).where(role_permissions.c.role == name))
                await self._grant(connection, name, wanted.permissions)
            if wanted.roles is not None:
                await connection.execute(delete(role_roles).where(role_roles.c.role == name))
                await self._put_inside(connection, name, wanted.roles)
            await keep_administrator(connection, had, ROLE, name)
            made = await self._must(connection, name)
            await self._audit.note(connection, by, "change", f"{ROLE}/{name}", _told(old), _told(made))
        return made

    async def remove(self, by: By, name: str, version: int | None = None) -> None:
        """Remove a role that nobody holds.

        Raises:
            Missing: there is none of that name.
            Stale: it has another version.
            InUse: somebody holds it, or a role contains it; the text names some.
        """
        async with self._database.transaction(writes=True) as connection:
            old = await self._must(connection, name, version)
            holding = select(user_roles.c.user).where(user_roles.c.role == name).order_by(user_roles.c.user)
            around = select(role_roles.c.role).where(role_roles.c.included == name).order_by(role_roles.c.role)
            found = [f"users/{each}" for each in (await connection.execute(holding.limit(USERS_SHOWN))).scalars()]
            found += [f"roles/{each}" for each in (await connection.execute(around.limit(USERS_SHOWN))).scalars()]
            if found:
                raise InUse(ROLE, name, f"the role {name} is in use: {', '.join(found[:USERS_SHOWN])}")
            await connection.execute(delete(roles).where(roles.c.name == name))
            await self._audit.note(connection, by, "remove", f"{ROLE}/{name}", _told(old), None)

    async def _all(self, connection: AsyncConnection, names: Any) -> list[Role]:
        rows = await connection.execute(select(roles).where(roles.c.name.in_(names)).order_by(roles.c.name))
        granted: dict[str, list[str]] = {}
        ours = select(role_permissions).where(role_permissions.c.role.in_(names))
        for row in await connection.execute(ours.order_by(role_permissions.c.permission)):
            granted.setdefault(row.role, []).append(row.permission)
        inside: dict[str, list[str]] = {}
        of_them = select(role_roles).where(role_roles.c.role.in_(names)).order_by(role_roles.c.included)
        for row in await connection.execute(of_them):
            inside.setdefault(row.role, []).append(row.included)
        return [
            Role(
                row.name,
                row.description,
                tuple(granted.get(row.name, ())),
                tuple(inside.get(row.name, ())),
                row.version,
            )
            for row in rows
        ]

    async def _must(self, connection: AsyncConnection, name: str, version: int | None = None) -> Role:
        found = await self._all(connection, [name])
        if not found:
            raise Missing(ROLE, name, f"there is no role {name}")
        if version is not None and found[0].version != version:
            message = f"{name} has been changed since: it has version {found[0].version}, not {version}"
            raise Stale(ROLE, name, message)
        return found[0]

    @staticmethod
    async def _grant(connection: AsyncConnection, name: str, wanted: Iterable[str]) -> None:
        found = sorted(permissions(ROLE, name, wanted))
        if found:
            await connection.execute(
                insert(role_permissions), [{"role": name, "permission": permission} for permission in found]
            )

    @staticmethod
    async def _put_inside(connection: AsyncConnection, name: str, wanted: Iterable[str]) -> None:
        names = list(dict.fromkeys(wanted))
        if not names:
            return
        await know_roles(connection, ROLE, name, names)
        await connection.execute(insert(role_roles), [{"role": name, "included": each} for each in names])
        inside: dict[str, list[str]] = {}
        for row in await connection.execute(select(role_roles)):
            inside.setdefault(row.role, []).append(row.included)
        if path := circle(inside, name):
            raise Refused(ROLE, name, f"the role {name} would contain itself: {' > '.join(path)}")


def _described(name: str, description: str) -> str:
    if len(description) > LONGEST_DESCRIPTION or "\0" in description:
        raise Refused(ROLE, name, f"the description has up to {LONGEST_DESCRIPTION} characters")
    return description


def _told(role: Role) -> dict[str, Any]:
    """Return what the audit tells of a role."""
    told = asdict(role)
    return {key: told[key] for key in ("description", "permissions", "roles")}
