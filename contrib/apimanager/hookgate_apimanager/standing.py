"""What a client has subscribed to, as a call needs it: asked of the store, and remembered until it changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, select

from hookgate import Fault
from hookgate.workshop import Answer, Tag
from hookgate_apimanager.faults import Blocked, Inactive, NotSubscribed
from hookgate_apimanager.keys import hash_of
from hookgate_apimanager.register import Register
from hookgate_apimanager.tables import api_keys, applications, clients, subscriptions


@dataclass(frozen=True, slots=True)
class Standing:
    """How an application stands towards an API."""

    told: Mapping[str, Any]
    """What steps behind are told: ``vars.subscription``."""
    refused: type[Fault] | None = None
    """How a call is refused, if it is."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """An API key that somebody has."""

    id: str
    application: str
    owner: str
    key_type: str
    ends: float | None


async def standing(register: Register, client: str, api: str, *, key: bool = False) -> Answer[Standing]:
    """Ask how a client stands towards an API; with ``key``, the one that has the API key of that id.

    Raises:
        StoreError: the store is away.
    """
    async with register.store.database.transaction(snapshot=False) as connection:
        asked = _OF_KEY if key else _OF_CLIENT
        row = (await connection.execute(asked, {"client": client, "api": api})).first()
        enabled = row is not None and await register.people.users.known(connection, row.owner, enabled=True)
    tags: tuple[Tag, ...] = () if key else (("client", client),)
    if row is None:
        nobody = "The client of this token is of no application that is subscribed to APIs."
        return Answer(Standing({}, NotSubscribed, nobody), tags, good=False)
    tags = (*tags, ("application", row.application), ("user", row.owner))
    told = {
        "id": row.id,
        "tier": row.tier,
        "status": row.status,
        "application": row.application,
        "application_tier": row.application_tier,
        "owner": row.owner,
        "key_type": row.key_type,
    }
    refused, detail = _refused(row)
    if refused is None and not enabled:
        refused, detail = Blocked, "The owner of the application is disabled."
    return Answer(Standing(told, refused, detail), tags, good=refused is None)


async def whose(register: Register, key: str) -> Answer[Key | bool]:
    """Ask whose an API key is; ``False`` for nobody's.

    Raises:
        StoreError: the store is away.
    """
    mark = hash_of(key)
    wanted = select(api_keys, applications.c.owner).join(applications, applications.c.id == api_keys.c.application)
    async with register.store.database.transaction() as connection:
        row = (await connection.execute(wanted.where(api_keys.c.hash == mark))).first()
    tag = ("key", mark.hex())
    if row is None:
        return Answer(False, (tag,), good=False)
    found = Key(row.id, row.application, row.owner, row.key_type, row.ends)
    return Answer(found, (tag, ("application", row.application), ("user", row.owner)), good=True)


_COLUMNS = (
    subscriptions.c.id,
    subscriptions.c.tier,
    subscriptions.c.status,
    applications.c.id.label("application"),
    applications.c.tier.label("application_tier"),
    applications.c.owner,
    applications.c.blocked,
)
_ITS = and_(subscriptions.c.application == applications.c.id, subscriptions.c.api == bindparam("api"))


def _asking(of: Table, named: ColumnElement[Any]) -> Select[Any]:
    found = select(of.c.key_type, *_COLUMNS).join(applications, applications.c.id == of.c.application)
    return found.outerjoin(subscriptions, _ITS).where(named == bindparam("client"))


_OF_CLIENT = _asking(clients, clients.c.client_id)
_OF_KEY = _asking(api_keys, api_keys.c.id)


def _refused(row: Any) -> tuple[type[Fault] | None, str]:
    if row.id is None:
        return NotSubscribed, "The application is not subscribed to this API."
    if row.blocked:
        return Blocked, "The application is blocked."
    if row.status == "BLOCKED" or (row.status == "PROD_ONLY_BLOCKED" and row.key_type == "production"):
        return Blocked, "The subscription is blocked."
    if row.status not in {"ACTIVE", "PROD_ONLY_BLOCKED"}:
        waits = "waits for approval" if row.status == "PENDING" else "was rejected"
        return Inactive, f"The subscription {waits}."
    return None, ""
