"""The SQLite file of traces: one connection that writes and keeps the bounds, and one for each question.

Write-ahead logging, so that readers and the writer do not wait for each other and a process that is killed leaves a
whole file. The bounds are kept in the transaction that adds, so that no reader and no crash finds them broken.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hookgate import Clock
from hookgate_trace.filters import Filters
from hookgate_trace.rows import FACTS, Row

APPLICATION = 0x686B7472
"""``application_id`` of our files: "hktr"."""
SCHEMA = 1
"""``user_version`` of files that this version reads and writes."""
PATIENCE = 2.0
"""Seconds that a write waits for another process that is writing."""
QUESTION = 5.0
"""Seconds that a question may take."""
LOG_SIZE = 4 * 1024 * 1024
"""Bytes that the write-ahead log beside the file is cut back to."""
LARGEST = 1024 * 1024
"""Bytes of one trace; longer ones are shortened."""

_COLUMNS = (*FACTS, "bytes", "document")
_TABLE = f"""
CREATE TABLE traces (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, time REAL NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, status INTEGER, route TEXT, api TEXT, version TEXT, application TEXT, environment TEXT,
    request_id TEXT, trace_id TEXT, outcome TEXT, milliseconds REAL NOT NULL, reason TEXT, fault TEXT,
    bytes INTEGER NOT NULL, document TEXT NOT NULL
);
CREATE INDEX by_id ON traces (id);
CREATE INDEX by_time ON traces (time);
CREATE INDEX by_path ON traces (path);
CREATE INDEX by_status ON traces (status);
CREATE INDEX by_route ON traces (route);
CREATE INDEX by_api ON traces (api, version);
CREATE INDEX by_application ON traces (application);
CREATE INDEX by_request_id ON traces (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX by_trace_id ON traces (trace_id) WHERE trace_id IS NOT NULL;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {SCHEMA};
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the file holds at most; the oldest traces go first."""

    keep: float
    """Seconds."""
    at_most: int
    """Bytes of the file."""
    count: int
    """Traces."""


class Unusable(Exception):
    """A file that is not ours to write to; says what to do."""


class TraceFile:
    """The writing end, for one thread."""

    def __init__(self, path: Path, bounds: Bounds, clock: Clock, *, private: bool = False) -> None:
        self.path = path
        self.bounds = bounds
        self.largest = min(LARGEST, bounds.at_most // 8)
        """Bytes of one trace."""
        self._clock = clock
        self._private = private
        """The folder is ours to make."""
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    def add(self, rows: Sequence[Row]) -> list[int]:
        """Keep traces, let go of those that are too many or too old; return the number that each was given.

        Raises:
            OSError, sqlite3.Error, Unusable: the file cannot be written; none of them was kept.
        """
        numbers: list[int] = []
        names, marks = ", ".join(_COLUMNS), ", ".join("?" * len(_COLUMNS))
        with self._changing() as connection:
            self._make_room(connection, sum(row["bytes"] for row in rows))
            for row in rows:
                added = connection.execute(
                    f"INSERT INTO traces ({names}) VALUES ({marks})",  # noqa: S608 - names of our own
                    [row[name] for name in _COLUMNS],
                )
                numbers.append(added.lastrowid or 0)
            self._prune(connection)
        return numbers

    def prune(self) -> None:
        """Let go of what is too old.

        Raises:
            OSError, sqlite3.Error, Unusable: the file cannot be written.
        """
        with self._changing() as connection:
            self._prune(connection)

    def close(self) -> None:
        """Let go of the file; the next change opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """Have one transaction, in the file that is under the name now."""
        if self._connection is not None and self._identity != _identity(self.path):
            self.close()  # somebody has moved or deleted it
        connection = self._connection or self._open()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _open(self) -> sqlite3.Connection:
        if self._private:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_mode & 0o077:
                os.fchmod(descriptor, 0o600)  # what calls hold is nobody else's business
        finally:
            os.close(descriptor)
        connection = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, _identity(self.path)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        if not _checked(connection, self.path):
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before there is anything
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")  # what is gone is not to be found in the file
        connection.execute(f"PRAGMA journal_size_limit = {LOG_SIZE}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not _checked(connection, self.path):  # another process may have been faster
                for statement in _TABLE.strip().split(";\n"):
                    connection.execute(statement)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _make_room(self, connection: sqlite3.Connection, coming: int) -> None:
        """Delete the oldest until what comes fits, so that it takes their pages and the file does not grow."""
        self._delete_down_to(connection, self.bounds.at_most - coming - coming // 8)

    def _prune(self, connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM traces WHERE time < ?", [self._clock.wall() - self.bounds.keep])
        (held,) = connection.execute("SELECT COUNT(*) FROM traces").fetchone()
        if held > self.bounds.count:
            _delete_oldest(connection, held - self.bounds.count)
        self._delete_down_to(connection, self.bounds.at_most)
        size = _value(connection, "page_size")
        beyond = _value(connection, "page_count") - self.bounds.at_most // size
        for _ in range(beyond):
            connection.execute("PRAGMA incremental_vacuum(1)")  # sqlite3 takes one step of it, which is one page

    def _delete_down_to(self, connection: sqlite3.Connection, most: int) -> None:
        """Delete the oldest until so many bytes are in use, or nothing is left."""
        size = _value(connection, "page_size")
        while True:
            used = (_value(connection, "page_count") - _value(connection, "freelist_count")) * size
            if used <= most:
                return
            (held,) = connection.execute("SELECT COUNT(*) FROM traces").fetchone()
            doomed = taken = 0
            for (length,) in connection.execute("SELECT bytes FROM traces ORDER BY number LIMIT 1000"):
                doomed, taken = doomed + 1, taken + max(length, used // held)  # indexes take their part, too
                if taken >= used - most:
                    break
            if not doomed:
                return
            _delete_oldest(connection, doomed)


def search(path: Path, filters: Filters, *, most: int, before: int | None = None, whole: bool = False) -> list[Row]:
    """Return the newest traces that fit, newest first: their facts and ``number``, and with ``whole`` ``document``.

    Raises:
        OSError, sqlite3.Error, Unusable: the file cannot be read, or the answer took too long.
    """
    condition, values = filters.where()
    if before is not None:
        condition, values = f"({condition}) AND number < ?", [*values, before]
    names = ("number", *FACTS, *(("document",) if whole else ()))
    sql = f"SELECT {', '.join(names)} FROM traces WHERE {condition} ORDER BY number DESC LIMIT ?"  # noqa: S608
    with _asking(path) as connection:
        return [dict(zip(names, row, strict=True)) for row in connection.execute(sql, [*values, most])]


def find(path: Path, identifier: str, since: float, number: int | None = None) -> str | None:
    """Return the newest trace of that id, or the one with that number, as JSON; ``None`` if there is none.

    Raises:
        OSError, sqlite3.Error, Unusable: the file cannot be read.
    """
    sql = "SELECT document FROM traces WHERE id = ? AND time >= ? AND (? IS NULL OR number = ?)"
    with _asking(path) as connection:
        row = connection.execute(f"{sql} ORDER BY number DESC", [identifier, since, number, number]).fetchone()
    return None if row is None else str(row[0])


@contextmanager
def _asking(path: Path) -> Iterator[sqlite3.Connection]:
    path.stat()  # or the complaint would not say what is missing
    deadline = time.monotonic() + QUESTION
    uri = f"file:{quote(str(path.absolute()))}?mode=rw"  # a reader needs to write the index of the log beside it
    with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE, isolation_level=None)) as connection:
        connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        connection.execute("PRAGMA query_only = 1")
        if not _checked(connection, path):
            raise Unusable(f"{path} holds no traces yet")
        yield connection


def _checked(connection: sqlite3.Connection, path: Path) -> bool:
    """Tell whether a file has the tables already.

    Raises:
        Unusable: it belongs to somebody else, or to another version.
    """
    (tables,) = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    if not tables:
        return False
    if _value(connection, "application_id") != APPLICATION:
        raise Unusable(f"{path} is a database of another program; set `path` to a file of its own")
    version = _value(connection, "user_version")
    if version != SCHEMA:
        raise Unusable(
            f"{path} has version {version}, this hookgate reads version {SCHEMA}; set `path` to another file, or "
            "delete this one with the files -wal and -shm beside it"
        )
    return True


def _delete_oldest(connection: sqlite3.Connection, number: int) -> None:
    sql = "DELETE FROM traces WHERE number IN (SELECT number FROM traces ORDER BY number LIMIT ?)"
    connection.execute(sql, [number])


def _value(connection: sqlite3.Connection, pragma: str) -> int:
    (value,) = connection.execute(f"PRAGMA {pragma}").fetchone()
    return int(value)


def _identity(path: Path) -> tuple[Any, ...]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return found.st_dev, found.st_ino
