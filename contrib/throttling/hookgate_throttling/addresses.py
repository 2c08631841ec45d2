"""Which line of an IP policy is for a client (KC-37, KC-38)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from hookgate import Limit
from hookgate.workshop import Addresses
from hookgate_throttling.options import OTHER, AddressOptions

Line = tuple[str, Limit]
"""How it is written, and what it allows."""


class Policy:
    """Limits by address: the first line that is for a client, and the one for others where none is."""

    def __init__(self, lines: Sequence[AddressOptions]) -> None:
        self._lines = [(Addresses([each.address]), _line(each)) for each in lines if each.address != OTHER]
        self._other = next((_line(each) for each in lines if each.address == OTHER), None)
        self.of = lru_cache(maxsize=4096)(self._found)  # clients come back, and reading an address is slow

    def _found(self, client: str) -> Line | None:
        return next((line for held, line in self._lines if held.holds(client)), self._other)


def _line(options: AddressOptions) -> Line:
    return options.address, options.counted
