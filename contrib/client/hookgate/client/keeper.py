"""What the connections to backends and the pool that keeps them say to each other, and whose time a call takes."""

from __future__ import annotations

from typing import Any, Protocol

MOMENT = 0.1
"""Seconds that any client may take: a backend that breaks off within them has not lost its patience."""
Origin = tuple[str, str, int]
"""Scheme, host and port."""


class Keeper(Protocol):
    """The pool that a connection belongs to."""

    def opened(self, upstream: Any) -> None:
        """A connection is there."""

    def free(self, upstream: Any, now: float) -> float | None:
        """A connection has done its call and can do another; return until when it is kept, if it is."""

    def gone(self, upstream: Any, *, idle: bool, busy: bool) -> None:
        """A connection is closed."""


class Stale(Exception):
    """A kept connection turned out to be closed before a byte of the response came."""

    spares_target = False


class Unsent(Stale):
    """The same, and no byte of the request went out."""


class Turns:
    """Whose time a call takes, in seconds of the loop: the client's, while its body is awaited or it reads nothing."""

    __slots__ = ("_began", "_since", "_waited")

    def __init__(self) -> None:
        self.begin(0.0)

    def begin(self, now: float) -> None:
        """A call begins."""
        self._began, self._waited = now, 0.0
        self._since: float | None = None

    def client(self, now: float) -> None:
        """From now on it is the client's turn."""
        if self._since is None:
            self._since = now

    def backend(self, now: float) -> None:
        """From now on it is not."""
        if self._since is not None:
            self._waited += now - self._since
            self._since = None

    def mostly_client(self, now: float) -> bool:
        """Whether the client took at least half of the time, so that a backend whose time runs out, or whose patience,
        is not to blame."""
        waited = self._waited if self._since is None else self._waited + now - self._since
        return waited >= MOMENT and 2 * waited >= now - self._began
