"""Backups: every row of every table as it is stored, sealed bodies too, in one file for any database."""

from __future__ import annotations

import base64
import gzip
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Connection, MetaData, Table, insert, inspect, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_storage.database import Database
from hookgate_storage.errors import StoreError
from hookgate_storage.tables import changes, facts, generations, metadata, objects
from hookgate_storage.upgrading import check_version, wanted

FORM = 1
KEPT = {"facts": facts, "generations": generations, "changes": changes, "objects": objects}
PREFIX = "hookgate_"
"""How tables of other distributions begin; a backup has these, too."""


async def backup(database: Database, path: Path) -> int:
    """Write everything into a file, as of one moment, while others go on; return how many rows.

    Raises:
        StoreError: the store cannot be read, or the file not be written; then there is none.
    """
    await check_version(database)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    count = 0
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
            with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
                file.write(orjson.dumps({"hookgate-store": FORM, "revisions": sorted(wanted())}) + b"\n")
                async with database.transaction() as connection:
                    for name, table in (await _tables(connection)).items():
                        found = await connection.stream(select(table).order_by(*table.primary_key))
                        async for row in found:
                            file.write(orjson.dumps([name, *map(_plain, row)]) + b"\n")
                            count += 1
            raw.flush()
            os.fsync(raw.fileno())
        beside.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
    return count


async def restore(database: Database, path: Path) -> int:
    """Put a backup into a store that is empty, all of it or nothing; return how many rows.

    Raises:
        StoreError: the store is not empty, the file is none or of another version, or either cannot be used.
    """
    await check_version(database)
    try:
        lines = _lines(path)
        head = next(lines, None)
        if not isinstance(head, dict) or head.get("hookgate-store") != FORM:
            raise StoreError(f"{path} is no backup of a store")
        if set(head.get("revisions", ())) != wanted():
            raise StoreError(
                f"{path} is of another version; restore it with that one, then run hookgate storage upgrade"
            )
        async with database.transaction(writes=True) as connection:
            tables = await _tables(connection)
            for table in tables.values():
                if table is not facts and (await connection.execute(select(table).limit(1))).first() is not None:
                    raise StoreError(f"the store {database.shown} is not empty; name a new database")
            await connection.execute(facts.delete())
            count = 0
            for name, *values in lines:
                table = tables[name]
                await connection.execute(insert(table).values(**_row(table, values)))
                count += 1
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from None
    except (EOFError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is no backup of a store, or not all of one: {type(error).__name__}") from None
    return count


async def _tables(connection: AsyncConnection) -> dict[str, Table]:
    """Return what is kept: our tables, and those of other distributions, each behind what it refers to."""
    ours = {table.name for table in metadata.sorted_tables}
    others = MetaData()

    def reflect(sync: Connection) -> None:
        names = [name for name in inspect(sync).get_table_names() if name.startswith(PREFIX) and name not in ours]
        others.reflect(sync, only=names)

    await connection.run_sync(reflect)
    return KEPT | {table.name: table for table in others.sorted_tables}


def _lines(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rb") as file:
        for line in file:
            yield orjson.loads(line)


def _plain(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _row(table: Table, values: list[Any]) -> dict[str, Any]:
    named = zip((column.name for column in table.columns), values, strict=True)
    return {name: base64.b64decode(value["base64"]) if isinstance(value, dict) else value for name, value in named}
