"""Pages about the steps of a flow: read them, and add, move or remove one by its position (FL-56)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from quart import Response

from hookgate_apis import (
    DIRECTIONS,
    CannotPlace,
    Scope,
    Where,
    added,
    as_data,
    broken_at,
    moved,
    preview,
    removed,
    tree_of,
)
from hookgate_management.answers import as_json
from hookgate_management.calls import Calls, a_text, expected, flag, members
from hookgate_management.changing import Changer
from hookgate_management.drafts import live, saved
from hookgate_management.kinds import Kind
from hookgate_management.operations import (
    CHANGES,
    IF_MATCH,
    READS,
    WRITES,
    Operation,
    Operations,
    Parameter,
)
from hookgate_management.problems import Refusal

MOST_TOLD = 200
"""Lists of scopes in one preview, and scopes in one answer; an API may have thousands."""
FLOWS = ("both", "inbound", "outbound")
DRAFT = Parameter("draft", "Change the draft, made from what is live where there is none.", {"type": "boolean"})
OF_DRAFT = Parameter("draft", "Read the draft.", {"type": "boolean"})
BREAK = Parameter("break", "Do it though it breaks the flow of a scope (FL-28).", {"type": "boolean"})
_WHERE: dict[str, Any] = {
    "flow": {"enum": list(FLOWS), "default": "both", "description": "The way in, the way out, or both."},
    "resource": {"type": "string", "description": "Path of the resource; left out for the whole API."},
    "operation": {"type": "string", "description": "Method of the operation of the resource."},
}
_STEP = {"type": "string", "description": "Id of the step, as the list of steps has it."}
_POSITION = {"type": "integer", "minimum": 0, "description": "From the client, inherited steps counted, from 0."}
_ENTRY = {"description": "The step, as a document has it."}
Verb = Callable[[dict[str, Any], Any, Where], Any]


def steps(api: Operations, calls: Calls) -> None:
    """Add the pages."""
    place = "/objects/<section>/<name>/steps"
    about = "List the steps of an object, for each scope"

    @api.add(
        Operation("GET", place, "steps", about, {200: "steps"}, READS | {400, 404, 422}, (OF_DRAFT,), of_flows=True)
    )
    async def listing(section: str, name: str) -> Response:
        calls.callers.let_read((await calls.kind_of(section)).permission)
        _, _, body = await _object(calls, section, name, draft=flag("draft"))
        scopes = await asyncio.to_thread(
            lambda: [_scope_told(each) for each in _placed(lambda: list(tree_of(body).scopes()))]
        )
        told: dict[str, Any] = {"kind": section, "name": name, "scopes": scopes[:MOST_TOLD]}
        return as_json(told | ({"more": len(scopes) - MOST_TOLD} if len(scopes) > MOST_TOLD else {}))

    def add(found: dict[str, Any], body: Any, where: Where) -> Any:
        return added(body, where, found["step"], _position(found))

    def move(found: dict[str, Any], body: Any, where: Where) -> Any:
        position = _position(found)
        assert position is not None
        return moved(body, where, a_text(found, "step"), position)

    def remove(found: dict[str, Any], body: Any, where: Where) -> Any:
        return removed(body, where, a_text(found, "step"))

    def page(verb: Verb, name: str, about: str, needs: tuple[str, ...], also: tuple[str, ...], step: Any) -> None:
        properties = _WHERE | {"step": step} | ({"position": _POSITION} if "position" in (*needs, *also) else {})
        sends = {"type": "object", "required": list(needs), "properties": properties, "additionalProperties": False}
        takes = (*WRITES, IF_MATCH, DRAFT, BREAK)
        answers = {200: "stepped", 201: "stepped"}
        headers = ("ETag", "Location")

        async def changing(section: str, name: str) -> Response:
            kind = await calls.kind_of(section)
            author = calls.callers.let(kind.permission)
            found = await members(needs=needs, also=(*also, *_WHERE))
            return await _changed(calls, kind, author, name, found, verb)

        operation = Operation(
            "POST",
            f"{place}/{name}",
            f"{name}-step",
            about,
            answers,
            CHANGES,
            takes,
            sends,
            headers=headers,
            of_flows=True,
        )
        api.add(operation)(changing)

    page(add, "add", "Add a step to the flow of an object", ("step",), ("position",), _ENTRY)
    page(move, "move", "Move a step of the flow of an object", ("step", "position"), (), _STEP)
    page(remove, "remove", "Remove a step of the flow of an object", ("step",), (), _STEP)


async def _changed(calls: Calls, kind: Kind, author: str, name: str, found: dict[str, Any], verb: Verb) -> Response:
    onto, breaking, dry = flag("draft"), flag("break"), flag("dry_run")
    where = _where(found)
    _, changer, before = await _object(calls, kind.section, name, draft=onto)
    if name in changer.of_file(kind.section):
        raise Refusal(409, f"{kind.section}/{name} stands in the file; change it there.", "in-file")
    body, told = await asyncio.to_thread(_previewed, before, lambda: verb(found, before, where))
    breaks = [each for each in told if each["breaks_at"] is not None]
    if breaks and not breaking and not dry:
        errors = [
            {
                "object": f"{kind.section}/{name}",
                "detail": f"{each['scope']} ({each['direction']}) breaks at {each['breaks_at']}",
            }
            for each in breaks
        ]
        detail = "This breaks a flow: what its parent gets later does not get there. Look at it with ?dry_run=true; "
        raise Refusal(409, f"{detail}do it with ?break=true.", "breaks", errors)
    if onto:
        return await saved(calls, kind, changer, author, name, body, preview=told)
    held = await live(changer, kind.section, name)
    assert held is not None
    change = await calls.change(kind, changer, name, body, expected() or held.version)
    return await calls.write(changer, author, [change], more={"preview": told})


def _previewed(before: Any, make: Callable[[], Any]) -> tuple[Any, list[dict[str, Any]]]:
    def both() -> tuple[Any, list[dict[str, Any]]]:
        after = make()
        was, now = list(tree_of(before).scopes()), list(tree_of(after).scopes())
        return after, [as_data(each) for each in preview(was, now)]

    after, told = _placed(both)
    return after, told[:MOST_TOLD]


def _placed(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except CannotPlace as error:
        text = str(error)
        raise Refusal(422, f"{text[:1].upper()}{text[1:]}.", "invalid") from None


async def _object(calls: Calls, section: str, name: str, *, draft: bool) -> tuple[Kind, Changer, Any]:
    """Return the body of an object, or that of its draft if there is one."""
    kind, changer = await calls.kind_of(section), await calls.changer()
    if section not in changer.kinds.with_flows:
        raise Refusal(404, f"A {kind.name} has no flow.", "no-flow")
    if draft and name.isprintable():
        found = await changer.asked(changer.drafts.get(section, name))
        if found is not None:
            return kind, changer, found.body
    in_file = changer.of_file(section)
    body = in_file[name] if name in in_file else (await calls.stored(changer, section, name)).body
    return kind, changer, body


def _where(found: dict[str, Any]) -> Where:
    flow = a_text(found, "flow", "both")
    if flow not in FLOWS:
        raise Refusal(
            422, f"flow is one of {', '.join(FLOWS)}.", "invalid", [{"pointer": "/flow", "detail": "is none"}]
        )
    resource, operation = (a_text(found, each) if each in found else None for each in ("resource", "operation"))
    return Where(flow, resource, operation)  # type: ignore[arg-type]


def _position(found: dict[str, Any]) -> int | None:
    position = found.get("position")
    if "position" in found and (
        not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < 10**6
    ):
        errors = [{"pointer": "/position", "detail": "is no number from 0 on"}]
        raise Refusal(422, "position is no number from 0 on.", "invalid", errors)
    return position


def _scope_told(scope: Scope) -> dict[str, Any]:
    told: dict[str, Any] = {"scope": scope.name, "kind": scope.kind}
    for word, direction in zip(FLOWS[1:], DIRECTIONS, strict=True):
        told[word] = {
            "inherits": scope.own[direction].inherits,
            "broken": broken_at(scope, direction) is not None,
            "steps": [
                {
                    "id": item.key,
                    "step": item.entry if isinstance(item.entry, str) else next(iter(item.entry)),
                    "inherited_from": item.scope if item.scope != scope.name else None,
                    "values_from": [name for name, _, _ in item.overrides],
                }
                for item in scope.lists[direction]
            ],
        }
    return told
