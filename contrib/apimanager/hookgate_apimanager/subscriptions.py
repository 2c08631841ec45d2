"""Subscriptions: by which an application calls an API (KC-23)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from sqlalchemy import Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_apimanager.register import Register, new_id
from hookgate_apimanager.tables import applications, subscriptions
from hookgate_people import By, InUse
from hookgate_storage import Exists, Missing, Stale

KIND = "subscriptions"
Status = Literal["ACTIVE", "BLOCKED", "PROD_ONLY_BLOCKED", "PENDING", "REJECTED"]
STATUSES: tuple[Status, ...] = get_args(Status)
BLOCKED = frozenset({"BLOCKED", "PROD_ONLY_BLOCKED"})


@dataclass(frozen=True, slots=True)
class Kept:
    """A subscription, with what is told of its application."""

    id: str
    application: str
    application_name: str
    owner: str
    api: str
    tenant: str
    """Whose the API is; nothing for one of no tenant."""
    tier: str
    status: str
    made: float
    """Unix time."""
    version: int

    @property
    def told(self) -> str:
        """What the audit calls it."""
        return f"{KIND}/{self.id} of {self.owner}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which subscriptions to look for; what is left out matches everything."""

    api: str | None = None
    application: str | None = None
    owner: str | None = None
    status: str | None = None
    tier: str | None = None
    tenant: str | None = None
    """Of APIs of that tenant."""

    def on(self, found: Select[Any]) -> Select[Any]:
        """Narrow a statement down."""
        for column in ("api", "application", "status", "tier", "tenant"):
            value = getattr(self, column)
            if value is not None:
                found = found.where(subscriptions.c[column] == value)
        return found if self.owner is None else found.where(applications.c.owner == self.owner)


class Subscriptions:
    """Makes, finds, changes and removes subscriptions."""

    def __init__(self, register: Register) -> None:
        self._register, self._database = register, register.store.database

    async def make(
        self, by: By, application: str, api: str, tier: str, tenant: str = "", status: Status = "ACTIVE", *, most: int
    ) -> Kept:
        """Subscribe an application to an API: once, whoever else does it at the same time.

        Raises:
            Missing: there is no such application.
            Exists: it is subscribed already.
            InUse: it has ``most`` subscriptions, or is blocked.
        """
        async with self._register.writing() as connection:
            wanted = select(applications).where(applications.c.id == application)
            row = (await connection.execute(wanted)).first()
            if row is None:
                raise Missing("applications", application[:50], f"there is no application {application[:50]}")
            if row.blocked:
                raise InUse("applications", application, f"the application {row.name} is blocked")
            its = subscriptions.c.application == application
            same = select(subscriptions.c.status).where(its, subscriptions.c.api == api)
            if (found := (await connection.execute(same)).scalar()) is not None:
                raise Exists(KIND, api, f"{row.name} is subscribed to {api} already, and that is {found}")
            count = (await connection.execute(select(func.count()).select_from(subscriptions).where(its))).scalar_one()
            if count >= most:
                raise InUse(KIND, api, f"{row.name} has {count} subscriptions, and may have {most}: remove one first")
            now = self._register.store.clock()
            made = Kept(new_id(), application, row.name, row.owner, api, tenant, tier, status, now, 1)
            fields = ("id", "application", "api", "tenant", "tier", "status", "made", "version")
            await connection.execute(insert(subscriptions).values({each: getattr(made, each) for each in fields}))
            await self._register.notices.note(connection, "application", application)
            await self._register.note(connection, by, "create", made.told, None, _said(made))
        return made

    async def get(self, subscription: str) -> Kept | None:
        """Return a subscription."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(_joined().where(subscriptions.c.id == subscription))).first()
        return None if row is None else _of(row)

    async def page(self, wanted: Wanted, after: str = "", limit: int = 100) -> list[Kept]:
        """Return subscriptions in the order of their ids, those behind one."""
        found = wanted.on(_joined()).where(subscriptions.c.id > after).order_by(subscriptions.c.id).limit(limit)
        async with self._database.transaction() as connection:
            return [_of(row) for row in await connection.execute(found)]

    async def change(
        self,
        by: By,
        subscription: str,
        *,
        tier: str | None = None,
        status: Status | None = None,
        version: int | None = None,
    ) -> Kept:
        """Change tier or status, everywhere within a second.

        Raises:
            Missing: there is none.
            Stale: it has another version.
        """
        async with self._register.writing() as connection:
            old = await self._must(connection, subscription, version)
            new = replace(old, tier=tier or old.tier, status=status or old.status, version=old.version + 1)
            values = {"tier": new.tier, "status": new.status, "version": new.version}
            await connection.execute(update(subscriptions).where(subscriptions.c.id == subscription).values(values))
            await self._register.notices.note(connection, "application", old.application)
            await self._register.note(connection, by, "change", new.told, _said(old), _said(new))
        return new

    async def remove(self, by: By, subscription: str, version: int | None = None, *, freely: bool = False) -> None:
        """Unsubscribe, everywhere within a second. One that is blocked goes only ``freely``: else whoever is blocked
        would subscribe anew.

        Raises:
            Missing: there is none.
            Stale: it has another version.
            InUse: it is blocked.
        """
        async with self._register.writing() as connection:
            old = await self._must(connection, subscription, version)
            if old.status in BLOCKED and not freely:
                raise InUse(KIND, subscription, f"the subscription to {old.api} is {old.status}")
            await connection.execute(delete(subscriptions).where(subscriptions.c.id == subscription))
            await self._register.notices.note(connection, "application", old.application)
            await self._register.note(connection, by, "remove", old.told, _said(old))

    async def _must(self, connection: AsyncConnection, subscription: str, version: int | None) -> Kept:
        row = (await connection.execute(_joined().where(subscriptions.c.id == subscription))).first()
        if row is None:
            raise Missing(KIND, subscription[:50], f"there is no subscription {subscription[:50]}")
        if version is not None and row.version != version:
            message = f"it has been changed since: it has version {row.version}, not {version}"
            raise Stale(KIND, subscription, message)
        return _of(row)


def _joined() -> Select[Any]:
    more = (applications.c.name.label("application_name"), applications.c.owner)
    return select(subscriptions, *more).join(applications, applications.c.id == subscriptions.c.application)


def _of(row: Any) -> Kept:
    both = (row.id, row.application, row.application_name, row.owner, row.api, row.tenant, row.tier, row.status)
    return Kept(*both, row.made, row.version)


def _said(kept: Kept) -> dict[str, Any]:
    return {each: getattr(kept, each) for each in ("application", "api", "tier", "status")}
