"""What a change of a document does to its routes and connections, before it is made: pure functions over what was built
of two documents. Only names are told, since values may be secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

from pydantic import BaseModel

from hookgate import FlowOptions, Plugin
from hookgate.gateway import Configuration
from hookgate_apis.inheritance import Difference, Item, difference

SIDES = ("flow", "request", "response")


@dataclass(frozen=True, slots=True)
class StepsChange:
    """What changes in one list of a flow."""

    difference: Difference
    order: tuple[str, ...]
    """The new list."""
    values: tuple[tuple[str, tuple[str, ...]], ...]
    """Steps whose options change, each with the names of these."""

    def __bool__(self) -> bool:
        return bool(self.difference or self.values)


@dataclass(frozen=True, slots=True)
class Changed:
    """What changes in a route, a connection, or the flow of the gateway."""

    kind: Literal["gateway", "route", "connection"]
    name: str
    state: Literal["new", "gone", "changed"]
    steps: Mapping[str, StepsChange]
    """By list: ``flow``, ``request``, ``response``."""
    settings: tuple[str, ...]
    """Places of what else changes: ``match.path``, ``targets[0].port``."""


def compared(before: Configuration, after: Configuration) -> Iterator[Changed]:
    """Compare two documents; what stays the same is left out, and routes of APIs are not looked at."""
    steps = dict(_steps(before.flow, after.flow))
    if steps:
        yield Changed("gateway", "gateway", "changed", steps, ())
    olds, news = ({each.name: each for each in config.routes if each.api is None} for config in (before, after))
    for name in _names(olds, news):
        old, new = olds.get(name), news.get(name)
        steps = dict(_steps(old and old.steps, new and new.steps))
        settings = tuple(differing(plain(old.section), plain(new.section))) if old and new else ()
        if state := _state(old, new, steps or settings):
            yield Changed("route", name, state, steps, settings)
    for name in _names(before.connections, after.connections):
        here, there = before.connections.get(name), after.connections.get(name)
        settings = tuple(differing(plain(here.section), plain(there.section))) if here and there else ()
        if state := _state(here, there, settings):
            yield Changed("connection", name, state, {}, settings)


def _names(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [*new, *(name for name in old if name not in new)]


def _state(old: object, new: object, changes: object) -> Literal["new", "gone", "changed"] | None:
    if old is None:
        return "new"
    return "gone" if new is None else "changed" if changes else None


def _steps(before: Any, after: Any) -> Iterator[tuple[str, StepsChange]]:
    for side in SIDES:
        was, now = (_items(getattr(flow, side, ())) for flow in (before, after))
        old = {item.key: item.entry for item in was}
        pairs = [(item.key, tuple(differing(old[item.key], item.entry))) for item in now if item.key in old]
        values = tuple((key, names) for key, names in pairs if names)
        if change := StepsChange(difference(was, now), tuple(item.key for item in now), values):
            yield side, change


def _items(steps: Sequence[Plugin[Any]]) -> list[Item]:
    """Name steps as their list does: by plugin and ordinal, or by the name of the instance."""
    return [Item(step.entry.id.rpartition("/")[2], plain(step)[step.entry.name]) for step in steps]


def plain(value: Any) -> Any:
    """Make plain data of records and of the plugins in them, each under its name."""
    if isinstance(value, Plugin):
        entry = value.entry
        host = {"when": entry.when, "label": entry.label}
        return {entry.name: {**plain(value.options), **{name: said for name, said in host.items() if said}}}
    if isinstance(value, BaseModel):
        told = isinstance(value, FlowOptions) and hasattr(value, "match")  # a route, whose steps are told in full
        found = {name: plain(inner) for name, inner in value if not told or name not in SIDES}
        return {**found, **plain(getattr(value, "extensions", {}))}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value) if each.compare}
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def differing(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """Give the places of two plain values that differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in {**after, **before}:
            inner = f"{place}.{name}" if place else name
            if name in before and name in after:
                yield from differing(before[name], after[name], inner)
            else:
                yield inner
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differing(old, new, f"{place}[{index}]")
    elif type(before) is not type(after) or before != after:
        yield place or "itself"
