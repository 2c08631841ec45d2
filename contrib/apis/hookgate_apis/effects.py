"""What a change of a document does to calls: the routes, and the operations of APIs, whose effective flow, destination
or limits are others afterwards (U9). Only names are told, since values may be secret.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hookgate import Branch, Plugin
from hookgate.gateway import Configuration
from hookgate_apis.compare import differing, plain
from hookgate_apis.inheritance import Item, difference

_DRAWN = re.compile(r"(flow|request|response)/\d+")
"""Keys of steps that stand in lists; those of APIs have names."""
FLOWS = ("inbound", "outbound")


@dataclass(frozen=True, slots=True)
class Effects:
    """What changes for calls."""

    told: tuple[Mapping[str, Any], ...]
    """The first of each kind, as JSON can say them; ``kind`` is the section that the route is of."""
    total: int


def effects(before: Configuration, after: Configuration, most: int) -> Effects:
    """Compare what calls meet in two documents, and tell the first ``most`` of each kind: who may read only some kinds
    is told of these. Takes about a second for 10,000 routes, so call it in a thread.
    """
    told, counted = [], Counter[str]()
    for each in _effects(before, after):
        counted[each["kind"]] += 1
        if counted[each["kind"]] <= most:
            told.append(each)
    return Effects(tuple(told), counted.total())


def _effects(before: Configuration, after: Configuration) -> Iterator[Mapping[str, Any]]:
    steps = _Steps()
    if flow := steps.changed(before.flow, after.flow):  # met by every call, and told once
        yield {"kind": "gateway", "route": None, "change": "changed", "flow": flow}
    olds, news = ({route.name: route for route in config.routes} for config in (before, after))
    connections = dict(_connections(before, after))
    for name in (*news, *(name for name in olds if name not in news)):
        old, new = olds.get(name), news.get(name)
        some = new or old
        told: dict[str, Any] = {"kind": "" if some is None else str(some.path[0]), "route": name}
        if some is not None and some.api is not None:
            api = some.api
            told["api"] = " ".join(filter(None, (api.name, api.version, api.resource, api.operation)))
        if old is None or new is None:
            yield {**told, "change": "added" if old is None else "removed"}
            continue
        found: dict[str, Any] = {"flow": steps.changed(old.steps, new.steps)}
        to = _places(old.section.to, new.section.to)
        to += [place for place in ("cut", "prefix") if getattr(old, place) != getattr(new, place)]
        connection = new.section.to.connection if new.section.to is not None else None
        to += connections.get(connection, []) if connection is not None else []
        found |= {"destination": to, "limits": _places(old.section.limits, new.section.limits)}
        found["match"] = _places(old.section.match, new.section.match)
        if changed := {key: value for key, value in found.items() if value}:
            yield {**told, "change": "changed", **changed}


def _connections(before: Configuration, after: Configuration) -> Iterator[tuple[str, list[str]]]:
    for name, new in after.connections.items():
        old = before.connections.get(name)
        if old is not None and (places := _places(old, new)):
            named = dict.fromkeys(place.removeprefix("section.") for place in places)
            yield name, [f"connections.{name}.{place}" for place in named]


def _places(old: Any, new: Any) -> list[str]:
    return [] if old == new else list(differing(plain(old), plain(new)))


class _Steps:
    """Compares lists of steps; each step is made plain once, however many routes it stands in."""

    def __init__(self) -> None:
        self._plain: dict[int, Any] = {}
        self._same: dict[tuple[int, int], bool] = {}

    def changed(self, before: Any, after: Any) -> dict[str, Any]:
        """Return what differs on either way; nothing where it is the same."""
        was, now = before.ways(), after.ways()
        found: dict[str, Any] = {}
        for flow, old, new in zip(FLOWS, (was.way_in, was.way_out), (now.way_in, now.way_out), strict=True):
            if change := self._list(old, new):
                found[flow] = change
        return found

    def _list(self, old: Sequence[Any], new: Sequence[Any]) -> dict[str, Any]:
        was, now = _named(old), _named(new)
        change = difference([Item(key) for key in was], [Item(key) for key in now])
        values = {
            key: places
            for key, step in now.items()
            if key in was and was[key] is not step and (places := list(self._differing(was[key], step)))
        }
        told = {"added": change.added, "removed": change.removed, "moved": change.moved, "values": values}
        return told if change or values else {}

    def _differing(self, old: Plugin[Any], new: Plugin[Any]) -> Iterator[str]:
        pair = id(old), id(new)
        if pair not in self._same:
            self._same[pair] = self._of(old) == self._of(new)
        if not self._same[pair]:
            yield from differing(self._of(old), self._of(new))

    def _of(self, step: Plugin[Any]) -> Any:
        if id(step) not in self._plain:
            (said,) = plain(step).values()
            if isinstance(step, Branch):
                inner = {
                    name: [[(key, self._of(each)) for key, each in way] for way in flow.ways()]
                    for name, flow in step.branches.items()
                }
                said = {**said, "branches": inner}
            self._plain[id(step)] = {"name": step.entry.name, **said}
        return self._plain[id(step)]


def _named(steps: Sequence[tuple[str, Plugin[Any]]]) -> dict[str, Plugin[Any]]:
    numbers: Counter[str] = Counter()
    found = {}
    for key, step in steps:
        name = step.entry.id.rpartition("/")[2] if _DRAWN.fullmatch(key) else key
        numbers[name] += 1
        found[name if numbers[name] == 1 else f"{name}#{numbers[name]}"] = step
    return found
