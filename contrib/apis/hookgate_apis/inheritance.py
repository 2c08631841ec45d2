"""How the flow of an API comes down to its resources and operations: pure functions over lists of entries (FL-25 to
FL-31).

Each scope has lists of entries: *drawn* with the client on the left. A child's list is its parent's entries followed by
its own. The list is *broken* where that is not so: entries of the parent reordered, left out, or with something before
them or between them. What changes in the parent does not reach a broken list any more, until it is restored.

An entry is the same entry wherever it comes down to, whatever its values are; ``key`` says which it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Item:
    """An entry in the list of a scope."""

    key: str
    """What tells it from the others of its API; stable over edits of its values."""
    entry: Any = None
    """As the document writes it."""
    kind: str = ""
    """Where it was placed: ``api``, ``resource`` or ``operation``."""
    scope: str = ""
    """The scope that it was placed in: ``orders 1.0``, ``orders 1.0 /items``, ``orders 1.0 /items GET``."""
    place: tuple[str | int, ...] = ()
    """Where it stands in the document."""
    overrides: tuple[tuple[str, tuple[str | int, ...], Mapping[str, Any]], ...] = ()
    """Values set by scopes below, outermost first: scope, place and options (FL-27)."""
    again: tuple[str | int, ...] = field(default=(), compare=False)
    """Where a broken list names it."""


@dataclass(frozen=True, slots=True)
class Own:
    """What a scope says about one of its lists."""

    items: tuple[Item, ...] = ()
    """Entries placed here, in order; in a broken list all entries, inherited ones too."""
    inherits: bool = True
    """``False`` for a broken list."""
    overrides: Mapping[str, tuple[str, tuple[str | int, ...], Mapping[str, Any]]] = field(default_factory=dict)
    """Values for inherited entries, by key."""


def effective(parent: Sequence[Item], own: Own) -> list[Item]:
    """Return the list of a scope: its parent's and its own, or its own alone where it is broken (FL-25, FL-30)."""
    items = [*parent, *own.items] if own.inherits else list(own.items)
    return [
        replace(item, overrides=(*item.overrides, own.overrides[item.key])) if item.key in own.overrides else item
        for item in items
    ]


def first_break(parent: Sequence[Item], child: Sequence[Item]) -> int | None:
    """Return where a list departs from its parent's, as an index of the child; ``None`` where it does not (FL-28).

    A list is unbroken exactly if its first entries are its parent's, in their order (FL-29).
    """
    for index, inherited in enumerate(parent):
        if index >= len(child) or child[index].key != inherited.key:
            return index
    return None


def additions(parent: Sequence[Item], child: Sequence[Item]) -> list[Item]:
    """Return the entries that a list has beyond its parent's, in order."""
    inherited = {item.key for item in parent}
    return [item for item in child if item.key not in inherited]


def restored(parent: Sequence[Item], child: Sequence[Item], *, scope: str | None = None) -> list[Item]:
    """Return a list with its break undone: the parent's entries as they are now, then the child's own (FL-31).

    With a ``scope``, what was once inherited and has left the parent since is not taken for an addition of the child.
    """
    own = additions(parent, child)
    if scope is not None:
        own = [item for item in own if item.scope == scope]
    return [*parent, *own]


@dataclass(frozen=True, slots=True)
class Difference:
    """What would change in a list."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    moved: bool = False
    """Entries that stay stand in another order."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.moved)


def difference(before: Iterable[Item], after: Iterable[Item]) -> Difference:
    """Compare two lists by the identity of their entries."""
    old, new = [item.key for item in before], [item.key for item in after]
    return Difference(
        tuple(key for key in new if key not in old),
        tuple(key for key in old if key not in new),
        [key for key in old if key in new] != [key for key in new if key in old],
    )
