"""A store in which an application is subscribed to the API of the case `managed`, with a token that is known."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import insert

from hookgate_apimanager.tables import applications, subscriptions
from hookgate_apimanager.tables import clients as application_clients
from hookgate_keymanager.clients import hash_of
from hookgate_keymanager.tables import clients, tokens
from hookgate_people import By, People
from hookgate_storage import Database, Keys, open_store, upgrade

TOKEN = "hga_bench-token-that-every-contender-knows"
ORIGIN = "https://shop.example"
OWNER, API, NAME = "ann", "bench 1", "managed"


def write(folder: Path, _: Mapping[str, object]) -> None:
    """Make the store of a gateway in its folder."""
    asyncio.run(_write(folder))


async def _write(folder: Path) -> None:
    url, key = f"sqlite:///{folder / 'store.db'}", folder / "hookgate-store.key"
    database = Database(url)
    try:
        await upgrade(database)
    finally:
        await database.close()
    now = time.time()
    client: dict[str, object] = {
        "id": "client",
        "secret": None,
        "application": NAME,
        "owner": OWNER,
        "key_type": "production",
    }
    client |= {"grants": '["client_credentials"]', "callbacks": "[]", "lifetime": None, "made": now}
    token: dict[str, object] = {
        "hash": hash_of(TOKEN),
        "client": "client",
        "user": None,
        "scope": "",
        "family": None,
        "ends": None,
    }
    application: dict[str, object] = {
        "id": NAME,
        "owner": OWNER,
        "name": NAME,
        "tenant": "",
        "description": "",
        "tier": "Wide",
    }
    application |= {"blocked": False, "default_of": None, "made": now, "version": 1}
    known: dict[str, object] = {
        "client_id": "client",
        "application": NAME,
        "key_type": "production",
        "made": now,
        "mapped": False,
    }
    subscription: dict[str, object] = {
        "id": "s1",
        "application": NAME,
        "api": API,
        "tenant": "",
        "tier": "Wide",
        "status": "ACTIVE",
    }
    store = await open_store(url, Keys.in_file(key, make=True))
    try:
        await People(store).users.make(By("the benchmark"), OWNER, secrets.token_urlsafe(16))
        async with store.database.transaction(writes=True) as connection:
            await connection.execute(insert(clients).values(client))
            await connection.execute(insert(tokens).values(token | {"made": now}))
            await connection.execute(insert(applications).values(application))
            await connection.execute(insert(application_clients).values(known))
            await connection.execute(insert(subscriptions).values(subscription | {"made": now, "version": 1}))
    finally:
        await store.close()
