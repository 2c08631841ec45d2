"""Pages about the ledger: several changes as one, what was changed when by whom, and who serves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quart import Response, request

from hookgate_management.answers import as_json
from hookgate_management.callers import ADMIN, READ
from hookgate_management.calls import Calls, a_text, members, node_told, number
from hookgate_management.kinds import Kinds
from hookgate_management.operations import (
    CHANGES,
    LIMIT,
    READS,
    WRITES,
    Operation,
    Operations,
    Parameter,
)
from hookgate_management.problems import Refusal, pointer
from hookgate_management.tenancy import current, sees

MOST_ON_PAGE = 1000
_CHANGES = {
    "type": "object",
    "required": ["changes"],
    "properties": {
        "changes": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["kind", "body"],
                "properties": {
                    "kind": {"type": "string"},
                    "name": {"type": "string", "description": "Left out where the body says it."},
                    "body": {"description": "The object, or null to remove it."},
                    "version": {"type": ["integer", "null"], "minimum": 0, "description": "0: it must not be there."},
                },
                "additionalProperties": False,
            },
        },
        "comment": {"type": "string", "maxLength": 2000},
    },
    "additionalProperties": False,
}


def ledger(api: Operations, calls: Calls) -> None:
    """Add the pages."""

    @api.add(
        Operation(
            "POST",
            "/apply",
            "apply",
            "Make several changes as one generation, or none of them",
            {200: "written", 201: "written"},
            CHANGES,
            WRITES,
            _CHANGES,
            headers=("ETag", "Location"),
        )
    )
    async def apply() -> Response:
        author, changer = calls.callers.let_in(), await calls.changer()
        found = await members(needs=("changes",), also=("comment",))
        listed = found["changes"]
        if not isinstance(listed, list) or not listed:
            errors = [{"pointer": "/changes", "detail": "is no list with something in it"}]
            raise Refusal(422, 'Send {"changes": [{"kind": …, "name": …, "body": … or null}, …]}.', "invalid", errors)
        changes = []
        for index, each in enumerate(listed):
            _check(each, index)
            kind = await calls.kind_of(each["kind"])
            calls.callers.let(kind.permission)
            name = each.get("name") or kind.name_of(each["body"])
            changes.append(await calls.change(kind, changer, name, each["body"], each.get("version")))
        return await calls.write(changer, author, changes, a_text(found, "comment"))

    asked = (
        LIMIT,
        Parameter("before", "Only older ones than this.", {"type": "integer", "minimum": 1}),
        Parameter("kind", "Only changes of this kind."),
        Parameter("name", "Only changes of objects of this name."),
    )

    @api.add(
        Operation(
            "GET", "/generations", "generations", "List what was changed", {200: "generations"}, READS | {400}, asked
        )
    )
    async def generations() -> Response:
        reads = await calls.readable()
        changer = await calls.changer()
        before = number("before", 0, 2**53) or None
        kind, name = (_clean(request.args.get(each)) for each in ("kind", "name"))
        limit, kinds = number("limit", 50, MOST_ON_PAGE), await calls.kinds()
        found = await changer.store.history(kind, name, before, limit)
        if current.get() is not None or not {ADMIN, READ} & calls.callers.caller().permissions:
            rest, found = found, []
            while rest and len(found) < limit:
                found += [(head, own) for head, all_of_it in rest if (own := theirs(all_of_it, reads))]
                rest = await changer.store.history(kind, name, rest[-1][0].number, limit)
            found = found[:limit]
        return as_json({"generations": [told(kinds, head, changes) for head, changes in found]})

    @api.add(Operation("GET", "/nodes", "nodes", "List the gateways that serve the store", {200: "nodes"}, READS))
    async def nodes() -> Response:
        calls.callers.let_read()
        changer = await calls.changer()
        return as_json({"nodes": [node_told(each) for each in await changer.store.nodes()]})


def theirs(changes: Any, reads: Callable[[str], bool]) -> tuple[Any, ...]:
    """Return the changes of a generation that the caller may see, of kinds that they may read."""
    return tuple(each for each in changes if sees(each.name) and reads(each.kind))


def told(kinds: Kinds, head: Any, changes: Any) -> dict[str, Any]:
    """Tell a generation, secrets as asterisks."""
    masker = kinds.masker
    listed = []
    for each in changes:
        shown: dict[str, Any] = {"kind": each.kind, "name": each.name, "version": each.version}
        if each.body is None:
            shown["removed"] = True
        elif each.kind in kinds:
            shown["body"] = masker.masked(each.body, kinds[each.kind].schema)
        listed.append(shown)
    mine = sees(head.author)  # what others have written may name what is theirs
    shown = {"generation": head.number, "at": head.at, "author": head.author if mine else ""}
    shown["comment"] = head.comment if mine else ""
    return {**shown, "digest": head.digest, "changes": listed}


def _check(each: Any, index: int) -> None:
    """Refuse what is no change."""
    why = ""
    if not isinstance(each, dict) or not isinstance(each.get("kind"), str) or "body" not in each:
        why = "needs kind, name and body"
    elif not isinstance(each.get("name", ""), str):
        why = "has a name that is no text"
    elif not isinstance(version := each.get("version"), int | None) or isinstance(version, bool) or (version or 0) < 0:
        why = "has a version that is no number from 0 on"
    elif strange := each.keys() - {"kind", "name", "body", "version"}:
        why = f"has no member {min(strange)!r}; it may have kind, name, body and version"
    if why:
        errors = [{"pointer": pointer(("changes", index)), "detail": why}]
        raise Refusal(422, "There is a mistake in what was sent.", "invalid", errors)


def _clean(name: str | None) -> str | None:
    """Return a name that a database can be asked for."""
    return name.replace("\0", "\N{REPLACEMENT CHARACTER}") if name else name
