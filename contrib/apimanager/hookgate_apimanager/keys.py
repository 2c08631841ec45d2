"""Keys of applications: clients, which the key manager knows, and API keys, which stand here as hashes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Literal, get_args

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_apimanager.applications import Kept as Application
from hookgate_apimanager.register import Register, a_name, new_id
from hookgate_apimanager.tables import api_keys, applications, clients
from hookgate_people import By, InUse
from hookgate_storage import Exists, Missing

KeyType = Literal["production", "sandbox"]
KEY_TYPES: tuple[KeyType, ...] = get_args(KeyType)
KIND = "applications"
PREFIX = "hgk_"
"""How API keys begin, so that a scanner for secrets finds one that has got into the wrong place."""
MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Client:
    """A client of an application."""

    client_id: str
    key_type: str
    made: float
    """Unix time."""
    mapped: bool
    """Whether it was made somewhere else, and is only known here."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key, without the key."""

    id: str
    key_type: str
    name: str
    made: float
    """Unix time."""
    ends: float | None


class Clients:
    """Knows which client is of which application. The key manager makes them, and has their secrets."""

    def __init__(self, register: Register) -> None:
        self._register, self._database = register, register.store.database

    async def keep(self, by: By, application: Application, client_id: str, key_type: KeyType, *, mapped: bool) -> None:
        """Keep a client of an application.

        Raises:
            Missing: the application is gone.
            Exists: it has one of that type, or the client is of another one.
        """
        async with self._register.writing() as connection:
            await _still(connection, application)
            same = select(clients.c.client_id).where(
                clients.c.application == application.id, clients.c.key_type == key_type
            )
            if (await connection.execute(same)).first() is not None:
                message = f"{application.name} has {key_type} keys already; remove them, or have another secret made"
                raise Exists(KIND, application.id, message)
            taken = select(clients.c.client_id).where(clients.c.client_id == client_id)
            if (await connection.execute(taken)).first() is not None:
                raise Exists(KIND, application.id, f"the client {client_id[:100]} is of an application already")
            row = {"client_id": client_id, "application": application.id, "key_type": key_type, "mapped": mapped}
            await connection.execute(insert(clients).values({**row, "made": self._register.store.clock()}))
            await self._register.notices.note(connection, "client", client_id)
            said = {"client_id": client_id, "key_type": key_type}
            await self._register.note(connection, by, "add keys", application.told, None, said)

    async def of(self, application: str) -> list[Client]:
        """Return the clients of an application."""
        wanted = select(clients).where(clients.c.application == application).order_by(clients.c.key_type)
        async with self._database.transaction() as connection:
            return [
                Client(row.client_id, row.key_type, row.made, row.mapped) for row in await connection.execute(wanted)
            ]

    async def get(self, application: str, key_type: str) -> Client | None:
        """Return the client of a type."""
        return next((each for each in await self.of(application) if each.key_type == key_type), None)

    async def remove(self, by: By, application: Application, client: Client) -> None:
        """Take a client away from an application; what the key manager has of it is removed before."""
        async with self._register.writing() as connection:
            await connection.execute(delete(clients).where(clients.c.client_id == client.client_id))
            await self._register.notices.note(connection, "client", client.client_id)
            said = {"client_id": client.client_id, "key_type": client.key_type}
            await self._register.note(connection, by, "remove keys", application.told, said)

    async def left_over(self) -> list[Client]:
        """Return clients whose application is gone, some at a time."""
        wanted = select(clients).where(clients.c.application.is_(None)).limit(MOST_AT_ONCE)
        async with self._database.transaction() as connection:
            return [
                Client(row.client_id, row.key_type, row.made, row.mapped) for row in await connection.execute(wanted)
            ]

    async def forget(self, client_id: str) -> None:
        """Forget a client that was left over."""
        async with self._register.writing() as connection:
            here = (clients.c.client_id == client_id) & clients.c.application.is_(None)
            await connection.execute(delete(clients).where(here))


class ApiKeys:
    """Makes, finds and removes API keys."""

    def __init__(self, register: Register) -> None:
        self._register, self._database = register, register.store.database

    async def make(
        self,
        by: By,
        application: Application,
        key_type: KeyType,
        name: str,
        seconds: float | None = None,
        *,
        most: int = 20,
    ) -> tuple[str, ApiKey]:
        """Make a key that is good for so many seconds, or for ever; return it, which is shown this once.

        Raises:
            Missing: the application is gone.
            InUse: it has ``most`` keys.
            Refused: the name is none.
        """
        key, now = PREFIX + secrets.token_urlsafe(32), self._register.store.clock()
        made = ApiKey(new_id(), key_type, a_name(KIND, name), now, None if seconds is None else now + seconds)
        async with self._register.writing() as connection:
            await _still(connection, application)
            its = select(func.count()).select_from(api_keys).where(api_keys.c.application == application.id)
            count = (await connection.execute(its)).scalar_one()
            if count >= most:
                message = f"{application.name} has {count} API keys, and may have {most}: remove one first"
                raise InUse(KIND, application.id, message)
            row = {**asdict(made), "application": application.id, "hash": hash_of(key)}
            await connection.execute(insert(api_keys).values(row))
            await self._register.notices.note(connection, "key", hash_of(key).hex())
            await self._register.note(connection, by, "add API key", application.told, None, _said(made))
        return key, made

    async def of(self, application: str) -> Sequence[ApiKey]:
        """Return the keys of an application, the oldest first."""
        wanted = select(api_keys).where(api_keys.c.application == application).order_by(api_keys.c.made, api_keys.c.id)
        async with self._database.transaction() as connection:
            return [_key_of(row) for row in await connection.execute(wanted)]

    async def remove(self, by: By, application: Application, key: str) -> None:
        """Remove a key by its id, everywhere within a second.

        Raises:
            Missing: the application has none of that id.
        """
        async with self._register.writing() as connection:
            here = (api_keys.c.id == key) & (api_keys.c.application == application.id)
            row = (await connection.execute(select(api_keys).where(here))).first()
            if row is None:
                raise Missing(KIND, application.id, f"there is no API key {key[:50]}")
            await connection.execute(delete(api_keys).where(here))
            await self._register.notices.note(connection, "key", bytes(row.hash).hex())
            await self._register.note(connection, by, "remove API key", application.told, _said(_key_of(row)))


def hash_of(key: str) -> bytes:
    """Return what is kept of a key."""
    return sha256(key.encode(errors="surrogatepass")).digest()


async def _still(connection: AsyncConnection, application: Application) -> None:
    wanted = select(applications.c.id).where(applications.c.id == application.id)
    if (await connection.execute(wanted)).first() is None:
        raise Missing(KIND, application.id, f"there is no application {application.id}")


def _key_of(row: Any) -> ApiKey:
    return ApiKey(row.id, row.key_type, row.name, row.made, row.ends)


def _said(key: ApiKey) -> Mapping[str, Any]:
    return {"id": key.id, "key_type": key.key_type, "name": key.name, "ends": key.ends}
