"""What is counted: one record for each day and subscription, API, version, tier and kind of key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hookgate import Exchange, Fault

NAMES = ("subscription", "api", "version", "tier", "application", "owner", "key_type")
NUMBERS = ("calls", "faults", "refused", "received", "sent")
VARIABLE = "subscription"
"""Where the step that looks subscriptions up leaves what it has found."""
DAY = 86_400
LONGEST = 200
"""Characters of a name; the rest is cut off."""
THROTTLED = range(900_800, 900_808)
"""Codes of the faults of limits (KC-39)."""


class Key(NamedTuple):
    """What a call is counted under."""

    day: int
    """Unix time at which its day begins, by UTC."""
    subscription: str
    api: str
    version: str
    tier: str
    application: str
    owner: str
    key_type: str

    def clean(self) -> Key:
        """Return it with names that any database takes."""
        names = (
            each.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}") for each in self[1:]
        )
        return Key(self.day, *names)

    @property
    def digest(self) -> str:
        """A short name of its own, for the day."""
        return sha256("\0".join(self[1:]).encode()).hexdigest()[:40]


class Used:
    """Counts of calls."""

    __slots__ = NUMBERS
    calls: int
    """All of them."""
    faults: int
    """Those that were answered with 500 or above, whoever made the answer, or not at all."""
    refused: int
    """Those that a limit has refused; they are among no faults."""
    received: int
    """Bytes of request bodies."""
    sent: int
    """Bytes of response bodies."""

    def __init__(self) -> None:
        self.calls = self.faults = self.refused = self.received = self.sent = 0

    def add(self, other: Used) -> None:
        """Add the counts of another one."""
        for name in NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


Batch = dict[Key, Used]


class Folding:
    """Counts in memory, in the thread of the gateway's loop."""

    def __init__(self, wall: Callable[[], float], most: int) -> None:
        self._wall, self._most = wall, most
        self._used: Batch = {}
        self.lost = 0
        """Calls that were not counted, since too many records wait."""

    def count(self, exchange: Exchange) -> None:
        """Count a call that is over, if it belongs to a subscription."""
        found = exchange.variables.get(VARIABLE)
        if not isinstance(found, Mapping):
            return
        route = exchange.route
        api = None if route is None else route.api
        get = found.get
        key = Key(
            int(self._wall()) // DAY * DAY,
            _text(get("id")),
            route.name if api is None and route is not None else "" if api is None else api.name,
            "" if api is None else api.version,
            _text(get("tier")),
            _text(get("application")),
            _text(get("owner")),
            _text(get("key_type")),
        )
        used = self._used.get(key)
        if used is None:
            if len(self._used) >= self._most:
                self.lost += 1
                return
            used = self._used[key] = Used()
        used.calls += 1
        response, fault = exchange.response, exchange.fault
        if fault is not None and _limited(fault):
            used.refused += 1
        elif response is None or response.status >= 500:
            used.faults += 1
        used.received += exchange.bytes_received or 0
        used.sent += exchange.bytes_sent

    @property
    def unwritten(self) -> int:
        """Calls that were counted since the last batch was taken."""
        return sum(each.calls for each in self._used.values())

    def take(self) -> Batch:
        """Hand over what was counted, and begin anew."""
        taken, self._used = self._used, {}
        return taken

    def drop(self, batch: Batch, waiting: int) -> None:
        """Drop the oldest days of what cannot be written, until so many records are left; what is dropped counts as
        lost."""
        if len(batch) > waiting:
            for key in sorted(batch)[: len(batch) - waiting]:
                self.lost += batch.pop(key).calls


def _text(value: Any) -> str:
    if type(value) is str and len(value) <= LONGEST:
        return value
    return "" if value is None else str(value)[:LONGEST]


def _limited(fault: Fault) -> bool:
    """Whether a limit of ours has refused; a backend that says 429 is no fault."""
    return fault.status == 429 or fault.code in THROTTLED
