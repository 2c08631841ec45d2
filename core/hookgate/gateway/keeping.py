"""State of plugins: the bounds, the time limit and the check of what comes back, in front of whatever keeps it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

from hookgate.contract.clock import Clock
from hookgate.contract.families import StateStore
from hookgate.contract.state import (
    MAX_ENTRIES,
    MAX_KEY,
    MAX_VALUE,
    PATIENCE,
    Conflict,
    Kept,
    Row,
    StateError,
    StateRefused,
)
from hookgate.gateway.bounding import GivenUp, bounded
from hookgate.gateway.coming import coming

log = logging.getLogger("hookgate.state")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_LARGEST = 2**63 - 1
MOST_AT_ONCE = 1000
"""Entries that one scan gives."""
MUCH = 256 * 1024
"""Bytes after whose reading others run."""

_RIGHT: dict[str, Callable[[Any], bool]] = {
    "read": lambda found: found is None or isinstance(found, Row),
    "write": lambda found: type(found) is int,
    "remove": lambda found: isinstance(found, bool),
    "increase": lambda found: found is None or type(found) is int,
    "scan": lambda found: isinstance(found, list | tuple) and all(map(_is_pair, found)),
}
"""Whether what a hook gives is an answer."""


class Keeping:
    """Holds the store of the live document for all who ask for state."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.store: StateStore[Any] | None = None
        """Of the live document; ``None`` where none is installed."""
        self._failed: tuple[StateStore[Any], str] | None = None
        """The store that was asked last, if it could not answer, and why."""

    @property
    def trouble(self) -> str:
        """What went wrong when the store was asked last."""
        return self._failed[1] if self._failed is not None and self._failed[0] is self.store else ""

    def named(self, name: str) -> NamedState:
        """Return what is kept under a name.

        Raises:
            ValueError: it is none.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name: up to 100 small letters, digits, '-', '_' and '.'")
        return NamedState(self, name)

    async def ask(self, hook: str, name: str, *arguments: Any) -> Any:
        """Ask the store.

        Raises:
            StateRefused: it will not.
            StateError: it cannot, or does not answer in time; the text names it.
        """
        config = coming()
        store = self.store if config is None else config.state
        if store is None:
            raise StateError("no store of state is installed: pip install hookgate-state-sqlite")
        if (question := getattr(store, hook, None)) is None:
            raise self._away(store, name, f"has no hook {hook}")
        try:
            found = await bounded(question(name, *arguments), PATIENCE)
        except StateRefused as error:
            kind = Conflict if isinstance(error, Conflict) else StateRefused
            raise kind(f"the state {name!r} refuses: {error}") from error
        except GivenUp as error:
            raise self._away(store, name, f"does not answer within {PATIENCE:g} s") from error
        except StateError as error:
            raise self._away(store, name, str(error), told=hasattr(store, "health")) from error
        except (Exception, SystemExit) as error:
            log.exception("%s failed in %s", store.entry.id, hook)
            raise self._away(store, name, f"failed in {hook}: {type(error).__name__}") from error
        if not _RIGHT[hook](found):
            raise self._away(store, name, f"gave a {type(found).__name__} in {hook}, which is no answer")
        self._failed = None
        return found

    def _away(self, store: StateStore[Any], name: str, why: str, *, told: bool = False) -> StateError:
        """Make the error of a store that cannot answer; ``told`` says that it tells so of itself on `/-/health`."""
        whole = f"{store.entry.id}: {why}"
        self._failed = None if told else (store, whole)
        return StateError(f"the state {name!r} cannot be used: {whole}")


class NamedState:
    """State under one name; see :class:`hookgate.contract.state.State`."""

    def __init__(self, keeping: Keeping, name: str) -> None:
        self._keeping = keeping
        self._name = name

    async def get(self, key: str) -> Kept | None:
        """Return what is kept under a key."""
        row: Row | None = await self._ask("read", self._key(key), self._now())
        return None if row is None else self._kept(row)

    async def put(self, key: str, value: Any, *, ttl: float | None = None, version: int | None = None) -> int:
        """Keep a value."""
        self._key(key)
        try:
            data = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise self._refused(f"keeps what JSON can say, and this is not: {error}") from error
        if len(data) > MAX_VALUE:
            raise self._refused(f"keeps values of {MAX_VALUE} bytes at most, and this one has {len(data)}")
        row = Row(data, 0, self._until(ttl))
        written: int = await self._ask("write", key, row, version, MAX_ENTRIES, self._now())
        return written

    async def delete(self, key: str, *, version: int | None = None) -> bool:
        """Forget a value."""
        gone: bool = await self._ask("remove", self._key(key), version, self._now())
        return gone

    async def add(self, key: str, amount: int = 1, *, ttl: float | None = None, most: int | None = None) -> int | None:
        """Add to a whole number."""
        if type(amount) is not int or abs(amount) > _LARGEST:
            raise self._refused(f"adds whole numbers of 64 bits, not {amount!r:.50}")
        arguments = (self._key(key), amount, self._until(ttl), most, MAX_ENTRIES, self._now())
        found: int | None = await self._ask("increase", *arguments)
        return found

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = 100) -> Sequence[tuple[str, Kept]]:
        """Return entries in the order of their keys."""
        bound = max(1, min(limit, MOST_AT_ONCE))
        arguments = (prefix and self._key(prefix), after and self._key(after), bound, self._now())
        rows: Sequence[tuple[str, Row]] = await self._ask("scan", *arguments)
        found, size = [], 0
        for key, row in rows:
            found.append((key, self._kept(row)))
            size += len(row.data)
            if size > MUCH:
                await asyncio.sleep(0)
                size = 0
        return found

    async def _ask(self, hook: str, *arguments: Any) -> Any:
        return await self._keeping.ask(hook, self._name, *arguments)

    def _now(self) -> float:
        return self._keeping.clock.wall()

    def _until(self, ttl: float | None) -> float | None:
        if ttl is not None and not 0 < ttl < float("inf"):
            raise self._refused(f"keeps a value for more than 0 seconds, not {ttl}")
        return None if ttl is None else self._now() + ttl

    def _key(self, key: str) -> str:
        """Check a key: half a character (a lone surrogate) cannot be written by every store, and so by none."""
        bad = not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or "\0" in key
        if bad or (not key.isascii() and any("\ud800" <= letter <= "\udfff" for letter in key)):
            raise self._refused(f"has keys that are texts of 1 to {MAX_KEY} characters, not {key!r:.50}")
        return key

    def _refused(self, why: str) -> StateRefused:
        return StateRefused(f"the state {self._name!r} {why}")

    def _kept(self, row: Row) -> Kept:
        try:
            return Kept(json.loads(row.data), row.version, row.expires)
        except (ValueError, RecursionError) as error:
            raise StateError(f"the state {self._name!r} holds what is no JSON; somebody else has written it") from error


def _is_pair(each: Any) -> bool:
    return isinstance(each, tuple) and [type(part) for part in each] == [str, Row]
