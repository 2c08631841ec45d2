"""The database behind a store: SQLite or PostgreSQL, with bounded waiting and errors that say what is wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, StaticPool, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from hookgate_storage.errors import StoreError

PATIENCE = 10.0
"""Seconds that one transaction may take, waiting for others included."""
IDLE = 4.0
"""Seconds between two statements of one transaction that writes, on PostgreSQL. Who says nothing for longer is cut off
from the database, or stopped, and its lock goes to the next."""
LOCK = 0x686F6F6B67617465
"""Number of the advisory lock on PostgreSQL that writers hold, so that generations commit in order."""
ASIDE_LOCK = LOCK + 1
"""The one that nodes hold while they say how far they are, or remove what is old: writers need not wait for that."""
TURN_LOCK = LOCK + 2
"""The one that a process holds while it checks and stores, where several of them write."""
_T = TypeVar("_T")
DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


class Database:
    """One database, reached by an URL such as ``sqlite:///store.db`` or ``postgresql://user:password@host/name``."""

    def __init__(self, url: str) -> None:
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise StoreError("the URL of the store is none; write sqlite:///FILE or postgresql://…") from None
        driver = DRIVERS.get(parsed.drivername.partition("+")[0])
        if driver is None:
            raise StoreError(f"a store lies in SQLite or PostgreSQL, not in {parsed.drivername!r}")
        self.shown = parsed.render_as_string(hide_password=True)
        """The URL without its password."""
        self.plain_url = parsed.set(drivername="postgresql").render_as_string(hide_password=False)
        """As asyncpg takes it."""
        self.is_sqlite = driver.startswith("sqlite")
        self.file = Path(parsed.database) if self.is_sqlite and parsed.database else None
        if self.is_sqlite and self.file is None:
            raise StoreError("a store in SQLite has a file: write sqlite:///FILE")
        options: dict[str, Any] = {"connect_args": {"timeout": PATIENCE / 2}}
        if not self.is_sqlite:
            options |= {"pool_size": 5, "max_overflow": 5, "pool_timeout": PATIENCE / 2, "pool_pre_ping": True}
        if self.file is not None:
            with suppress(OSError):  # told when it is opened
                os.close(os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600))
        self._left: set[asyncio.Task[Any]] = set()
        """Connections that are being made or closed."""
        self.engine: AsyncEngine = create_async_engine(parsed.set(drivername=driver), **options)
        self._direct: Engine | None = None
        if self.is_sqlite:
            _listen(self.engine.sync_engine)
            # each call of the asynchronous driver goes to a thread and back, which takes longer than what it does there
            plain: dict[str, Any] = {"timeout": PATIENCE / 2, "check_same_thread": False}
            self._direct = create_engine(parsed.set(drivername="sqlite"), poolclass=StaticPool, connect_args=plain)
            _listen(self._direct)
            self._thread = ThreadPoolExecutor(1, "store")

    @asynccontextmanager
    async def transaction(
        self,
        *,
        writes: bool = False,
        more: float = 0.0,
        lock: int = LOCK,
        idle: float | None = None,
        snapshot: bool = True,
    ) -> AsyncIterator[AsyncConnection]:
        """Run statements in one transaction. Those that write come one after the other, on PostgreSQL those with the
        same number of a lock. One that does much may have so many seconds more. ``idle`` is how many may lie between
        two of its statements, where that is known better. Without a ``snapshot`` reading sees what is there with each
        statement, and PostgreSQL is asked less.

        Raises:
            StoreError: the database is away, full, locked, slow or damaged.
        """
        if self.file is not None and not self.file.exists():
            raise StoreError(f"the store {self.shown} is away: there is no such file, and none can be made")
        try:
            async with asyncio.timeout(PATIENCE + more), self._connected() as plain:
                options: dict[str, Any] = {"hookgate_writes": writes}
                if not writes and not self.is_sqlite:
                    # one snapshot, as SQLite has it, or no transaction at all
                    options["isolation_level"] = "REPEATABLE READ" if snapshot else "AUTOCOMMIT"
                connection = await plain.execution_options(**options)
                async with connection.begin():
                    if writes and not self.is_sqlite:
                        # whoever is cut off amid a transaction must not hold up others until TCP gives up
                        pause = int(1000 * (IDLE + more if idle is None else idle))
                        setting = f"'idle_in_transaction_session_timeout', '{pause}', true"
                        await connection.execute(text(f"SELECT set_config({setting}), pg_advisory_xact_lock({lock})"))
                    yield connection
        except TimeoutError:
            raise StoreError(f"the store {self.shown} does not answer within {PATIENCE:g} s") from None
        except (SQLAlchemyError, OSError) as error:
            raise self.failed(error) from error

    async def at_once(self, work: Callable[[Connection], _T], *, lock: int = LOCK) -> _T:
        """Do several statements that write in one transaction, as :meth:`transaction` has it, and return what ``work``
        does. They go to SQLite in one piece, and cost it a fifth of the time.

        Raises:
            StoreError: the database is away, full, locked, slow or damaged.
        """
        if self._direct is None:
            async with self.transaction(writes=True, lock=lock) as connection:
                return await connection.run_sync(work)
        if self.file is not None and not self.file.exists():
            raise StoreError(f"the store {self.shown} is away: there is no such file, and none can be made")
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.get_running_loop().run_in_executor(self._thread, _done, self._direct, work)
        except TimeoutError:
            raise StoreError(f"the store {self.shown} does not answer within {PATIENCE:g} s") from None
        except (SQLAlchemyError, OSError) as error:
            raise self.failed(error) from error

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        """Take a connection. One that is being made is made to its end, also where nobody waits for it any more: the
        driver of SQLite would leave it open.
        """
        making = self._kept(asyncio.ensure_future(_made(self.engine)))
        try:
            connection = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(self._unwanted)
            raise
        try:
            yield connection
        finally:
            await asyncio.shield(self._kept(asyncio.ensure_future(connection.close())))

    def _kept(self, task: asyncio.Task[_T]) -> asyncio.Task[_T]:
        self._left.add(task)
        task.add_done_callback(self._left.discard)
        return task

    def _unwanted(self, making: asyncio.Task[AsyncConnection]) -> None:
        if not making.cancelled() and making.exception() is None:
            self._kept(asyncio.ensure_future(making.result().close()))

    async def revision(self) -> set[str]:
        """Return the revisions of the tables; none for a database without them.

        Raises:
            StoreError: the database cannot be asked.
        """
        async with self.transaction() as connection:
            return set(await connection.run_sync(_heads))

    def failed(self, error: Exception) -> StoreError:
        """Say what is wrong with the database. It never shows a password, nor what was stored."""
        cause = getattr(error, "orig", None) or error
        said = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        lower = said.lower()
        if isinstance(error, DBAPIError) and not isinstance(error, OperationalError | InterfaceError):
            said = type(cause).__name__ if "parameters" in lower else said
        for words, what in _TOLD:
            if any(word in lower for word in words):
                return StoreError(f"the store {self.shown} {what}: {said}")
        return StoreError(f"the store {self.shown} cannot be used: {said}")

    async def close(self) -> None:
        """Close every connection. Without it SQLite's threads keep the process alive."""
        while self._left:
            await asyncio.wait(set(self._left))
        await self.engine.dispose()
        if self._direct is not None:
            with suppress(RuntimeError):  # it is closed already
                await asyncio.get_running_loop().run_in_executor(self._thread, self._direct.dispose)
            self._thread.shutdown(wait=False)


async def _made(engine: AsyncEngine) -> AsyncConnection:
    return await engine.connect()


_TOLD = (
    (("locked", "busy"), "is held by somebody else"),
    (("disk is full", "no space", "disk full"), "has no room left"),
    (("malformed", "not a database", "corrupt"), "is damaged"),
    (("readonly", "read-only"), "may not be written"),
    (("permission denied",), "does not let this user do that"),
    (('role "', "password", "authentication"), "does not let us in"),
    (('database "',), "is not there; make the database on the server first"),
    (("no such table", "does not exist", "undefinedtable"), "has no tables; run hookgate storage upgrade"),
    (("connect", "refused", "unable to open", "closed", "resolve", "name or service"), "is away"),
)


def _listen(engine: Engine) -> None:
    event.listen(engine, "connect", _as_wanted)
    event.listen(engine, "begin", _begin)


def _done(engine: Engine, work: Callable[[Connection], _T]) -> _T:
    with engine.connect() as plain:
        connection = plain.execution_options(hookgate_writes=True)
        with connection.begin():
            return work(connection)


def _as_wanted(connection: Any, _: Any) -> None:
    """Have SQLite write ahead, wait for others, and leave transactions to us."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={int(PATIENCE * 500)}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("hookgate_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _heads(connection: Connection) -> tuple[str, ...]:
    from alembic.runtime.migration import MigrationContext  # a second, and some lines of log

    return MigrationContext.configure(connection).get_current_heads()
