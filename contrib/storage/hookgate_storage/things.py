"""What is stored, and what a write does to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_storage import digest as digests

Shape = Literal["names", "list", "record"]
Key = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object as it is stored."""

    kind: str
    """The section of the document that it belongs to."""
    name: str
    body: Any
    version: int
    """Counts from 1; it goes on where an object of that name was removed."""
    generation: int
    """The one that wrote it."""
    shape: Shape = "names"


@dataclass(frozen=True, slots=True)
class Change:
    """What a write does to one object: put a body there, or remove it (``body`` is ``None``)."""

    kind: str
    name: str
    body: Any
    shape: Shape = "names"
    version: int | None = None
    """The version that it has to have: 0 for an object that must not be there, ``None`` for any."""


@dataclass(frozen=True, slots=True)
class Generation:
    """One entry of the ledger."""

    number: int
    at: float
    """Unix time."""
    author: str
    comment: str
    digest: str
    count: int
    """Objects there are."""


@dataclass(frozen=True, slots=True)
class Writing:
    """One write: all of its changes, or none; it makes one generation."""

    changes: Sequence[Change]
    author: str
    comment: str = ""
    also: Mapping[str, Any] | None = None
    """Facts that are told with it."""
    within: Callable[[AsyncConnection], Awaitable[None]] | None = None
    """Does something else in the same transaction."""
    context: Context = field(default_factory=copy_context)
    """Of the call that it came with."""


@dataclass(frozen=True, slots=True)
class Made:
    """What a write has made."""

    generation: Generation
    writing: Writing
    before: tuple[Any, ...]
    """The bodies that there were before each change; ``None`` where there was no object."""
    versions: tuple[int, ...]
    """Those after each change."""


EMPTY = Generation(0, 0.0, "", "", digests.shown(0), 0)


@dataclass(frozen=True, slots=True)
class Whole:
    """Everything that is stored, as of one generation."""

    generation: Generation
    objects: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """How far a node has come."""

    node: str
    generation: int
    digest: str
    rejected: tuple[dict[str, str], ...]
    seen: float
