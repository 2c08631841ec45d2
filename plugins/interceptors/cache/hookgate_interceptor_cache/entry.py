"""One stored response: what came, when, for whom, and how old it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hookgate import Body, Headers, Response
from hookgate_interceptor_cache.directives import Directives

OVERHEAD = 1024
"""Octets that an entry is counted with beside its head and body: what Python needs for it, about."""
Field = tuple[bytes, bytes]


class Place(NamedTuple):
    """Where a response is looked for before its ``Vary`` is known."""

    uri: str
    """Scheme, host, path and query."""
    part: tuple[str, ...]
    """Whatever else tells answers apart: route, destination, key of the deployer, caller."""


@dataclass(slots=True, eq=False)
class Entry:
    """A response that is kept. Once it is, it never changes; a 304 puts another one in its place."""

    place: Place
    vary: tuple[str, ...]
    """Names of the request fields that select it, in lower case."""
    status: int
    fields: list[Field]
    body: bytes
    directives: Directives
    lifetime: float
    """Seconds for which it is fresh."""
    initial_age: float
    """Seconds that it was old when it came (RFC 9111, 4.2.3)."""
    received: float
    """When it came, by the clock that never goes back."""
    everyone: bool
    """Whether callers with credentials may have it, too."""
    tags: frozenset[str] = frozenset()
    etag: str | None = None
    last_modified: str | None = None
    selecting: tuple[str | None, ...] = ()
    """What the request had in the fields that select it."""

    @property
    def octets(self) -> int:
        """What it is counted with."""
        texts = (*self.place.part, self.place.uri, *(each or "" for each in self.selecting), *self.tags)
        head = sum(len(name) + len(value) for name, value in self.fields)
        return OVERHEAD + len(self.body) + head + sum(map(len, texts))

    def age(self, now: float) -> float:
        """Return how old it is, in seconds."""
        return self.initial_age + max(0.0, now - self.received)

    def stale_for(self, now: float) -> float:
        """Return for how many seconds it has been stale; below 0 while it is fresh."""
        return self.age(now) - self.lifetime

    def response(self, now: float) -> Response:
        """Make a response of it, with its ``Age``."""
        response = Response(self.status, Headers.of(list(self.fields)), Body(self.body))
        response.headers.set("Age", str(int(self.age(now))))
        return response


def selected(vary: tuple[str, ...], headers: Headers) -> tuple[str | None, ...]:
    """Return what a request has in the fields that select a response: lines joined, spaces around commas left out."""
    return tuple(_normal(headers.getall(name)) for name in vary)


def _normal(lines: list[str]) -> str | None:
    return ",".join(part.strip() for line in lines for part in line.split(",")) if lines else None
