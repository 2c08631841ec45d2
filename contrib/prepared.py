"""Stores with tables and nothing in them, for tests: copies of one that was upgraded once in this process.

To go through the migrations takes a tenth of a second, and a second of a PostgreSQL that others use, too.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock

import asyncpg
from sqlalchemy import URL, make_url

from hookgate.testing import postgresql
from hookgate_storage import Database
from hookgate_storage.upgrading import upgrade

_making = Lock()
kept = ExitStack()
"""What goes with the last test."""


async def prepare(url: str) -> None:
    """Make the tables in a database; one that is empty becomes a copy, others go through the migrations."""
    parsed = make_url(url)
    if not (_written(Path(parsed.database)) if parsed.drivername.startswith("sqlite") else await _copied(parsed)):
        await _upgraded(url)


def _written(file: Path) -> bool:
    """Write a copy, where there is no such file yet."""
    if file.exists():
        return False
    file.touch(0o600)
    file.write_bytes(_apart(_file))
    return True


async def _upgraded(url: str) -> None:
    database = Database(url)
    try:
        await upgrade(database)
    finally:
        await database.close()


def _apart(what):
    """Do something in a thread, since a loop runs in this one; what is made once is not made by two at a time."""
    with _making, ThreadPoolExecutor(1) as pool:
        return pool.submit(what).result()


@cache
def _file() -> bytes:
    with TemporaryDirectory(prefix="hookgate-prepared-") as folder:
        file = Path(folder, "store.db")
        asyncio.run(_upgraded(f"sqlite:///{file}"))
        assert [*Path(folder).iterdir()] == [file], "something of it stands beside it"
        return file.read_bytes()


@cache
def _template() -> URL:
    url = kept.enter_context(postgresql())
    asyncio.run(_upgraded(url))
    return make_url(url)


async def _copied(url: URL) -> bool:
    """Put a copy in the place of a database, where it is on our server and has no tables."""
    template = _apart(_template)
    if url.set(database="", drivername="postgresql") != template.set(database="", drivername="postgresql"):
        return False
    own = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), timeout=30)
    try:
        if await own.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"):
            return False
    finally:
        await own.close()
    maintenance = template.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    server = await asyncpg.connect(maintenance, timeout=30)
    try:
        await server.execute(f'DROP DATABASE "{url.database}" WITH (FORCE)', timeout=60)
        await server.execute(f'CREATE DATABASE "{url.database}" TEMPLATE "{template.database}"', timeout=60)
    finally:
        await server.close()
    return True
