"""Keeps the state of plugins in memory, for tests."""

from __future__ import annotations

import heapq
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from hookgate import Conflict, Options, Row, StateRefused, StateStore, hookimpl

_LARGEST = 2**63 - 1
"""A whole number has 64 bits, as in every store."""


_FEW = 64
"""Rows of a name below which nobody looks for those that have expired."""


class MemoryOptions(Options):
    """There is nothing to choose."""


@dataclass(slots=True)
class _Name:
    """The rows of one name."""

    rows: dict[str, Row] = field(default_factory=dict)
    sweep_at: int = _FEW
    """So many rows lead to a look for those that have expired: twice as many as the last look has left, so that it
    costs little for each new row."""

    def live(self, key: str, now: float) -> Row | None:
        """Return a row that has not expired."""
        row = self.rows.get(key)
        return row if row is not None and (row.expires is None or row.expires > now) else None

    def sweep(self, now: float) -> None:
        """Let go of what has expired."""
        self.rows = {key: row for key, row in self.rows.items() if row.expires is None or row.expires > now}
        self.sweep_at = max(_FEW, 2 * len(self.rows))


class Memory(StateStore[MemoryOptions]):
    """Keeps the state of plugins in the memory of this process: it is there over reloads, and gone after a restart.

    For tests, and for trying things out. What has expired is let go of when there are twice as many entries as before.
    """

    def __init__(self, options: MemoryOptions) -> None:
        super().__init__(options)
        self._names: dict[str, _Name] = {}
        self._version = 0
        """The last one, of all keys: so none repeats, whatever is removed."""

    @hookimpl
    def read(self, name: str, key: str, now: float) -> Row | None:
        """Return a row that has not expired."""
        found = self._names.get(name)
        return None if found is None else found.live(key, now)

    @hookimpl
    def write(self, name: str, key: str, row: Row, version: int | None, most: int, now: float) -> int:
        """Write a row and return its version.

        Raises:
            Conflict: the row has another version.
            StateRefused: it would be one more than ``most``.
        """
        _agrees(key, self.read(name, key, now), version)
        return self._put(name, key, row, most, now)

    @hookimpl
    def remove(self, name: str, key: str, version: int | None, now: float) -> bool:
        """Remove a row; return whether there was one.

        Raises:
            Conflict: the row has another version.
        """
        found = self._names.get(name, _Name())
        before = found.live(key, now)
        _agrees(key, before, version)
        found.rows.pop(key, None)
        if not found.rows:
            self._names.pop(name, None)
        return before is not None

    @hookimpl
    def increase(
        self, name: str, key: str, amount: int, expires: float | None, bound: int | None, most: int, now: float
    ) -> int | None:
        """Add to a whole number.

        Raises:
            StateRefused: there is something else, the number would be too large, or one more than ``most``.
        """
        before = self.read(name, key, now)
        number = 0 if before is None else json.loads(before.data)
        if type(number) is not int:
            raise StateRefused(f"{key!r} is no whole number")
        total = number + amount
        if amount > 0 and bound is not None and total > bound:
            return None
        if not -_LARGEST <= total <= _LARGEST:
            raise StateRefused(f"{key!r} would be {total}, which has more than 64 bits")
        if amount:
            until = expires if before is None else before.expires
            self._put(name, key, Row(str(total).encode(), 0, until), most, now)
        return total

    @hookimpl
    def scan(self, name: str, prefix: str, after: str, limit: int, now: float) -> Sequence[tuple[str, Row]]:
        """Return rows that have not expired, in the order of their keys."""
        found = self._names.get(name, _Name())
        keys = (key for key in found.rows if key.startswith(prefix) and key > after and found.live(key, now))
        return [(key, found.rows[key]) for key in heapq.nsmallest(limit, keys)]

    def _put(self, name: str, key: str, row: Row, most: int, now: float) -> int:
        found = self._names.setdefault(name, _Name())
        if key not in found.rows:
            if len(found.rows) >= min(found.sweep_at, most):
                found.sweep(now)
            if len(found.rows) >= most:
                raise StateRefused(f"{name!r} holds {most} entries, and more are not allowed")
        self._version += 1
        found.rows[key] = row._replace(version=self._version)
        return self._version


def _agrees(key: str, row: Row | None, version: int | None) -> None:
    """Compare a version with that of a row that is there.

    Raises:
        Conflict: they differ.
    """
    there = 0 if row is None else row.version
    if version is not None and version != there:
        raise Conflict(f"{key!r} has version {there} and not {version}; read it again")
