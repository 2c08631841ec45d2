"""Talks to the database in a thread of its own, so that no call ever waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from hookgate_storage import Database, StoreError, upgrade

T = TypeVar("T")


class Writer:
    """A thread with a loop, and the database that is open in it."""

    def __init__(self, url: str, branch: str, revision: str) -> None:
        """Start the thread.

        Args:
            url: Of the database.
            branch: Of the tables, which are made where they are not there.
            revision: That of the tables that are worked with.
        """
        self._url, self._branch, self._revision = url, branch, revision
        self._database: Database | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=branch, daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[Database], Awaitable[T]]) -> T:
        """Run something with the database, and wait for it without blocking.

        Raises:
            StoreError: the database is away; it is opened anew with the next call.
        """
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._do(work), self._loop))

    async def close(self, patience: float) -> None:
        """Let go of the database. What takes longer is left behind, and ends with the process."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._ended(), self._loop))
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join, patience)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    async def _do(self, work: Callable[[Database], Awaitable[T]]) -> T:
        database = self._database
        try:
            if database is None:
                database = await self._opened()
            return await work(database)
        except StoreError:
            if self._database is database:
                self._database = None
            if database is not None:
                await database.close()
            raise

    async def _opened(self) -> Database:
        database = Database(self._url)
        try:
            if self._revision not in await database.revision():
                await _told(upgrade(database, f"{self._branch}@head"), self._branch, database)
        except BaseException:
            await database.close()
            raise
        self._database = database
        return database

    async def _ended(self) -> None:
        """Give up what is under way, and close."""
        mine = asyncio.current_task()
        under_way = [task for task in asyncio.all_tasks(self._loop) if task is not mine]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._database is not None:
            await self._database.close()
            self._database = None


async def _told(work: Coroutine[Any, Any, None], branch: str, database: Database) -> None:
    """Say of tables that cannot be made what is wrong with them."""
    from alembic.util import CommandError

    try:
        await work
    except CommandError as error:
        raise StoreError(f"the tables of {branch} in {database.shown} are of another version: {error}") from None
