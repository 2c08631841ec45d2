"""What is counted: one cell for each minute and each combination of dimensions, bounded in number."""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from hookgate_statistics.sketch import LONGEST, PER_LOG, SHORTEST, Sketch, merge

if TYPE_CHECKING:
    from hookgate import Exchange

DIMENSIONS = ("api", "version", "operation", "application", "user", "route", "target")
OTHER = "(other)"
"""Application, user and target of calls that are counted together since there are too many combinations."""
MOST_CHARACTERS = 200
"""Of a name; the rest is cut off."""
MINUTE = 60


class Key(NamedTuple):
    """What a call is counted under. Empty where it has none."""

    api: str = ""
    version: str = ""
    operation: str = ""
    application: str = ""
    user: str = ""
    route: str = ""
    target: str = ""

    def others(self) -> Key:
        """Return what it is counted under with others: what the document bounds stays, what callers bring goes."""
        return self._replace(application=OTHER, user=OTHER, target=OTHER)

    def clean(self) -> Key:
        """Return it with names that any database takes."""
        return Key(
            *(each.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}") for each in self)
        )

    @property
    def digest(self) -> str:
        """A short name of its own."""
        return sha256("\0".join(self).encode()).hexdigest()[:40]


class Cell:
    """Counts of calls. Times are seconds, sizes bytes of bodies."""

    __slots__ = ("aborted", "calls", "client_errors", "received", "seconds", "sent", "server_errors", "sketch")

    def __init__(self) -> None:
        self.calls = self.client_errors = self.server_errors = self.aborted = self.received = self.sent = 0
        self.seconds = 0.0
        self.sketch: Sketch = {}

    def add(self, other: Cell) -> None:
        """Add the counts of another one."""
        self.calls += other.calls
        self.client_errors += other.client_errors
        self.server_errors += other.server_errors
        self.aborted += other.aborted
        self.received += other.received
        self.sent += other.sent
        self.seconds += other.seconds
        merge(self.sketch, other.sketch)


Minutes = dict[int, dict[Key, Cell]]
"""Cells by key, by the Unix time at which their minute begins."""


class Counts:
    """Counts calls in memory. All of it runs in the thread of the gateway's loop."""

    def __init__(self, wall: Callable[[], float], *, most: int, waiting: int) -> None:
        self._wall, self._most, self._waiting = wall, most, waiting
        self._minutes: Minutes = {}
        self._minute, self._cells = -1, dict[Key, Cell]()
        self.lost = 0
        """Calls that were dropped, since they could not be written for too long."""
        self.folded = 0
        """Calls that were counted under ``(other)``."""

    def count(self, exchange: Exchange) -> None:
        """Count a call that is over. A few microseconds; what callers bring makes it no slower and no bigger."""
        minute = int(self._wall()) // MINUTE * MINUTE
        if minute != self._minute or not self._minutes:
            self._begin(minute)
        key = _key_of(exchange)
        cells = self._cells
        cell = cells.get(key)
        if cell is None:
            cell = self._new(key)
        response, finished = exchange.response, exchange.finished
        status = 0 if response is None else response.status
        cell.calls += 1
        if status >= 500:
            cell.server_errors += 1
        elif status >= 400:
            cell.client_errors += 1
        if exchange.outcome == "aborted":
            cell.aborted += 1
        end = exchange.head_at if status == 101 else finished
        if end is not None:
            seconds = end - exchange.started
            number = math.ceil(math.log(SHORTEST if seconds < SHORTEST else min(seconds, LONGEST)) * PER_LOG)
            cell.seconds += seconds
            cell.sketch[number] = cell.sketch.get(number, 0) + 1
        cell.received += exchange.bytes_received or 0
        cell.sent += exchange.bytes_sent

    def take(self) -> Minutes:
        """Hand over what was counted, and begin anew."""
        taken, self._minutes, self._minute = self._minutes, {}, -1
        return taken

    def drop(self, minutes: Minutes, waiting: int) -> None:
        """Drop the oldest minutes of what cannot be written, until so many cells are left; what is dropped counts."""
        left = sum(map(len, minutes.values()))
        for minute in sorted(minutes):
            if left <= waiting:
                break
            gone = minutes.pop(minute)
            left -= len(gone)
            self.lost += sum(cell.calls for cell in gone.values())

    def _begin(self, minute: int) -> None:
        if len(self._minutes) > 1:
            self.drop(self._minutes, self._waiting)
        self._minute, self._cells = minute, self._minutes.setdefault(minute, {})

    def _new(self, key: Key) -> Cell:
        if len(self._cells) >= self._most:
            self.folded += 1
            key = key.others()
            if (known := self._cells.get(key)) is not None:
                return known
        cell = self._cells[key] = Cell()
        return cell


def _key_of(exchange: Exchange) -> Key:
    route, target, identity, known = exchange.route, exchange.target, exchange.identity, exchange.application
    user = application = ""
    if identity is not None:
        user, application = identity.subject, identity.application or ""
        if len(user) > MOST_CHARACTERS:
            user = user[:MOST_CHARACTERS]
    if known is not None:
        application = known.name
    if len(application) > MOST_CHARACTERS:
        application = application[:MOST_CHARACTERS]
    to = "" if target is None else target.url
    if route is None:
        return Key("", "", "", application, user, "", to)
    api = route.api
    if api is None:
        return Key("", "", "", application, user, route.name, to)
    operation = f"{api.operation} {api.resource}" if api.operation else api.resource
    return Key(api.name, api.version, operation, application, user, route.name, to)
