"""Adding, moving and removing a step of a flow that is written down, by its position (FL-56): pure functions over
documents, which build no plugin.

A position counts the list as it is drawn, the client on the left, from 0, with what is inherited. One among inherited
steps breaks the flow of that scope, which is written as :mod:`hookgate_apis.tree` reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, cast

from hookgate.document import Rejected, written
from hookgate_apis.inheritance import Item
from hookgate_apis.records import ApiSection
from hookgate_apis.tree import DIRECTIONS, FROM, Direction, Scope, Tree

Flow = Literal["both", "inbound", "outbound"]
FLOWS: Mapping[str, tuple[Direction, ...]] = {"both": DIRECTIONS, "inbound": ("request",), "outbound": ("response",)}
ANYWHERE = "/{rest...}"
"""The path of a resource that says none."""
SIDES = ("flow", "request", "response")


class CannotPlace(ValueError):
    """There is no such place, or the lists cannot be written so; the text says why."""


@dataclass(frozen=True, slots=True)
class Where:
    """A list of steps."""

    flow: Flow = "both"
    resource: str | None = None
    """Path of the resource; ``None`` for the API, or for what has no resources."""
    operation: str | None = None
    """Method of the operation of the resource."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A step in a list: one of the parent's by its key, or one of the scope's own by its number."""

    key: str
    own: int = -1


def tree_of(body: Any) -> Tree:
    """Return the scopes of an API, a route or a plan as it is written.

    Raises:
        CannotPlace: it cannot be read.
    """
    try:
        return Tree(cast("ApiSection", _section(body)), body, (), [])
    except (AttributeError, KeyError, TypeError, ValueError, Rejected) as error:
        raise CannotPlace(f"the flow cannot be read as it is: {error}") from None


def scope_of(tree: Tree, where: Where) -> Scope:
    """Find a scope.

    Raises:
        CannotPlace: there is none.
    """
    if where.resource is None:
        if where.operation is not None:
            raise CannotPlace("an operation is one of a resource: name the resource, too")
        return tree.api
    known = {resource.path: (scope, dict(operations)) for scope, resource, operations in tree.resources}
    if where.resource not in known or tree.resources[0][0].path == tree.api.path:
        paths = ", ".join(known) if tree.resources[0][0].path != tree.api.path else "none"
        raise CannotPlace(f"there is no resource {where.resource!r}; there is {paths}")
    scope, operations = known[where.resource]
    if where.operation is None:
        return scope
    if where.operation.upper() not in operations:
        found = ", ".join(operations) or "none"
        raise CannotPlace(f"{where.resource} has no operation {where.operation.upper()!r}; it has {found}")
    return operations[where.operation.upper()]


def added(body: Any, where: Where, entry: Any, position: int | None = None) -> Any:
    """Return a body with another step, at the end of the list where no position is given.

    Raises:
        CannotPlace: there is no such place.
    """
    lists = _Lists(body, where)
    new = lists.new(entry)
    for direction, at in lists.positions(FLOWS[where.flow], position).items():
        lists.steps[direction].insert(at, new)
    return lists.written()


def moved(body: Any, where: Where, step: str, position: int) -> Any:
    """Return a body with a step at another position, counted without it.

    Raises:
        CannotPlace: there is no such step or place.
    """
    lists = _Lists(body, where)
    found, sides = lists.taken(step, FLOWS[where.flow])
    for direction, at in lists.positions(sides, position).items():
        lists.steps[direction].insert(at, found)
    return lists.written()


def removed(body: Any, where: Where, step: str) -> Any:
    """Return a body without a step.

    Raises:
        CannotPlace: there is no such step.
    """
    lists = _Lists(body, where)
    lists.taken(step, FLOWS[where.flow])
    return lists.written()


class _Lists:
    """The lists of a scope, to be changed and written back."""

    def __init__(self, body: Any, where: Where) -> None:
        self._body, self._where = deepcopy(body), where
        tree = tree_of(self._body)
        self._scope = scope_of(tree, where)
        self._raw = _at(self._body, self._scope.path)
        self._entries: list[Any] = []
        self._keys: list[str] = []
        numbers: dict[tuple[str | int, ...], int] = {}
        parent = self._scope.parent
        self._above: dict[Direction, list[_Step]] = {}
        self._inherits = {each: self._scope.own[each].inherits for each in DIRECTIONS}
        self.steps: dict[Direction, list[_Step]] = {}
        for direction in DIRECTIONS:
            above = () if parent is None else parent.lists[direction]
            inherited = {item.key for item in above}
            self._above[direction] = [_Step(item.key) for item in above]
            self.steps[direction] = [
                _Step(item.key) if item.key in inherited else self._own(item, numbers)
                for item in self._scope.lists[direction]
            ]

    def _own(self, item: Item, numbers: dict[tuple[str | int, ...], int]) -> _Step:
        if item.place not in numbers:
            numbers[item.place] = len(self._entries)
            self._entries.append(item.entry)
            self._keys.append(item.key)
        return _Step(item.key, numbers[item.place])

    def new(self, entry: Any) -> _Step:
        """Take in a step that is not there yet."""
        try:
            written(entry)
        except Rejected as error:
            raise CannotPlace(f"the step cannot be read: {error.problems[0].message}") from None
        self._entries.append(entry)
        self._keys.append("")
        return _Step("", len(self._entries) - 1)

    def taken(self, key: str, sides: Sequence[Direction]) -> tuple[_Step, tuple[Direction, ...]]:
        """Take a step out of the lists, and say out of which."""
        found = {side: step for side in sides for step in self.steps[side] if step.key == key}
        if not found:
            known = ", ".join(dict.fromkeys(step.key for side in sides for step in self.steps[side])) or "none"
            raise CannotPlace(f"there is no step {key!r} in this flow; there is {known}")
        for side, step in found.items():
            self.steps[side].remove(step)
        return next(iter(found.values())), tuple(found)

    def positions(self, sides: Sequence[Direction], position: int | None) -> dict[Direction, int]:
        """Return the index in each list; a position counts in the first of them."""
        first, *rest = sides
        drawn = self.steps[first]
        if position is None:
            position = len(drawn)
            if rest:  # what goes both ways stands left of what goes one way only
                other = set(self.steps[rest[0]])
                while position and drawn[position - 1].own >= 0 and drawn[position - 1] not in other:
                    position -= 1
        if not 0 <= position <= len(drawn):
            raise CannotPlace(f"there is no position {position}: the list has {len(drawn)} steps, counted from 0")
        found: dict[Direction, int] = {first: position}
        for side in rest:
            there = self.steps[side]
            beside = [there.index(step) + 1 for step in drawn[:position] if step in there]
            found[side] = max(beside, default=0)
        return found

    def written(self) -> Any:
        """Return the body with these lists.

        Raises:
            CannotPlace: a document cannot say that.
        """
        own: dict[Direction, list[_Step]] = {}
        for direction in DIRECTIONS:
            above, wanted = self._above[direction], self.steps[direction]
            self._inherits[direction] &= wanted[: len(above)] == above
            own[direction] = wanted[len(above) :] if self._inherits[direction] else list(wanted)
        sides = dict(zip(SIDES, self._split(own["request"], own["response"]), strict=True))
        for side, steps in sides.items():
            entries = [self._entries[step.own] if step.own >= 0 else {FROM: step.key} for step in steps]
            if entries or side in self._raw:
                self._raw[side] = entries
        broken = [direction for direction in DIRECTIONS if not self._inherits[direction]]
        if broken and self._scope.parent is not None:
            self._raw["inherit"] = False if len(broken) == len(DIRECTIONS) else {broken[0]: False}
        self._verify(sides)
        return self._body

    def _split(self, request: list[_Step], response: list[_Step]) -> tuple[list[_Step], list[_Step], list[_Step]]:
        """Return the lists of a document: what stands in both, then what stands in either."""
        both = {step for step in request if step.own >= 0 and step in response}
        flow: list[_Step] = []
        i = j = 0
        while both - set(flow):
            a = request[i] if i < len(request) else None
            b = response[j] if j < len(response) else None
            if a is not None and a == b:
                flow.append(a)
                i, j = i + 1, j + 1
            elif a is not None and self._passes("response", a):
                flow.append(a)
                i += 1
            elif b is not None and self._passes("request", b):
                flow.append(b)
                j += 1
            else:
                raise CannotPlace(
                    "what goes both ways stands left of what goes one way only: place the step further right, with "
                    "`flow: both`, or write the lists yourself"
                )
        return flow, request[i:], response[j:]

    def _passes(self, direction: Direction, step: _Step) -> bool:
        """Whether an inherited step in the list `flow` says nothing in a direction."""
        return step.own < 0 and (self._inherits[direction] or step not in self._above[direction])

    def _verify(self, sides: Mapping[str, Sequence[_Step]]) -> None:
        """Refuse what would be read as something else, and references that would mean other steps."""
        scope = scope_of(tree_of(self._body), self._where)
        places = {(side, index): step for side, steps in sides.items() for index, step in enumerate(steps)}
        inherited = {step for steps in self._above.values() for step in steps}
        renamed: set[str] = set()
        for direction in DIRECTIONS:
            read = []
            for item in scope.lists[direction]:
                if (step := _Step(item.key)) in inherited:
                    read.append(step)
                    continue
                step = places[cast("tuple[str, int]", item.place[-2:])]
                read.append(step)
                if self._keys[step.own] not in ("", item.key):
                    renamed |= {self._keys[step.own], item.key}
            if read != self.steps[direction]:
                raise CannotPlace("the lists of a document cannot say that: write them yourself")
        if used := renamed & set(_named(self._raw)):
            name = min(used)
            raise CannotPlace(
                f"{name!r} would be the name of another step, and scopes refer to it: give the step an id of its own, "
                "`_: {id: …}`"
            )


def _named(raw: Any) -> Iterator[str]:
    """Give the steps that a scope and those below it refer to."""
    for key in ("overrides", "inherited"):
        yield from raw.get(key) or ()
    for side in SIDES:
        for entry in raw.get(side) or ():
            if isinstance(entry, Mapping) and set(entry) == {FROM}:
                yield str(entry[FROM])
    for below in (*(raw.get("resources") or ()), *(raw.get("operations") or {}).values()):
        yield from _named(below or {})


def _at(body: Any, path: Iterable[str | int]) -> Any:
    """Return the mapping of a scope, made where there is nothing behind its key."""
    for part in path:
        if body[part] is None:
            body[part] = {}
        body = body[part]
    return body


def _section(raw: Any) -> SimpleNamespace:
    """Return what :class:`Tree` reads of a scope."""
    inherit = raw.get("inherit", True)
    said = inherit if isinstance(inherit, Mapping) else dict.fromkeys(DIRECTIONS, inherit)
    return SimpleNamespace(
        name=str(raw.get("name", "")),
        version=str(raw.get("version", "")),
        path=raw.get("path", ANYWHERE),
        overrides=raw.get("overrides") or {},
        inherited=raw.get("inherited") or {},
        value_inheritance=raw.get("value_inheritance"),
        inherit=SimpleNamespace(**{each: said.get(each, True) for each in DIRECTIONS}),
        resources=tuple(_section(each) for each in raw.get("resources") or ()),
        operations={
            str(method).upper(): _section(each or {}) for method, each in (raw.get("operations") or {}).items()
        },
    )
