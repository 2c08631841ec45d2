"""Pages about the state of an API: read it, and have something happen to it."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, NamedTuple

from quart import Response, request

from hookgate import Host
from hookgate_apimanager.carrying import carrying
from hookgate_apimanager.records import DEPRECATED, PUBLISHED, LifecycleSection, MachineSection
from hookgate_apimanager.register import register_of
from hookgate_apimanager.sections import LifecycleMachine
from hookgate_management.pages import (
    ADMIN,
    CHANGES,
    IF_MATCH,
    READ,
    READS,
    WRITES,
    Calls,
    Changer,
    Operation,
    Operations,
    Refusal,
    a_text,
    as_json,
    expected,
    members,
    pointer,
    sees,
    where,
)
from hookgate_people import By
from hookgate_storage import StoreError

LIFECYCLE = "lifecycle"
"""The permission to change states; publishers have it (KC-11)."""
LOOKS = frozenset({ADMIN, READ, LIFECYCLE, "api_api", "api_lifecycle"})
KIND = "lifecycles"
TICK, ANEW = "deprecate-old-versions", "require-resubscription"
_TEXT = {"type": "string"}
_STATE = {
    "type": "object",
    "required": ["api", "state", "events", "check_items"],
    "properties": {
        "api": _TEXT,
        "state": _TEXT,
        "events": {"type": "object", "description": "What may happen to it, and the state that it then has."},
        "check_items": {"type": "array", "items": _TEXT, "description": "What may be ticked when it is published."},
    },
}
_MOVED = {
    "type": "object",
    "required": ["generation", "written", "lifecycle"],
    "properties": {
        "generation": {"type": "integer"},
        "written": {"type": "boolean"},
        "lifecycle": _STATE,
        "deprecated": {"type": "array", "items": _TEXT, "description": "Old versions that are deprecated with it."},
        "carried": {"type": "integer", "description": "Subscriptions of old versions that it gets."},
    },
}
_SENDS = {
    "type": "object",
    "properties": {
        "event": {**_TEXT, "description": "What happens, such as `Publish`."},
        "to": {**_TEXT, "description": "In its place the state that it is to have, such as `PUBLISHED`."},
        "check_items": {"type": "array", "items": _TEXT, "description": "What is ticked."},
    },
    "additionalProperties": False,
}


def lifecycle_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {"api.lifecycle": _STATE, "api.lifecycle-moved": _MOVED}
    place = "/apis/<name>/lifecycle"

    def machine() -> MachineSection:
        return host.section("lifecycle_machine", LifecycleMachine).record

    @api.add(
        Operation(
            "GET",
            place,
            "lifecycle",
            "Return the state of an API",
            {200: "lifecycle"},
            READS | {404},
            headers=("ETag",),
            of_tenants=True,
        )
    )
    async def one(name: str) -> Response:
        caller = calls.callers.caller()
        if not LOOKS & caller.permissions:
            raise Refusal(403, f"{caller.name} may not see that; it takes the permission {LIFECYCLE}.", "forbidden")
        changer, states = await calls.changer(), machine()
        await _know(calls, changer, name)
        state, version = await state_in(changer, states, name)
        return as_json(_told(states, name, state), headers={"ETag": f'"{version}"'} if version else {})

    @api.add(
        Operation(
            "POST",
            place,
            "change-lifecycle",
            "Change the state of an API",
            {200: "lifecycle-moved"},
            CHANGES,
            (*WRITES, IF_MATCH),
            _SENDS,
            headers=("ETag",),
            of_tenants=True,
        )
    )
    async def change(name: str) -> Response:
        author, changer, states = calls.callers.let(LIFECYCLE), await calls.changer(), machine()
        found = await members(needs=(), also=("event", "to", "check_items"))
        await _know(calls, changer, name)
        _writable(changer, name)
        state, version = await state_in(changer, states, name)
        event, target = _next(states, name, state, found)
        ticked = _ticked(states, state, target, found)
        kind = await calls.kind_of(KIND)
        wanted = expected()
        said = {"state": target}
        changes = [await calls.change(kind, changer, name, said, version if wanted is None else wanted)]
        old = [each for each in await _older(changer, states, name) if each.deprecates] if TICK in ticked else []
        for each, its_version in sorted((each.name, each.version) for each in old):
            _writable(changer, each)
            changes.append(await calls.change(kind, changer, each, {"state": DEPRECATED}, its_version))
        more: dict[str, Any] = {"lifecycle": _told(states, name, target)}
        more["deprecated"] = sorted(each.name for each in old)
        within, register = None, register_of(changer.store)
        if target == PUBLISHED and state in states.states and ANEW in states.states[state].check_items:
            older = [each.name for each in await _older(changer, states, name)] if ANEW not in ticked else []
            more["carried"] = 0
            if older:
                within = carrying(register, By(author, where()), name, older, more)
        comment = ": ".join(filter(None, (f"{name}: {event}, {state} to {target}", request.args.get("comment"))))
        answer = await calls.write(changer, author, changes, comment, within=within, more=more)
        if more.get("carried"):
            with suppress(StoreError):  # it is written; who follows looks soon
                await register.notices.look()
        answer.status_code = 200  # the first change makes the object, and what was asked for is a change
        answer.headers.pop("Location", None)
        return answer


def _told(machine: MachineSection, name: str, state: str) -> dict[str, Any]:
    found = machine.states.get(state)
    events, items = ({}, ()) if found is None else (found.events, found.check_items)
    return {"api": name, "state": state, "events": dict(events), "check_items": list(items)}


async def _know(calls: Calls, changer: Changer, name: str) -> None:
    """Refuse an API that is not there, or not for the caller."""
    if not sees(name):
        raise Refusal(404, f"There is no apis/{name}.", "missing")
    if name not in changer.of_file("apis"):
        await calls.stored(changer, "apis", name)


def _writable(changer: Changer, name: str) -> None:
    if name in changer.of_file(KIND):
        raise Refusal(409, f"{KIND}/{name} stands in the file; change it there.", "in-file")


async def state_in(changer: Changer, machine: MachineSection, name: str) -> tuple[str, int]:
    """Return the state of an API, and the version of what is stored of it; 0 where nothing is."""
    in_file = changer.of_file(KIND).get(name)
    if in_file is not None:
        return LifecycleSection.model_validate(in_file).state, 0
    held = await changer.store.get(KIND, name)
    return (machine.unlisted, 0) if held is None else (str(held.body["state"]), held.version)


def _next(machine: MachineSection, name: str, state: str, found: dict[str, Any]) -> tuple[str, str]:
    """Return what happens, and the state that comes of it.

    Raises:
        Refusal: nothing was named, or what the machine does not know (422); or what it does not let happen now (409).
    """
    if len({"event", "to"} & found.keys()) != 1:
        raise Refusal(422, 'Send {"event": …}, or {"to": …} with a state.', "invalid")
    key = "event" if "event" in found else "to"
    said = a_text(found, key)
    known = list(machine.states)
    if key == "event":
        known = list(dict.fromkeys(event for each in machine.states.values() for event in each.events))
    if said not in known:
        errors = [{"pointer": pointer((key,)), "detail": f"there is {', '.join(known)}"}]
        raise Refusal(422, f"There is no {'event' if key == 'event' else 'state'} {said[:100]!r}.", "invalid", errors)
    events = machine.states[state].events if state in machine.states else {}
    for event, target in events.items():
        if said in ((event,) if key == "event" else (target,)):
            return event, target
    may = ", ".join(f"{event} ({target})" for event, target in events.items()) or "nothing"
    raise Refusal(409, f"{name} is {state}; what may happen to it is: {may}.", "lifecycle")


def _ticked(machine: MachineSection, state: str, target: str, found: dict[str, Any]) -> list[str]:
    """Return the check items that are ticked.

    Raises:
        Refusal: they are none of this state, or nothing is published.
    """
    ticked = found.get("check_items", [])
    if not isinstance(ticked, list) or not all(isinstance(each, str) for each in ticked):
        errors = [{"pointer": pointer(("check_items",)), "detail": "is no list of texts"}]
        raise Refusal(422, "check_items is no list of texts.", "invalid", errors)
    offered = machine.states[state].check_items if target == PUBLISHED else ()
    for index, each in enumerate(ticked):
        if each not in offered:
            there = ", ".join(offered) or "none"
            errors = [{"pointer": pointer(("check_items", index)), "detail": f"there is {there}"}]
            raise Refusal(422, f"From {state} to {target} there is no check item {each[:100]!r}.", "invalid", errors)
    return ticked


class _Older(NamedTuple):
    """A version of an API that callers use, before another one."""

    name: str
    version: int
    """Of what is stored of its state."""
    deprecates: bool
    """Whether it is published, and may be deprecated."""


async def _older(changer: Changer, machine: MachineSection, name: str) -> list[_Older]:
    """Return the published and deprecated versions of an API before this one, the newest first."""
    stored = {each.name: each.body for each in (await changer.whole()).objects if each.kind == "apis"}
    apis = {**stored, **changer.of_file("apis")}
    this = apis[name]
    found = []
    for other, body in sorted(apis.items(), key=lambda each: _natural(each[1].get("version")), reverse=True):
        if body["name"] == this["name"] and _natural(body.get("version")) < _natural(this.get("version")):
            state, version = await state_in(changer, machine, other)
            if state in (PUBLISHED, DEPRECATED):
                ends = state == PUBLISHED and DEPRECATED in machine.states[state].events.values()
                found.append(_Older(other, version, ends))
    return found


def _natural(version: object) -> list[tuple[int, int, str]]:
    """Return what versions are put in order by: 1.0-beta comes before 1.0, 1.9 before 1.10, and none before all."""
    parts = re.findall(r"[0-9]+|[a-z]+", str(version or "").casefold().removeprefix("v"))
    return [*((2, int(part), "") if part.isdigit() else (0, 0, part) for part in parts), (1, 0, "")]
