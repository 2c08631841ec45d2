"""How many attempts to get in may fail for one address."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from hookgate_people.errors import TooMany

MOST = 30
"""Failures of one address within the window; those of one /64 in IPv6 count as one address."""
WINDOW = 60.0
"""Seconds."""
MOST_ADDRESSES = 10_000


class Attempts:
    """Counts failures by address. They are kept in this process: each node has its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Begin of the window and failures in it."""

    def count(self, address: str) -> None:
        """Count an attempt, which is taken back if it succeeds.

        Raises:
            TooMany: too many of that address have failed.
        """
        key, now = _network(address), self._clock()
        begun, failed = self._failed.get(key, (now, 0))
        if now - begun >= WINDOW:
            begun, failed = now, 0
        if failed >= MOST:
            raise TooMany("too many failed logins from this address", WINDOW - (now - begun))
        self._failed[key] = begun, failed + 1
        self._failed.move_to_end(key)
        while len(self._failed) > MOST_ADDRESSES:
            self._failed.popitem(last=False)

    def take_back(self, address: str) -> None:
        """Say that an attempt has succeeded."""
        key = _network(address)
        begun, failed = self._failed.get(key, (0.0, 0))
        if failed:
            self._failed[key] = begun, failed - 1


def _network(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    return str(found.ipv4_mapped or f"{int(found) >> 64:x}::/64")
