"""What a plugin keeps: values by key that outlive a restart, and a cache that does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from hookgate.exchange.errors import HookgateError

MAX_KEY = 512
"""Characters of a key."""
MAX_VALUE = 64 * 1024
"""Bytes of a value as JSON."""
MAX_ENTRIES = 100_000
"""Entries that one name may hold."""
PATIENCE = 5.0
"""Seconds to wait for the store."""

ValueT = TypeVar("ValueT")


class StateError(HookgateError):
    """State cannot be read or written; the text says why, and names who keeps it."""


class StateRefused(StateError):
    """The store is well, and refuses what was asked: a bound is passed, or what should be added to is no number."""


class Conflict(StateRefused):
    """The entry has another version than the writer thinks: read it again."""


class Kept(NamedTuple):
    """A value that is kept."""

    value: Any
    """What JSON can say: ``None``, numbers, texts, lists and mappings of them."""
    version: int
    """Grows with each write, and never repeats for a key."""
    expires: float | None = None
    """Unix time after which it is gone."""


class Row(NamedTuple):
    """A row of a store, as those who keep it see it."""

    data: bytes
    """JSON."""
    version: int = 0
    expires: float | None = None
    """Unix time."""


class State(Protocol):
    """Values by key under one name, kept over reloads and restarts, shared by all who ask for the name.

    Keys have at most :data:`MAX_KEY` characters, values :data:`MAX_VALUE` bytes as JSON, a name :data:`MAX_ENTRIES`
    entries; each answer comes within :data:`PATIENCE` seconds. Of what was written when an answer does not come, nobody
    knows whether it is there; what was answered is.

    Raises:
        StateError: the store is away, full, locked or broken. Every method may raise it.
        StateRefused: a bound is passed.
    """

    async def get(self, key: str) -> Kept | None:
        """Return what is kept under a key; ``None`` for nothing, or for what has expired."""

    async def put(self, key: str, value: Any, *, ttl: float | None = None, version: int | None = None) -> int:
        """Keep a value, for ``ttl`` seconds or for ever; return its version.

        With ``version`` only if the entry has that one; 0 only if there is none.

        Raises:
            Conflict: it has another version.
        """

    async def delete(self, key: str, *, version: int | None = None) -> bool:
        """Forget a value; return whether there was one.

        Raises:
            Conflict: it has another version than was said.
        """

    async def add(self, key: str, amount: int = 1, *, ttl: float | None = None, most: int | None = None) -> int | None:
        """Add to a whole number, which starts at 0, in one step that no other can come between; return the new number.

        ``ttl`` counts from the first addition. With ``most`` nothing is added where the number would pass it, and
        ``None`` is returned. An amount below 0 gives back, and is never too much; 0 only looks. Numbers have 64 bits.
        """

    async def scan(self, prefix: str = "", *, after: str = "", limit: int = 100) -> Sequence[tuple[str, Kept]]:
        """Return entries whose keys begin so, in the order of their keys, from the first one behind ``after``; at most
        1,000 at once.
        """


class Cache(Protocol, Generic[ValueT]):
    """Values by key in the memory of this process, for a time and up to a number; of those beyond it the ones that
    nobody asked for longest go."""

    async def get(self, key: str, make: Callable[[], Awaitable[ValueT]]) -> ValueT:
        """Return the value of a key. One that is not there is made, once, whoever else asks meanwhile; what ``make``
        raises is raised for all of them and not kept. A caller that is cancelled ends nothing for the others.
        """

    def peek(self, key: str) -> ValueT | None:
        """Return the value of a key, if it is there."""

    def forget(self, key: str | None = None) -> None:
        """Take out a key, or everything. What is being made meanwhile is not kept."""
