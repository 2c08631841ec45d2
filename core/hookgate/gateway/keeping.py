"""State of plugins: the bounds and the time limit, in front of whatever keeps it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from inspect import isawaitable
from typing import Any, TypeVar

from hookgate.contract.clock import Clock
from hookgate.contract.families import StateStore
from hookgate.contract.state import MAX_ENTRIES, MAX_KEY, MAX_VALUE, PATIENCE, Conflict, Kept, Row, StateError
from hookgate.gateway.coming import coming

log = logging.getLogger("hookgate.state")

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
MOST_AT_ONCE = 1000
"""Entries that one scan gives."""

T = TypeVar("T")


class Keeping:
    """Holds the store of the live document for all who ask for state."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.store: StateStore[Any] | None = None
        """Of the live document; ``None`` where none is installed."""
        self.trouble = ""
        """What went wrong when the store was asked last."""

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
            StateError: it cannot, or does not answer in time; the text names it.
        """
        config = coming()
        store = self.store if config is None else config.state
        if store is None:
            raise StateError("no store of state is installed: pip install hookgate-state-sqlite")
        try:
            async with asyncio.timeout(PATIENCE):
                found = getattr(store, hook)(name, *arguments)
                found = await found if isawaitable(found) else found
        except Conflict:
            raise
        except TimeoutError as error:
            raise self._failed(store, name, f"does not answer within {PATIENCE:g} s") from error
        except StateError as error:
            raise self._failed(store, name, str(error)) from error
        except (Exception, SystemExit) as error:
            log.exception("%s failed in %s", store.entry.id, hook)
            raise self._failed(store, name, f"failed: {type(error).__name__}") from error
        self.trouble = ""
        return found

    def _failed(self, store: StateStore[Any], name: str, why: str) -> StateError:
        self.trouble = f"{store.entry.id}: {why}"
        return StateError(f"the state {name!r} cannot be used: {self.trouble}")


class NamedState:
    """State under one name; see :class:`hookgate.contract.state.State`."""

    def __init__(self, keeping: Keeping, name: str) -> None:
        self._keeping = keeping
        self._name = name

    async def get(self, key: str) -> Kept | None:
        """Return what is kept under a key."""
        row: Row | None = await self._keeping.ask("read", self._name, _checked(key), self._now())
        return None if row is None else _kept(row)

    async def put(self, key: str, value: Any, *, ttl: float | None = None, version: int | None = None) -> int:
        """Keep a value."""
        try:
            data = json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise StateError(f"the state {self._name!r} keeps what JSON can say, and this is not: {error}") from error
        if len(data) > MAX_VALUE:
            raise StateError(f"a value in the state {self._name!r} has {len(data)} bytes; {MAX_VALUE} are allowed")
        row = Row(data, 0, self._until(ttl))
        written: int = await self._keeping.ask(
            "write", self._name, _checked(key), row, version, MAX_ENTRIES, self._now()
        )
        return written

    async def delete(self, key: str, *, version: int | None = None) -> bool:
        """Forget a value."""
        return bool(await self._keeping.ask("remove", self._name, _checked(key), version, self._now()))

    async def add(self, key: str, amount: int = 1, *, ttl: float | None = None, most: int | None = None) -> int | None:
        """Add to a whole number."""
        arguments = (_checked(key), amount, self._until(ttl), most, MAX_ENTRIES, self._now())
        found: int | None = await self._keeping.ask("increase", self._name, *arguments)
        return found

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = 100) -> Sequence[tuple[str, Kept]]:
        """Return entries in the order of their keys."""
        bound = max(1, min(limit, MOST_AT_ONCE))
        rows: Sequence[tuple[str, Row]] = await self._keeping.ask("scan", self._name, prefix, after, bound, self._now())
        return [(key, _kept(row)) for key, row in rows]

    def _now(self) -> float:
        return self._keeping.clock.wall()

    def _until(self, ttl: float | None) -> float | None:
        if ttl is not None and not 0 < ttl < float("inf"):
            raise StateError(f"a time to live is more than 0 seconds, not {ttl}")
        return None if ttl is None else self._now() + ttl


def _checked(key: str) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or "\0" in key:
        raise StateError(f"a key is a text of 1 to {MAX_KEY} characters")
    return key


def _kept(row: Row) -> Kept:
    try:
        return Kept(json.loads(row.data), row.version, row.expires)
    except ValueError as error:
        raise StateError("what is kept is no JSON any more; somebody else has written it") from error
