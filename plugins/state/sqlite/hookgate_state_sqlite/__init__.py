"""Keeps the state of plugins in a SQLite file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from hookgate import Duration, Host, Options, Row, StateError, StateStore, hookimpl
from hookgate_state_sqlite.file import StateFile
from hookgate_state_sqlite.writer import Writer


class SqliteOptions(Options):
    """Options of `sqlite`."""

    path: Path | None = None
    """The file, in a folder that is there; it is made with permissions 0600 when a plugin first asks for state. Left
    out: `hookgate-state.db` in the folder that systemd's `StateDirectory=` provides, else in the working directory."""
    busy: Duration = Field(default=2.0, gt=0, le=4)
    """Seconds to wait for another process that holds the file."""
    at_most: int = Field(default=1024 * 1024 * 1024, ge=256 * 1024)
    """Bytes of the file; what would make it larger is refused. A log of a few MB lies beside it."""


class Sqlite(StateStore[SqliteOptions]):
    """Keeps the state of plugins in a SQLite file: it is there after a restart, and after a crash of the machine.

    A gateway whose plugins keep nothing touches no disk: the file is opened when one of them first asks. A thread of
    its own reads and writes; what many ask at once becomes one transaction, and is answered when the disk has it.
    Several processes of one machine may share the file, but not over a network file system.

    What is wrong with the file (locked, full, broken, of another version, read-only, its folder missing) is told to
    the plugin that asks and on `/-/health`, and stops nothing else. A second later it is tried again, and so on. An
    entry that has expired is gone at once, and out of the file within a minute. Protect the file: plugins may keep
    secrets in it.
    """

    _writer: Writer | None = None
    _host: Host | None = None

    def __init__(self, options: SqliteOptions) -> None:
        super().__init__(options)
        self.path = options.path or _state_folder() / "hookgate-state.db"
        """Where it is kept."""

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take hold of clock and log. The file is not opened yet."""
        self._host = host
        self._clock, self._log = host.clock, host.log

    @hookimpl
    async def shutdown(self) -> None:
        """Answer what has been asked, and let go of the file."""
        self._host = None
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.to_thread(writer.close)

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Tell of the file, once it has been asked for."""
        writer = self._writer
        if writer is None:
            return None
        facts: dict[str, Any] = {"path": str(self.path), "waiting": writer.waiting}
        return facts | {"problems": [writer.trouble]} if writer.trouble else facts

    @hookimpl
    def read(self, name: str, key: str, now: float) -> Awaitable[Row | None]:
        """Return a row that has not expired.

        Raises:
            StateError: the file cannot be read.
        """
        return self._ask("read", name, key, now)

    @hookimpl
    def write(self, name: str, key: str, row: Row, version: int | None, most: int, now: float) -> Awaitable[int]:
        """Write a row and return its version.

        Raises:
            Conflict: the row has another version.
            StateRefused: it would be one more than ``most``.
            StateError: the file cannot be written.
        """
        return self._ask("write", name, key, row, version, most, now)

    @hookimpl
    def remove(self, name: str, key: str, version: int | None, now: float) -> Awaitable[bool]:
        """Remove a row; return whether there was one.

        Raises:
            Conflict: the row has another version.
            StateError: the file cannot be written.
        """
        return self._ask("remove", name, key, version, now)

    @hookimpl
    def increase(
        self, name: str, key: str, amount: int, expires: float | None, bound: int | None, most: int, now: float
    ) -> Awaitable[int | None]:
        """Add to a whole number.

        Raises:
            StateRefused: there is something else, the number would be too large, or one more than ``most``.
            StateError: the file cannot be written.
        """
        return self._ask("increase", name, key, amount, expires, bound, most, now)

    @hookimpl
    def scan(self, name: str, prefix: str, after: str, limit: int, now: float) -> Awaitable[Sequence[tuple[str, Row]]]:
        """Return rows that have not expired, in the order of their keys.

        Raises:
            StateError: the file cannot be read.
        """
        return self._ask("scan", name, prefix, after, limit, now)

    def _ask(self, question: str, *arguments: Any) -> Awaitable[Any]:
        if self._writer is None:
            if self._host is None:
                raise StateError(f"{self.path} has been closed")
            file = StateFile(self.path, self.options.busy, self.options.at_most)
            self._writer = Writer(file, self._log, self._clock.wall)
        return self._writer.ask(question, arguments)


def _state_folder() -> Path:
    """Return the folder that systemd provides, or the working directory."""
    return Path(os.environ.get("STATE_DIRECTORY", "").partition(":")[0])
