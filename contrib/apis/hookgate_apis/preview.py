"""What a change of a document does to the flows of its scopes, before it is made: pure functions over scopes (FL-30).

A change of a parent reaches its children unless their list is broken; a change of values reaches them unless they set
the same options themselves. Both are told here, so that nobody has to find out later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hookgate.document import HOST_KEY, written
from hookgate_apis.inheritance import Difference, Item, difference, first_break
from hookgate_apis.tree import DIRECTIONS, Direction, Scope

NOTHING = Difference()


@dataclass(frozen=True, slots=True)
class Shadow:
    """Values of a parent that do not reach a scope, since it sets the same options itself (FL-27)."""

    key: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """What changes in one list of a scope."""

    scope: str
    direction: Direction
    existed: bool
    """The scope was there before."""
    exists: bool
    """The scope is there afterwards."""
    difference: Difference = NOTHING
    order: tuple[str, ...] = ()
    """The new list, by key."""
    values: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Entries whose values change, each with the options that do: only their names, since values may be secret."""
    parent: str = ""
    breaks_at: int | None = None
    """The list is broken now and was not before: the first index that is not as its parent's (FL-28)."""
    mended: bool = False
    """The list was broken before and is not now."""
    missed: Difference = NOTHING
    """What changes in the parent and does not get here, since the list is broken (FL-30)."""
    shadowed: tuple[Shadow, ...] = ()

    def __bool__(self) -> bool:
        return bool(
            self.difference
            or self.values
            or self.breaks_at is not None
            or self.mended
            or self.missed
            or self.shadowed
            or self.existed != self.exists
        )

    def is_like(self, other: Change) -> bool:
        """Whether the same happens to both lists, as when one inherits it from the other, and nothing else."""
        plain = not (self.breaks_at is not None or self.mended or self.missed or self.shadowed)
        same = other.difference == self.difference and other.values == self.values
        return plain and same and self.existed == self.exists == other.existed == other.exists


def as_data(change: Change) -> dict[str, Any]:
    """Tell a change as JSON can."""
    return {
        "kind": "scope",
        "scope": change.scope,
        "direction": change.direction,
        "state": "changed" if change.existed and change.exists else "new" if change.exists else "gone",
        **difference_as_data(change.difference),
        "order": change.order,
        "values": dict(change.values),
        "breaks_at": change.breaks_at,
        "mended": change.mended,
        "missed": difference_as_data(change.missed) if change.missed else None,
        "shadowed": {shadow.key: shadow.options for shadow in change.shadowed},
    }


def difference_as_data(found: Difference) -> dict[str, Any]:
    """Tell a difference as JSON can."""
    return {"added": found.added, "removed": found.removed, "moved": found.moved}


def options_of(item: Item) -> Mapping[str, Any]:
    """Return what an entry is given where its list ends up: its own options and those that scopes below set."""
    entry = written(item.entry)
    options = dict(entry.options)
    if entry.host is not None:
        options[HOST_KEY] = entry.host
    for _, _, values in item.overrides:
        options |= values
    return options


def changed_options(before: Item, after: Item) -> tuple[str, ...]:
    """Name the options that an entry is given other values for."""
    old, new = options_of(before), options_of(after)
    return tuple(name for name in {**old, **new} if old.get(name, ...) != new.get(name, ...))


def changed_values(before: Iterable[Item], after: Iterable[Item]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Find the entries of two lists whose values differ, each with the options that do."""
    old = {item.key: item for item in before}
    pairs = [(item.key, changed_options(old[item.key], item)) for item in after if item.key in old]
    return tuple((key, names) for key, names in pairs if names)


def broken_at(scope: Scope, direction: Direction) -> int | None:
    """Return where the list of a scope departs from its parent's (FL-28); ``None`` where it does not."""
    if scope.parent is None or scope.own[direction].inherits:
        return None
    return first_break(scope.parent.lists[direction], scope.lists[direction])


def preview(before: Iterable[Scope], after: Sequence[Scope]) -> Iterator[Change]:
    """Compare the scopes of a document with those it is changed to; what stays the same is left out."""
    old = {scope.name: scope for scope in before}
    new = {scope.name: scope for scope in after}
    for name, scope in [*new.items(), *((name, scope) for name, scope in old.items() if name not in new)]:
        for direction in DIRECTIONS:
            change = _change(old.get(name), new.get(name), scope, direction, old)
            if change:
                yield change


def _change(
    before: Scope | None, after: Scope | None, scope: Scope, direction: Direction, old: Mapping[str, Scope]
) -> Change:
    was = before.lists[direction] if before is not None else ()
    now = after.lists[direction] if after is not None else ()
    change = Change(
        scope.name,
        direction,
        before is not None,
        after is not None,
        difference(was, now),
        tuple(item.key for item in now),
        changed_values(was, now),
        scope.parent.name if scope.parent is not None else "",
    )
    if before is None or after is None or after.parent is None:
        return change
    broken, wasbroken = broken_at(after, direction), broken_at(before, direction)
    if wasbroken is None:
        change = replace(change, breaks_at=broken)
    elif broken is None:
        change = replace(change, mended=True)
    parent = old.get(after.parent.name)
    if parent is None:
        return change
    above, below = parent.lists[direction], after.parent.lists[direction]
    if not after.own[direction].inherits:
        change = replace(change, missed=_missed(above, below, now))
    return replace(change, shadowed=tuple(_shadowed(above, below, after, direction)))


def _missed(before: Sequence[Item], after: Sequence[Item], child: Sequence[Item]) -> Difference:
    """What changes in a parent's list and is not so in its child's."""
    there = {item.key for item in child}
    change = difference(before, after)
    kept = [item.key for item in child]
    order = [item.key for item in after if item.key in there]
    return Difference(
        tuple(key for key in change.added if key not in there),
        tuple(key for key in change.removed if key in there),
        change.moved and [key for key in kept if key in order] != order,
    )


def _shadowed(before: Sequence[Item], after: Sequence[Item], child: Scope, direction: Direction) -> Iterator[Shadow]:
    there = {item.key for item in child.lists[direction]}
    for key, names in changed_values(before, after):
        if key in child.own[direction].overrides and key in there:
            _, _, values = child.own[direction].overrides[key]
            if hidden := tuple(name for name in names if name in values):
                yield Shadow(key, hidden)
