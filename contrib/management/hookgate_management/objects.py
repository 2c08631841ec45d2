"""Pages about the objects of a kind."""

from __future__ import annotations

from typing import Any

from quart import Response, request

from hookgate_management.answers import as_json
from hookgate_management.calls import Calls, a_text, expected, members, number, sent
from hookgate_management.changing import Changer
from hookgate_management.drafting import Draft
from hookgate_management.drafts import draft_told
from hookgate_management.kinds import Kind
from hookgate_management.merging import patched
from hookgate_management.operations import (
    CHANGES,
    IF_MATCH,
    IF_NONE_MATCH,
    KIND,
    LIMIT,
    READS,
    WRITES,
    Operation,
    Operations,
    Parameter,
)
from hookgate_management.problems import Refusal
from hookgate_management.tenancy import seen, sees
from hookgate_storage import Change, Object

MOST_ON_PAGE = 1000
MERGE_PATCH = "application/merge-patch+json"
_NEW = {
    "type": "object",
    "required": ["body"],
    "properties": {"name": {"type": "string"}, "body": KIND},
    "additionalProperties": False,
}


def objects(api: Operations, calls: Calls) -> None:
    """Add the pages."""
    rule, place = "/objects/<section>", "/objects/<section>/<name>"
    paging = (
        LIMIT,
        Parameter("after", "The `next` of the page before."),
        Parameter("tag", "Only objects with this tag; several for objects with all of them.", repeats=True),
    )

    @api.add(Operation("GET", rule, "list", "List every object", {200: "objects"}, READS | {400}, paging))
    async def listing(section: str) -> Response:
        kind = await calls.kind_of(section)
        calls.callers.let_read(kind.permission)
        changer = await calls.changer()
        limit, after = number("limit", 100, MOST_ON_PAGE), request.args.get("after", "")
        tags = {tag.strip().casefold() for tag in request.args.getlist("tag")}
        stored = {each.name: each for each in seen((await changer.whole()).objects) if each.kind == section}
        drafts = {each.name: each for each in await changer.asked(changer.drafts.listed(section))}
        shown = {name: _shown(kind, changer, name, body, None) for name, body in changer.of_file(section).items()}
        shown |= {
            name: _shown(kind, changer, name, each.body, each, drafts.get(name))
            for name, each in stored.items()
            if name not in shown
        }
        mine = {name: each for name, each in shown.items() if sees(name)}
        found = [each for name, each in sorted(mine.items()) if name > after and tags <= _tags(each["body"])]
        told: dict[str, Any] = {"objects": found[:limit]}
        if len(found) > limit:
            told["next"] = found[limit - 1]["name"]
        return as_json(told)

    @api.add(Operation("GET", place, "read", "Read one object", {200: "object"}, READS | {404}, headers=("ETag",)))
    async def one(section: str, name: str) -> Response:
        kind = await calls.kind_of(section)
        calls.callers.let_read(kind.permission)
        changer = await calls.changer()
        in_file = changer.of_file(section)
        if name in in_file:
            return as_json(_shown(kind, changer, name, in_file[name], None))
        held = await calls.stored(changer, section, name)
        draft = await changer.asked(changer.drafts.get(section, name))
        return as_json(_shown(kind, changer, name, held.body, held, draft), headers={"ETag": f'"{held.version}"'})

    @api.add(
        Operation(
            "POST",
            rule,
            "make",
            "Make an object",
            {200: "written", 201: "written"},
            CHANGES,
            WRITES,
            _NEW,
            headers=("ETag", "Location"),
        )
    )
    async def make(section: str) -> Response:
        kind = await calls.kind_of(section)
        author, changer = calls.callers.let(kind.permission), await calls.changer()
        found = await members(needs=("body",), also=("name",))
        name = kind.name_of(found["body"]) or a_text(found, "name")
        return await calls.store(kind, changer, author, name, found["body"], expected=0)

    @api.add(
        Operation(
            "PUT",
            place,
            "put",
            "Make an object, or replace it",
            {200: "written", 201: "written"},
            CHANGES,
            (*WRITES, IF_MATCH, IF_NONE_MATCH),
            KIND,
            headers=("ETag", "Location"),
        )
    )
    async def put(section: str, name: str) -> Response:
        kind = await calls.kind_of(section)
        author, changer = calls.callers.let(kind.permission), await calls.changer()
        return await calls.store(kind, changer, author, name, await sent(), expected())

    @api.add(
        Operation(
            "PATCH",
            place,
            "patch",
            "Change parts of an object (RFC 7396)",
            {200: "written"},
            CHANGES,
            (*WRITES, IF_MATCH),
            {"type": "object"},
            media=(MERGE_PATCH, "application/json"),
            headers=("ETag",),
        )
    )
    async def patch(section: str, name: str) -> Response:
        kind = await calls.kind_of(section)
        author, changer = calls.callers.let(kind.permission), await calls.changer()
        found = await sent(MERGE_PATCH)
        if name in changer.of_file(section):
            raise Refusal(409, f"{section}/{name} stands in the file; change it there.", "in-file")
        held = await calls.stored(changer, section, name)
        return await calls.store(kind, changer, author, name, patched(held.body, found), expected() or held.version)

    @api.add(
        Operation(
            "DELETE", place, "remove", "Remove an object", {200: "written"}, CHANGES - {413, 415}, (*WRITES, IF_MATCH)
        )
    )
    async def remove(section: str, name: str) -> Response:
        kind = await calls.kind_of(section)
        author, changer = calls.callers.let(kind.permission), await calls.changer()
        return await calls.write(changer, author, [Change(section, name, None, kind.cls.shape, expected())])


def _shown(
    kind: Kind, changer: Changer, name: str, body: Any, held: Object | None, draft: Draft | None = None
) -> dict[str, Any]:
    told: dict[str, Any] = {"kind": kind.section, "name": name, "from": "file" if held is None else "store"}
    if held is not None:
        told |= {"version": held.version, "generation": held.generation}
    if draft is not None:
        told["draft"] = draft_told(draft, held)
    return told | {"body": changer.kinds.masker.masked(body, kind.schema)}


def _tags(body: Any) -> set[str]:
    tags = body.get("tags") if isinstance(body, dict) else None
    return {str(tag).strip().casefold() for tag in tags} if isinstance(tags, list) else set()
