"""Applications: what people call APIs with (KC-22, KC-24)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_apimanager.register import Register, a_name, new_id
from hookgate_apimanager.tables import applications, subscriptions
from hookgate_people import By, InUse
from hookgate_storage import Exists, Missing, Refused, Stale

KIND = "applications"
LONGEST_DESCRIPTION = 2000


@dataclass(frozen=True, slots=True)
class Kept:
    """An application."""

    id: str
    owner: str
    name: str
    tenant: str
    description: str
    tier: str
    blocked: bool
    is_default: bool
    made: float
    """Unix time."""
    version: int

    @property
    def told(self) -> str:
        """What the audit calls it; the owner last, since that says whose tenant it is."""
        return f"{KIND}/{self.id} of {self.owner}"


@dataclass(frozen=True, slots=True)
class ApplicationChange:
    """What changes of an application; ``None`` leaves as it is."""

    name: str | None = None
    description: str | None = None
    tier: str | None = None
    blocked: bool | None = None
    owner: str | None = None


class Applications:
    """Makes, finds, changes and removes applications."""

    def __init__(self, register: Register) -> None:
        self._register, self._database = register, register.store.database

    async def make(
        self, by: By, owner: str, name: str, tier: str, tenant: str = "", description: str = "", *, most: int = 20
    ) -> Kept:
        """Make an application, unless the owner has ``most`` of them.

        Raises:
            Missing: the owner is no user.
            Exists: the owner has one of that name.
            InUse: the owner has enough.
            Refused: name or description are none.
        """
        made = self._new(owner, a_name(KIND, name), tier, tenant, _described(name, description))
        async with self._register.writing() as connection:
            await self._know(connection, owner)
            theirs = applications.c.owner == owner
            count = (
                await connection.execute(select(func.count()).select_from(applications).where(theirs))
            ).scalar_one()
            if count >= most:
                raise InUse(KIND, name, f"{owner} has {count} applications, and may have {most}: remove one first")
            await self._free(connection, made)
            await self._insert(connection, by, made)
        return made

    async def default_of(self, by: By, owner: str, name: str, tier: str, tenant: str) -> Kept:
        """Return the application that somebody has anyway, made when it is first asked for (KC-24). One of its name
        becomes it.

        Raises:
            Missing: there is no such user.
        """
        if (found := await self.found_default(owner)) is not None:
            return found
        async with self._register.writing() as connection:
            await self._know(connection, owner)
            wanted = select(applications).where(applications.c.default_of == owner)
            if (row := (await connection.execute(wanted)).first()) is not None:
                return _of(row)
            here = (applications.c.owner == owner) & (applications.c.name == name)
            if (row := (await connection.execute(select(applications).where(here))).first()) is not None:
                await connection.execute(update(applications).where(here).values(default_of=owner))
                return replace(_of(row), is_default=True)
            made = replace(self._new(owner, name, tier, tenant, ""), is_default=True)
            await self._insert(connection, by, made)
        return made

    async def found_default(self, owner: str) -> Kept | None:
        """Return the default application of somebody, if it was made."""
        return await self._one(applications.c.default_of == owner)

    async def get(self, application: str) -> Kept | None:
        """Return an application."""
        return await self._one(applications.c.id == application)

    async def page(
        self, after: str = "", limit: int = 100, *, owner: str | None = None, tenant: str | None = None
    ) -> list[Kept]:
        """Return applications in the order of their ids, those behind one; of an owner, or of a tenant's people."""
        wanted = select(applications).where(applications.c.id > after).order_by(applications.c.id).limit(limit)
        if owner is not None:
            wanted = wanted.where(applications.c.owner == owner)
        if tenant is not None:
            wanted = wanted.where(applications.c.tenant == tenant)
        async with self._database.transaction() as connection:
            return [_of(row) for row in await connection.execute(wanted)]

    async def change(self, by: By, application: str, wanted: ApplicationChange, version: int | None = None) -> Kept:
        """Change an application, everywhere within a second.

        Raises:
            Missing: there is none, or the new owner is no user.
            Stale: it has another version.
            Exists: the owner has another one of that name.
            Refused: name or description are none, or the default application would get another owner.
        """
        async with self._register.writing() as connection:
            old = await self._must(connection, application, version)
            if wanted.owner is not None and wanted.owner != old.owner:
                if old.is_default:
                    raise Refused(KIND, application, "the default application stays with its owner")
                await self._know(connection, wanted.owner)
            new = replace(
                old,
                name=old.name if wanted.name is None else a_name(KIND, wanted.name),
                description=old.description if wanted.description is None else _described(old.name, wanted.description),
                tier=old.tier if wanted.tier is None else wanted.tier,
                blocked=old.blocked if wanted.blocked is None else wanted.blocked,
                owner=old.owner if wanted.owner is None else wanted.owner,
                version=old.version + 1,
            )
            await self._free(connection, new)
            here = applications.c.id == application
            await connection.execute(update(applications).where(here).values(_row(new)))
            await self._register.notices.note(connection, "application", application)
            await self._register.note(connection, by, "change", new.told, _said(old), _said(new))
        return new

    async def remove(self, by: By, application: str, version: int | None = None, *, freely: bool = False) -> None:
        """Remove an application with its keys and subscriptions, everywhere within a second. What is blocked goes only
        ``freely``: whoever is blocked gets rid of that in no other way.

        Raises:
            Missing: there is none.
            Stale: it has another version.
            InUse: it is the default one, or something of it is blocked.
        """
        async with self._register.writing() as connection:
            old = await self._must(connection, application, version)
            if old.is_default:
                raise InUse(KIND, application, f"{old.name} is the default application of {old.owner}, and stays")
            its = subscriptions.c.application == application
            blocked = select(subscriptions.c.id).where(its, subscriptions.c.status.contains("BLOCKED")).limit(1)
            if not freely and (old.blocked or (await connection.execute(blocked)).first() is not None):
                raise InUse(KIND, application, f"{old.name} is blocked, or a subscription of it is")
            await connection.execute(delete(applications).where(applications.c.id == application))
            await self._register.notices.note(connection, "application", application)
            await self._register.note(connection, by, "remove", old.told, _said(old))

    def _new(self, owner: str, name: str, tier: str, tenant: str, description: str) -> Kept:
        now = self._register.store.clock()
        return Kept(
            new_id(), owner, name, tenant, description, tier, blocked=False, is_default=False, made=now, version=1
        )

    async def _insert(self, connection: AsyncConnection, by: By, made: Kept) -> None:
        await connection.execute(insert(applications).values({"id": made.id, "made": made.made, **_row(made)}))
        await self._register.note(connection, by, "create", made.told, None, _said(made))

    async def _know(self, connection: AsyncConnection, owner: str) -> None:
        if not await self._register.people.users.known(connection, owner):
            raise Missing("users", owner[:50], f"there is no user {owner[:100]}")

    async def _free(self, connection: AsyncConnection, made: Kept) -> None:
        same = (applications.c.owner == made.owner) & (applications.c.name == made.name)
        wanted = select(applications.c.id).where(same, applications.c.id != made.id)
        if (await connection.execute(wanted)).first() is not None:
            raise Exists(KIND, made.name, f"{made.owner} has an application {made.name!r} already")

    async def _must(self, connection: AsyncConnection, application: str, version: int | None) -> Kept:
        row = (await connection.execute(select(applications).where(applications.c.id == application))).first()
        if row is None:
            raise Missing(KIND, application[:50], f"there is no application {application[:50]}")
        if version is not None and row.version != version:
            message = f"{row.name} has been changed since: it has version {row.version}, not {version}"
            raise Stale(KIND, application, message)
        return _of(row)

    async def _one(self, here: ColumnElement[bool]) -> Kept | None:
        async with self._database.transaction() as connection:
            row = (await connection.execute(select(applications).where(here))).first()
        return None if row is None else _of(row)


def _of(row: Any) -> Kept:
    return Kept(
        row.id,
        row.owner,
        row.name,
        row.tenant,
        row.description,
        row.tier,
        row.blocked,
        row.default_of is not None,
        row.made,
        row.version,
    )


def _row(kept: Kept) -> dict[str, Any]:
    row = {
        each: getattr(kept, each) for each in ("owner", "name", "tenant", "description", "tier", "blocked", "version")
    }
    return {**row, "default_of": kept.owner if kept.is_default else None}


def _said(kept: Kept) -> dict[str, Any]:
    return {each: getattr(kept, each) for each in ("name", "owner", "tier", "blocked", "description")}


def _described(name: str, description: str) -> str:
    if len(description) > LONGEST_DESCRIPTION or "\0" in description:
        raise Refused(KIND, name[:50], f"a description has up to {LONGEST_DESCRIPTION} characters")
    return description
