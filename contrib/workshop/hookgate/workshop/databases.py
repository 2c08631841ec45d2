"""Databases that plugins share: their address in options, and connections that are opened when one is asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, ValidationInfo

from hookgate import Secret
from hookgate.workshop.credentials import FilledSecret

_NAME_NO_FILE = frozenset({"application_name", "connect_timeout", "dbname", "sslmode", "target_session_attrs", "user"})
"""Parameters of the query; all others may name one, as `sslrootcert`, `passfile` and `host` do."""


def _postgresql(url: Secret, info: ValidationInfo) -> Secret:
    try:
        parts = urlsplit(url.reveal())
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError("is no URL of a database: write postgresql://user:password@host/database")
    folder: Any = getattr((info.context or {}).get("builder"), "folder", None)
    others = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if name not in _NAME_NO_FILE]
    host = unquote(parts.netloc.rpartition("@")[2])
    if folder is not None and (others or not host or "/" in host):
        folder / host  # a socket, or a file beside the URL: where none may be named, this says so
    return url


PostgresqlUrl = Annotated[FilledSecret, AfterValidator(_postgresql)]
"""As the type of an option: ``postgresql://user:password@host/database``. A socket or certificates that it names are
files like those of options of type ``Path``."""


class PostgresqlPool:
    """Connections to one database. The first question makes the tables."""

    def __init__(
        self, url: Secret, tables: str, lock: int, most: int, patience: float, failed: Callable[[str], Exception]
    ) -> None:
        parts = urlsplit(url.reveal())
        self.place = f"{parts.hostname or 'localhost'}/{parts.path.strip('/')}"
        """Host and database, for messages."""
        self.trouble = ""
        """What is wrong with the database, without a password."""
        self.log, self.name = logging.getLogger("hookgate"), ""
        self._url, self._tables, self._lock, self._most = url, tables, lock, most
        self._patience = patience
        self._failed = failed
        self._pool: Any = None
        self._making = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        """Whether anybody has asked yet."""
        return self._pool is not None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """Lend a connection to one question; what goes wrong is told in words that show no password.

        Raises:
            Exception: what ``failed`` makes of what is wrong: the database cannot be used, or gave no answer in time.
        """
        import asyncpg  # type: ignore[import-untyped]  # only who counts or keeps needs it

        try:
            pool = await self._opened()
            async with pool.acquire(timeout=self._patience) as connection:
                yield connection
        except (
            OSError,
            TimeoutError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as error:
            said = str(error).splitlines()[0] if isinstance(error, asyncpg.PostgresError) else type(error).__name__
            trouble = f"the database {self.place} cannot be used: {said}"
            if trouble != self.trouble:
                self.log.error("%s: %s", self.name, trouble)  # noqa: TRY400 - it says all
            self.trouble = trouble
            raise self._failed(trouble) from error
        self.trouble = ""

    async def close(self) -> None:
        """Close the connections, those that are busy after two seconds the hard way."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(2):
                    await pool.close()
            except TimeoutError:
                pool.terminate()

    async def _opened(self) -> Any:
        if self._pool is None:
            import asyncpg

            async with self._making:
                if self._pool is None:
                    pool = await asyncpg.create_pool(
                        self._url.reveal(),
                        min_size=0,
                        max_size=self._most,
                        command_timeout=self._patience,
                        timeout=self._patience,
                    )
                    try:
                        async with pool.acquire(timeout=self._patience) as connection, connection.transaction():
                            await connection.execute(f"SELECT pg_advisory_xact_lock({self._lock})")
                            await connection.execute(self._tables)
                    except BaseException:
                        pool.terminate()
                        raise
                    self._pool = pool
        return self._pool
