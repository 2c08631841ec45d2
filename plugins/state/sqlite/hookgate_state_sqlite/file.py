"""The file: its tables, what can be asked of it, and what may be wrong with it. All of it belongs to one thread."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from hookgate import Conflict, Row, StateRefused

OURS = 0x686B7374
"""The application id: the letters `hkst`."""
VERSION = 1
"""Of the tables."""
LARGEST = 2**63 - 1
BITE = 500
"""Rows that one sweep takes out at most, so that nobody waits for it."""
PROBE = 64 * 1024
"""Bytes that are written to see whether the file can be written again."""

_TABLES = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, key TEXT NOT NULL, data BLOB NOT NULL, version INTEGER NOT NULL,
    expires REAL, UNIQUE (name, key));
CREATE INDEX entries_that_end ON entries (name, expires) WHERE expires IS NOT NULL;
CREATE TABLE names (name TEXT PRIMARY KEY, entries INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE versions (last INTEGER NOT NULL);
CREATE TABLE probes (data BLOB NOT NULL);
INSERT INTO versions VALUES (0);
"""
_ROW = "SELECT data, version, expires FROM entries WHERE name = ? AND key = ? AND (expires IS NULL OR expires > ?)"


class Unusable(Exception):
    """The file is there, and not ours to write."""


FAILURES = (OSError, sqlite3.Error, Unusable)
"""What a file may do to whoever uses it."""


class StateFile:
    """An open file, or one that will be opened when it is next asked for."""

    def __init__(self, path: Path, busy: float, at_most: int) -> None:
        self.path = path
        self.busy = busy
        self._at_most = at_most
        self._db: sqlite3.Connection | None = None
        self._seen: tuple[int, int] = (0, 0)
        """Device and number of the file that is open."""
        self._last = 0
        """The version that was given last, within a transaction that writes."""

    # --- transactions -----------------------------------------------------------------------------------------------

    @contextmanager
    def reading(self) -> Iterator[None]:
        """See one moment of the file for as long as the block lasts; whoever writes holds up nobody here.

        Raises:
            OSError, sqlite3.Error, Unusable: it cannot be read.
        """
        with self._transaction("BEGIN"):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one who writes for as long as the block lasts. When it is over, the disk has what was written.

        Raises:
            OSError, sqlite3.Error, Unusable: it cannot be written; nothing is.
        """
        with self._transaction("BEGIN IMMEDIATE") as db:
            before = self._last = db.execute("SELECT last FROM versions").fetchone()[0]
            yield
            if self._last != before:
                db.execute("UPDATE versions SET last = ?", (self._last,))

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        try:
            db = self._opened()
            db.execute(begin)
            yield db
            db.execute("COMMIT")
        except BaseException as error:
            if self._db is not None:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
            if isinstance(error, FAILURES) and kind(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL):
                self.close()  # whatever is wrong, it is opened anew
            raise

    # --- questions, each within a transaction -----------------------------------------------------------------------

    def read(self, name: str, key: str, now: float) -> Row | None:
        """Return a row that has not expired."""
        row = self._open.execute(_ROW, (name, key, now)).fetchone()
        return None if row is None else Row(*row)

    def write(self, name: str, key: str, row: Row, version: int | None, most: int, now: float) -> int:
        """Write a row and return its version.

        Raises:
            Conflict: the row has another version.
            StateRefused: it would be one more than ``most``.
        """
        self._agree(name, key, version, now)
        return self._put(name, key, row.data, row.expires, most, now)

    def remove(self, name: str, key: str, version: int | None, now: float) -> bool:
        """Remove a row; return whether there was one.

        Raises:
            Conflict: the row has another version.
        """
        there = self._agree(name, key, version, now)
        if self._open.execute("DELETE FROM entries WHERE name = ? AND key = ?", (name, key)).rowcount:
            self._count(name, -1)
        return there

    def increase(
        self, name: str, key: str, amount: int, expires: float | None, bound: int | None, most: int, now: float
    ) -> int | None:
        """Add to a whole number.

        Raises:
            StateRefused: there is something else, the number would be too large, or one more than ``most``.
        """
        before = self.read(name, key, now)
        try:
            number = 0 if before is None else int(before.data)
        except ValueError:
            raise StateRefused(f"{key!r} is no whole number") from None
        total = number + amount
        if amount > 0 and bound is not None and total > bound:
            return None
        if not -LARGEST <= total <= LARGEST:
            raise StateRefused(f"{key!r} would be {total}, which has more than 64 bits")
        if amount:
            until = expires if before is None else before.expires
            self._put(name, key, str(total).encode(), until, most, now)
        return total

    def scan(self, name: str, prefix: str, after: str, limit: int, now: float) -> Sequence[tuple[str, Row]]:
        """Return rows that have not expired, in the order of their keys."""
        # Keys are ordered as their UTF-8 is, which is the order of code points; those of one prefix stand together.
        found = self._open.execute(
            "SELECT key, data, version, expires FROM entries "
            "WHERE name = ? AND key >= ? AND key > ? AND (expires IS NULL OR expires > ?) ORDER BY key LIMIT ?",
            (name, prefix, after, now, limit),
        )
        rows: list[tuple[str, Row]] = []
        for key, *row in found:
            if not key.startswith(prefix):
                break
            rows.append((key, Row(*row)))
        found.close()
        return rows

    # --- keeping house, each within a transaction that writes -------------------------------------------------------

    def sweep(self, name: str, now: float, bite: int = BITE) -> int:
        """Take out rows of a name that have expired, some at a time; return how many."""
        gone = self._open.execute(
            "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE name = ? AND expires <= ? LIMIT ?)",
            (name, now, bite),
        ).rowcount
        if gone:
            self._count(name, -gone)
        return gone

    def expired(self, now: float) -> list[str]:
        """Return the names under which something has expired."""
        found = self._open.execute(
            "SELECT name FROM names WHERE EXISTS "
            "(SELECT 1 FROM entries WHERE entries.name = names.name AND expires <= ?)",
            (now,),
        )
        return [name for (name,) in found]

    def probe(self) -> None:
        """Write as much as the largest value has."""
        self._open.execute("INSERT INTO probes VALUES (zeroblob(?))", (PROBE,))

    def clean(self) -> None:
        """Take out what was written to see whether it can be."""
        self._open.execute("DELETE FROM probes")

    def _put(self, name: str, key: str, data: bytes, expires: float | None, most: int, now: float) -> int:
        self._last += 1
        row = (data, self._last, expires, name, key)
        update = "UPDATE entries SET data = ?, version = ?, expires = ? WHERE name = ? AND key = ?"
        if not self._open.execute(update, row).rowcount:
            self._room(name, most, now)
            self._open.execute("INSERT INTO entries (data, version, expires, name, key) VALUES (?, ?, ?, ?, ?)", row)
            self._count(name, 1)
        return self._last

    def _room(self, name: str, most: int, now: float) -> None:
        """Make room for one more entry.

        Raises:
            StateRefused: there is none.
        """
        counted = self._open.execute("SELECT entries FROM names WHERE name = ?", (name,)).fetchone()
        if counted is not None and counted[0] >= most and not self.sweep(name, now):
            raise StateRefused(f"{name!r} holds {most} entries, and more are not allowed")

    def _count(self, name: str, more: int) -> None:
        """Keep the number of entries of a name, which would take too long to find out."""
        self._open.execute(
            "INSERT INTO names VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET entries = entries + excluded.entries",
            (name, more),
        )
        if more < 0:
            self._open.execute("DELETE FROM names WHERE name = ? AND entries <= 0", (name,))

    def _agree(self, name: str, key: str, version: int | None, now: float) -> bool:
        """Compare a version with that of the row; return whether there is one.

        Raises:
            Conflict: they differ.
        """
        found = self.read(name, key, now)
        there = 0 if found is None else found.version
        if version is not None and version != there:
            raise Conflict(f"{key!r} has version {there} and not {version}; read it again")
        return found is not None

    # --- opening ----------------------------------------------------------------------------------------------------

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._db is not None
        return self._db

    def close(self) -> None:
        """Let go of the file; it is opened again when somebody asks."""
        db, self._db = self._db, None
        if db is not None:
            with suppress(sqlite3.Error):
                db.close()

    def _opened(self) -> sqlite3.Connection:
        if self._db is not None and self._identity() != self._seen:  # somebody has put another one in its place
            self.close()
        if self._db is None:
            self._make()
            until = time.monotonic() + self.busy
            while True:
                try:
                    self._db = self._connected()
                    break
                except sqlite3.OperationalError as error:  # SQLite does not wait for whoever makes it, too
                    if kind(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                        raise
                    time.sleep(0.01)
        return self._db

    def _make(self) -> None:
        """Make an empty file that only we may read, if there is none."""
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _identity(self) -> tuple[int, int]:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_dev, found.st_ino

    def _connected(self) -> sqlite3.Connection:
        address = f"file:{quote(str(self.path.absolute()))}?mode=rw"
        db = sqlite3.connect(address, uri=True, timeout=self.busy, isolation_level=None)
        try:
            self._seen = self._identity()
            self._check(db)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA trusted_schema = OFF")
            size = db.execute("PRAGMA page_size").fetchone()[0]
            db.execute(f"PRAGMA max_page_count = {self._at_most // size}")
        except BaseException:
            db.close()
            raise
        return db

    def _check(self, db: sqlite3.Connection) -> None:
        """See whether it is ours, and make the tables of an empty one.

        Raises:
            Unusable: it is not.
        """
        if _marks(db) == (0, 0):
            db.execute("BEGIN IMMEDIATE")
            try:
                if _marks(db) == (0, 0):  # nobody else has been faster
                    if db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
                        raise Unusable("is a SQLite file of something else; name another one")
                    for statement in _TABLES.strip().split(";\n"):
                        db.execute(statement)
                    db.execute(f"PRAGMA application_id = {OURS}")
                    db.execute(f"PRAGMA user_version = {VERSION}")
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        mark, version = _marks(db)
        if mark != OURS:
            raise Unusable("is a SQLite file of something else; name another one")
        if version != VERSION:
            raise Unusable(f"is of version {version}, and this hookgate keeps version {VERSION}; name another one")


def _marks(db: sqlite3.Connection) -> tuple[int, int]:
    mark, version = (db.execute(f"PRAGMA {each}").fetchone()[0] for each in ("application_id", "user_version"))
    return mark, version


def kind(error: BaseException) -> int:
    """Return which of SQLite's errors it is; 0 for none of them."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF if isinstance(error, sqlite3.Error) else 0


_REMEDY = "put a backup in its place, or move it away and a new one is made"
_SAID = {
    sqlite3.SQLITE_FULL: "is full: the disk has no room, or the file is as large as `at_most` says",
    sqlite3.SQLITE_READONLY: "cannot be written: it is read-only",
    sqlite3.SQLITE_CORRUPT: f"is broken; {_REMEDY}",
    sqlite3.SQLITE_NOTADB: f"is broken, or no SQLite file; {_REMEDY}",
}


def said(error: BaseException, file: StateFile) -> str:
    """Say what is wrong with the file, and name it."""
    if isinstance(error, FileNotFoundError):
        why = f"cannot be made: the folder {file.path.parent.absolute()} is missing"
    elif isinstance(error, OSError):
        why = f"cannot be opened: {error.strerror}"
    elif kind(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        why = f"is locked by another process, for longer than {file.busy:g} s"
    else:
        why = _SAID.get(kind(error), str(error) if isinstance(error, Unusable) else f"cannot be used: {error}")
    return f"{file.path} {why}"
