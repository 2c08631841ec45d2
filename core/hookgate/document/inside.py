"""The one walk over plugins that options and records hold: where they stand, and whether they may stand there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from hookgate.contract.hooks import hooks_of
from hookgate.contract.hookspecs import FlowSpec
from hookgate.contract.plugin import Plugin
from hookgate.contract.steps import Branch, FlowOptions
from hookgate.document.entries import Written, is_disabled, written
from hookgate.exchange.errors import Path, Problem

SIDES = ("flow", "request", "response")
"""The three lists of a flow."""


def misplaced(step: Plugin[Any], side: str, scope: str = "", *, whole: bool = False) -> str:
    """Say why a step, or a part of it unless it is taken as a ``whole``, has nothing to do in a list of a flow (FL-10),
    or why it may not stand in a scope (FL-11); empty if it may.
    """
    cls: Any = type(step)  # mypy takes a class for one of its instances where it must be hashable
    fits = _lists_for(cls)
    if side in fits:
        other = {"request": "response", "response": "request"}.get(side, "")
        its_own = f"on_{other}" in hooks_of(cls, FlowSpec) and not issubclass(cls, Branch)
        if not whole and its_own and other in step.options.model_fields_set:
            return f"what {step.entry.name} has under `{other}` never runs in `{side}`; place it in `flow` or `{other}`"
        if not scope or scope in cls.scopes:
            return ""
        return f"{step.entry.name} cannot be placed on the {scope}; it may stand on: {', '.join(sorted(cls.scopes))}"
    allowed = " or ".join(f"`{name}`" for name in fits)
    return f"{step.entry.name} cannot stand in `{side}`" + (f"; it may stand in {allowed}" if allowed else "")


@lru_cache(maxsize=4096)
def _lists_for(cls: Any) -> tuple[str, ...]:
    """The lists of a flow in which an interceptor has something to do."""
    hooks, sides = hooks_of(cls, FlowSpec).keys(), cls.sides
    fits = {
        "request": "request" in sides and bool({"on_request", "on_message", "choose", "on_done"} & hooks),
        "response": "response" in sides and bool({"on_response", "on_fault", "on_message", "choose"} & hooks),
    }
    fits["flow"] = any(fits.values())
    return tuple(side for side in SIDES if fits[side])


@lru_cache(maxsize=4096)
def may_hold_plugins(options: Any) -> bool:
    """Whether options have room for a plugin; most have none, and need no looking through."""
    seen: list[Any] = []
    pending: list[Any] = [options]
    while pending:
        annotation = pending.pop()
        if annotation in seen:
            continue
        seen.append(annotation)
        kind = get_origin(annotation) or annotation
        if isinstance(kind, type) and issubclass(kind, Plugin):
            return True
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            pending += [field.annotation for field in kind.model_fields.values()]
        pending += get_args(annotation)
    return False


class _Room(NamedTuple):
    """A field that may hold plugins."""

    name: str
    alias: str | None
    side: str
    """The list of a flow that it is."""
    default: Any
    optional: bool


@lru_cache(maxsize=4096)
def _rooms(model: Any) -> tuple[_Room, ...]:
    """The fields of a model that may hold plugins."""
    in_flow = issubclass(model, FlowOptions)
    return tuple(
        _Room(name, field.alias, name if in_flow and name in SIDES else "", field.default, not field.is_required())
        for name, field in model.model_fields.items()
        if may_hold_plugins(field.annotation)
    )


class Inside(NamedTuple):
    """A plugin in options or a record, with its place."""

    plugin: Plugin[Any] | None
    """``None`` for one that is disabled where none may be missing."""
    path: Path
    side: str = ""
    """The list of a flow that it stands in, if it stands in one."""
    raw: object = None
    """The entry that it was made of."""
    sure: bool = True
    """Its place is its own, and not that of a list in which entries are disabled."""
    optional: bool = True
    """It need not be there."""


def plugins_in(value: object, raw: object, path: Path, side: str = "") -> Iterator[Inside]:
    """Walk over the plugins that options or a record hold, beside what they were made of; not over what is in these."""
    if isinstance(value, Plugin):
        yield Inside(value, path, side, raw)
    elif isinstance(value, BaseModel):
        raw, held = raw if isinstance(raw, Mapping) else {}, value.__dict__
        for room in _rooms(type(value)):
            key = room.alias if room.alias is not None and room.alias in raw else room.name
            if room.name not in held:
                yield Inside(None, (*path, key), optional=room.optional)
            elif (inner := held[room.name]) is not None and inner != ():
                yield from plugins_in(inner, raw.get(key), (*path, key), room.side)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from plugins_in(item, raw.get(key) if isinstance(raw, Mapping) else None, (*path, key), side)
    elif isinstance(value, list | tuple):
        listed = raw if isinstance(raw, list | tuple) else (raw,) * (len(value) == 1)
        places = [index for index, entry in enumerate(listed) if not is_disabled(entry)]
        sure = len(places) == len(value)
        for number, item in enumerate(value):
            if sure:
                at = (*path, places[number]) if listed is raw else path
                yield from plugins_in(item, listed[places[number]], at, side)
            else:
                yield from (found._replace(path=path, sure=False) for found in plugins_in(item, None, path, side))


def leave_out_disabled(value: object) -> None:
    """Let an optional plugin that is disabled be one that is not written."""
    if isinstance(value, BaseModel):
        for room in _rooms(type(value)):
            if room.name not in value.__dict__:
                value.__dict__[room.name] = room.default
            elif isinstance(value.__dict__[room.name], BaseModel | tuple):
                leave_out_disabled(value.__dict__[room.name])
    elif isinstance(value, tuple):
        for item in value:
            leave_out_disabled(item)


def out_of_place(found: Iterable[Inside], scope: str = "", *, way_out: bool = False) -> Iterator[Problem]:
    """Look for misplaced steps, also in what branches contain, and for plugins that may not be disabled. What a branch
    contains that stands on the ``way_out`` only never meets a request.
    """
    for each in found:
        if each.plugin is None:
            yield Problem(each.path, "this plugin cannot be disabled; another one has to stand here")
        elif each.side:
            turned = way_out and each.side != "response"
            again = each.sure and each.raw is None  # written elsewhere: its other part may be placed, too
            reason = misplaced(each.plugin, "response" if turned else each.side, scope, whole=again)
            if turned and each.side == "request":
                reason = f"{each.plugin.entry.name} never runs"
            if reason:
                yield Problem(each.path, f"{reason}; what it stands in is on the way out only" if turned else reason)
            elif isinstance(each.plugin, Branch):
                yield from out_of_place(_contained(each), scope, way_out=turned or each.side == "response")


def _contained(branch: Inside) -> Iterator[Inside]:
    """Walk over the steps that a branch contains; those of a named one are told where that is placed."""
    assert branch.plugin is not None
    if branch.sure and isinstance(branch.raw, Mapping | Written):
        entry = written(branch.raw)
        yield from plugins_in(branch.plugin.options, entry.options, (*branch.path, *entry.prefix))
    else:
        named = plugins_in(branch.plugin.options, {}, ())
        yield from (each._replace(path=branch.path, sure=False) for each in named if each.plugin is not None)
