"""From APIs in a document to routes: every operation gets its effective flow, its destination and its origin.

A step is built once where it is placed and comes down as the same instance, so that a limit on an API counts all calls
of the API. Where a scope below sets other values, the step is built again for that scope and what is below it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from hookgate import Problem
from hookgate.document import HOST_KEY, Rejected, written
from hookgate.exchange import Path, near
from hookgate_apis.inheritance import Item, Own, effective
from hookgate_apis.records import ApiSection, ResourceSection, ScopeSection

Direction = Literal["request", "response"]
DIRECTIONS: tuple[Direction, ...] = ("request", "response")
FROM = "from"
"""The key of an entry that stands for one of the parent's, in a broken list."""


@dataclass(frozen=True, slots=True)
class Scope:
    """An API, a resource or an operation, with the lists that come down to it."""

    kind: Literal["api", "resource", "operation"]
    name: str
    """``orders 1.0``, ``orders 1.0 /items``, ``orders 1.0 /items GET``."""
    section: ScopeSection
    path: Path
    parent: Scope | None
    lists: Mapping[Direction, Sequence[Item]]
    """The effective lists."""
    own: Mapping[Direction, Own]


class Tree:
    """The scopes of one API."""

    def __init__(self, section: ApiSection, raw: Mapping[str, Any], path: Path, problems: list[Problem]) -> None:
        self.section = section
        self.name = f"{section.name} {section.version}".rstrip()
        self._problems = problems
        self.api = self._scope("api", self.name, section, raw, path, None)
        self.resources: list[tuple[Scope, ResourceSection, list[tuple[str, Scope]]]] = []
        listed = raw.get("resources") or [{}]
        for index, resource in enumerate(section.resources or (ResourceSection(),)):
            place = (*path, "resources", index) if section.resources else path
            self.resources.append(self._resource(resource, listed[index], place))

    def _resource(
        self, section: ResourceSection, raw: Mapping[str, Any], path: Path
    ) -> tuple[Scope, ResourceSection, list[tuple[str, Scope]]]:
        name = f"{self.name} {section.path}"
        scope = self._scope("resource", name, section, raw, path, self.api)
        operations = []
        given = {str(method).upper(): (method, value or {}) for method, value in (raw.get("operations") or {}).items()}
        for method, operation in section.operations.items():
            key, value = given[method]
            place = (*path, "operations", key)
            operations.append((method, self._scope("operation", f"{name} {method}", operation, value, place, scope)))
        return scope, section, operations

    def scopes(self) -> Iterator[Scope]:
        """Walk over all scopes, parents first."""
        yield self.api
        for resource, _, operations in self.resources:
            yield resource
            for _, operation in operations:
                yield operation

    def _scope(
        self,
        kind: Literal["api", "resource", "operation"],
        name: str,
        section: ScopeSection,
        raw: Mapping[str, Any],
        path: Path,
        parent: Scope | None,
    ) -> Scope:
        live = getattr(self.section, "value_inheritance", None) == "live"
        frozen = {} if live else section.inherited
        items = self._own_items(kind, name, raw, path, parent)
        overrides = {key: (name, (*path, "overrides", key), values) for key, values in section.overrides.items()}
        own: dict[Direction, Own] = {}
        lists: dict[Direction, Sequence[Item]] = {}
        known: set[str] = set()
        for direction in DIRECTIONS:
            above = parent.lists[direction] if parent is not None else ()
            above = [_kept(item, name, path, frozen) for item in above]
            inherits = parent is None or getattr(section.inherit, direction)
            inherited = {item.key: item for item in above}
            mine = [
                replace(inherited[item.key], again=item.again) if item.entry is None else item
                for item in items[direction]
                if item.entry is not None or (not inherits and item.key in inherited)
            ]
            own[direction] = Own(tuple(mine), inherits, overrides)
            lists[direction] = effective(above, own[direction])
            known |= {item.key for item in lists[direction]} | inherited.keys()
        for key in section.overrides.keys() - known:
            message = f"there is no step {key!r} in this flow{near(key, known)}"
            self._problems.append(Problem((*path, "overrides", key), message, at_key=True))
        for key, values in section.overrides.items():
            if HOST_KEY in values:
                message = f"`{HOST_KEY}` stands where the step is placed; below it only options can be others"
                message += " (to leave the step out, break the flow: `inherit: false` and a list without it)"
                self._problems.append(Problem((*path, "overrides", key, HOST_KEY), message, at_key=True))
        if parent is None and not (section.inherit.request and section.inherit.response):
            self._problems.append(Problem((*path, "inherit"), "an API inherits from nothing; leave it out"))
        return Scope(kind, name, section, path, parent, lists, own)

    def _own_items(
        self, kind: str, scope: str, raw: Mapping[str, Any], path: Path, parent: Scope | None
    ) -> dict[Direction, list[Item]]:
        """Take in what a scope places, per direction, in the order of the way in. Entries ``from: ID`` have none."""
        found: dict[Direction, list[Item]] = {"request": [], "response": []}
        numbers: Counter[str] = Counter()
        prefix = scope.removeprefix(self.name).strip()
        for side in ("flow", *DIRECTIONS):
            entries = raw.get(side)
            for index, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
                place = (*path, side, index)
                if isinstance(entry, Mapping) and set(entry) == {FROM}:
                    self._from(entry[FROM], side, place, raw, parent, found)
                    continue
                try:
                    name, host = written(entry).name, written(entry).host
                except Rejected as rejected:
                    self._problems += [problem.under(place) for problem in rejected.problems]
                    continue
                numbers[name] += 1
                ordinal = f"#{numbers[name]}" if numbers[name] > 1 else ""
                said = host.get("id") if isinstance(host, Mapping) else None
                key = said if isinstance(said, str) else " ".join(filter(None, [prefix, f"{name}{ordinal}"]))
                item = Item(key, entry, kind, scope, place)
                for direction in DIRECTIONS:
                    if side in ("flow", direction):
                        found[direction].append(item)
        return found

    def _from(
        self,
        key: object,
        side: str,
        place: Path,
        raw: Mapping[str, Any],
        parent: Scope | None,
        found: dict[Direction, list[Item]],
    ) -> None:
        if parent is None or raw.get("inherit", True) is True:
            message = "`from` names a step of the parent in a broken flow: write `inherit: false` beside the lists"
            self._problems.append(Problem(place, message))
            return
        known = {item.key for direction in DIRECTIONS for item in parent.lists[direction]}
        if not isinstance(key, str) or key not in known:
            hint = near(str(key), known)
            self._problems.append(Problem((*place, FROM), f"the parent has no step {key!r}{hint}"))
            return
        for direction in DIRECTIONS:
            if side in ("flow", direction):
                found[direction].append(Item(key, again=place))


def _kept(item: Item, scope: str, path: Path, frozen: Mapping[str, Mapping[str, Any]]) -> Item:
    """Return an inherited entry with the options that a scope keeps of it (FL-27)."""
    values = frozen.get(item.key)
    if values is None:
        return item
    entry = written(item.entry)
    options = {**values, **({HOST_KEY: entry.host} if entry.host is not None else {})}
    return replace(
        item, entry={entry.name: options}, overrides=(*item.overrides, (scope, (*path, "inherited", item.key), values))
    )
