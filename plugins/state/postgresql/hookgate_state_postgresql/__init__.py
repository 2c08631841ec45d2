"""Keeps the state of plugins in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from hookgate import Conflict, Host, Options, Row, StateError, StateRefused, StateStore, hookimpl
from hookgate.workshop import PostgresqlPool, PostgresqlUrl

_LARGEST = 2**63 - 1
"""A whole number has 64 bits, as in every store."""
_LOCK = 0x686B7374
"""Number of the advisory lock under which the tables are made."""
_TABLES = """
CREATE TABLE IF NOT EXISTS hookgate_state (
    name text NOT NULL, key bytea NOT NULL, data bytea NOT NULL, version bigint NOT NULL, expires double precision,
    PRIMARY KEY (name, key));
CREATE INDEX IF NOT EXISTS hookgate_state_that_ends ON hookgate_state (name, expires) WHERE expires IS NOT NULL;
CREATE TABLE IF NOT EXISTS hookgate_state_names (name text PRIMARY KEY, entries bigint NOT NULL);
CREATE SEQUENCE IF NOT EXISTS hookgate_state_versions;
"""
_HOLD = """
INSERT INTO hookgate_state_names VALUES ($1, 0)
ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING entries
"""
"""Makes whoever writes under a name wait for the one before."""
_READ = "SELECT data, version, expires FROM hookgate_state WHERE name = $1 AND key = $2"
_SCAN = """
SELECT key, data, version, expires FROM hookgate_state
WHERE name = $1 AND key >= $2 AND key > $3 AND substring(key FROM 1 FOR $4) = $2 AND (expires IS NULL OR expires > $5)
ORDER BY key LIMIT $6
"""
_INSERT = """
INSERT INTO hookgate_state VALUES ($1, $2, $3, nextval('hookgate_state_versions'), $4) RETURNING version
"""
_UPDATE = """
UPDATE hookgate_state SET data = $3, version = nextval('hookgate_state_versions'), expires = $4
WHERE name = $1 AND key = $2 RETURNING version
"""


class PostgresqlOptions(Options):
    """Options of `postgresql`."""

    url: PostgresqlUrl
    """`postgresql://user:password@host/database`. The tables are made when a plugin first asks for state."""
    connections: int = Field(default=5, ge=1, le=100)
    """Connections at most."""


class Postgresql(StateStore[PostgresqlOptions]):
    """Keeps the state of plugins in a PostgreSQL database, where every gateway that names it shares it: quotas count
    over all of them, and outlive each.

    A gateway whose plugins keep nothing opens no connection. Those who write under one name do so one after the other.
    What is wrong with the database is told to the plugin that asks and on `/-/health`, and stops nothing else. An entry
    that has expired is gone at once, and out of the database when its name has no room left.
    """

    def __init__(self, options: PostgresqlOptions) -> None:
        super().__init__(options)
        self._pool = PostgresqlPool(options.url, _TABLES, _LOCK, options.connections, 4, StateError)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of the log. No connection is opened yet."""
        self._pool.log, self._pool.name = host.log, self.entry.id

    @hookimpl
    async def shutdown(self) -> None:
        """Close the connections."""
        await self._pool.close()

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Tell of the database, once it has been asked for."""
        if not self._pool.is_open and not self._pool.trouble:
            return None
        facts: dict[str, Any] = {"database": self._pool.place}
        return facts | {"problems": [self._pool.trouble]} if self._pool.trouble else facts

    @hookimpl
    async def read(self, name: str, key: str, now: float) -> Row | None:
        """Return a row that has not expired.

        Raises:
            StateError: the database cannot be asked.
        """
        async with self._pool.connection() as connection:
            return _live(await connection.fetchrow(_READ, name, _octets(key)), now)

    @hookimpl
    async def write(self, name: str, key: str, row: Row, version: int | None, most: int, now: float) -> int:
        """Write a row and return its version.

        Raises:
            Conflict: the row has another version.
            StateRefused: it would be one more than ``most``.
            StateError: the database cannot be written; nothing is.
        """
        async with self._pool.connection() as connection, connection.transaction():
            entries = await connection.fetchval(_HOLD, name)
            found = await connection.fetchrow(_READ, name, _octets(key))
            _agrees(key, _live(found, now), version)
            return await _put(connection, name, key, row, most, now, found is not None, entries)

    @hookimpl
    async def remove(self, name: str, key: str, version: int | None, now: float) -> bool:
        """Remove a row; return whether there was one.

        Raises:
            Conflict: the row has another version.
            StateError: the database cannot be written; nothing is.
        """
        async with self._pool.connection() as connection, connection.transaction():
            await connection.fetchval(_HOLD, name)
            found = await connection.fetchrow(_READ, name, _octets(key))
            before = _live(found, now)
            _agrees(key, before, version)
            if found is not None:
                await connection.execute("DELETE FROM hookgate_state WHERE name = $1 AND key = $2", name, _octets(key))
                await _count(connection, name, -1)
            return before is not None

    @hookimpl
    async def increase(
        self, name: str, key: str, amount: int, expires: float | None, bound: int | None, most: int, now: float
    ) -> int | None:
        """Add to a whole number.

        Raises:
            StateRefused: there is something else, the number would be too large, or one more than ``most``.
            StateError: the database cannot be written; nothing is.
        """
        async with self._pool.connection() as connection, connection.transaction():
            entries = await connection.fetchval(_HOLD, name)
            found = await connection.fetchrow(_READ, name, _octets(key))
            before = _live(found, now)
            try:
                number = 0 if before is None else int(before.data)
            except ValueError:
                raise StateRefused(f"{key!r} is no whole number") from None
            total = number + amount
            if amount > 0 and bound is not None and total > bound:
                return None
            if not -_LARGEST <= total <= _LARGEST:
                raise StateRefused(f"{key!r} would be {total}, which has more than 64 bits")
            if amount:
                row = Row(str(total).encode(), 0, expires if before is None else before.expires)
                await _put(connection, name, key, row, most, now, found is not None, entries)
            return total

    @hookimpl
    async def scan(self, name: str, prefix: str, after: str, limit: int, now: float) -> Sequence[tuple[str, Row]]:
        """Return rows that have not expired, in the order of their keys.

        Raises:
            StateError: the database cannot be asked.
        """
        begin = _octets(prefix)
        async with self._pool.connection() as connection:
            found = await connection.fetch(_SCAN, name, begin, _octets(after), len(begin), now, limit)
        return [(bytes(key).decode("utf-8", "surrogatepass"), Row(bytes(data), *rest)) for key, data, *rest in found]


async def _put(
    connection: Any, name: str, key: str, row: Row, most: int, now: float, is_there: bool, entries: int
) -> int:
    """Write a row in a transaction that holds the name; return its version."""
    if is_there:
        version: int = await connection.fetchval(_UPDATE, name, _octets(key), row.data, row.expires)
        return version
    if entries >= most:
        gone = await connection.fetch(
            "DELETE FROM hookgate_state WHERE name = $1 AND expires <= $2 RETURNING 1", name, now
        )
        await _count(connection, name, -len(gone))
        if entries - len(gone) >= most:
            raise StateRefused(f"{name!r} holds {most} entries, and more are not allowed")
    version = await connection.fetchval(_INSERT, name, _octets(key), row.data, row.expires)
    await _count(connection, name, 1)
    return version


async def _count(connection: Any, name: str, more: int) -> None:
    await connection.execute("UPDATE hookgate_state_names SET entries = entries + $2 WHERE name = $1", name, more)


def _live(found: Any, now: float) -> Row | None:
    if found is None or (found["expires"] is not None and found["expires"] <= now):
        return None
    return Row(bytes(found["data"]), found["version"], found["expires"])


def _agrees(key: str, row: Row | None, version: int | None) -> None:
    there = 0 if row is None else row.version
    if version is not None and version != there:
        raise Conflict(f"{key!r} has version {there} and not {version}; read it again")


def _octets(key: str) -> bytes:
    """Write a key so that it is ordered by code points, whatever the database sorts by, and may hold any character."""
    return key.encode("utf-8", "surrogatepass")
