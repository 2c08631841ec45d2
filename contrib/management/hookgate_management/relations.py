"""Pages about an object among others: what uses it, and another name for it (HC-1)."""

from __future__ import annotations

from typing import Any

from quart import Response

from hookgate_management.answers import as_json
from hookgate_management.bounding import let_name
from hookgate_management.calls import Calls, a_text, expected, flag, members
from hookgate_management.kinds import Kind
from hookgate_management.operations import (
    CHANGES,
    FORCE,
    IF_MATCH,
    READS,
    WRITES,
    Operation,
    Operations,
)
from hookgate_management.problems import Refusal, pointer
from hookgate_management.references import References
from hookgate_management.tenancy import sees
from hookgate_storage import Change

_TO = {
    "type": "object",
    "required": ["to"],
    "properties": {"to": {"type": "string"}},
    "additionalProperties": False,
}


def relations(api: Operations, calls: Calls) -> None:
    """Add the pages."""
    place = "/objects/<section>/<name>"

    @api.add(Operation("GET", f"{place}/used-by", "used-by", "List what uses an object", {200: "users"}, READS | {404}))
    async def used_by(section: str, name: str) -> Response:
        calls.callers.let_read((await calls.kind_of(section)).permission)
        reads, changer = await calls.readable(), await calls.changer()
        if name not in changer.of_file(section):
            await calls.stored(changer, section, name)
        users = [
            {"kind": kind, "name": user, "from": of, "pointers": sorted(places)}
            for (kind, user, of), places in sorted((await changer.users(section, name)).items())
            if sees(user) and reads(kind)
        ]
        if reads(""):
            found = [await changer.asked(each(section, name)) for each in changer.store.users.values()]
            told = (each for many in found for each in many if sees(each[1]))
            users += [{"kind": kind, "name": user, "from": "register", "pointers": []} for kind, user in told]
        return as_json({"users": users})

    @api.add(
        Operation(
            "POST",
            f"{place}/rename",
            "rename",
            "Give an object another name, and write it wherever the schema says that others refer to it",
            {200: "written"},
            CHANGES,
            (*WRITES, FORCE, IF_MATCH),
            _TO,
        )
    )
    async def rename(section: str, name: str) -> Response:
        kind = await calls.kind_of(section)
        author, changer = calls.callers.let(kind.permission), await calls.changer()
        to = a_text(await members(needs=("to",)), "to")
        if name in changer.of_file(section):
            raise Refusal(409, f"{section}/{name} stands in the file; change it there.", "in-file")
        held = await calls.stored(changer, section, name)
        if to == name:
            raise Refusal(422, f"{section}/{name} has that name already.", "invalid")
        let_name(section, to)
        references = References(changer.kinds.definitions, section, name)
        body = references.renamed(_named(kind, held.body, to), kind.schema, to)
        changes = [
            Change(section, name, None, held.shape, expected() or held.version),
            Change(section, to, body, held.shape, 0),
        ]
        for each in (await changer.whole()).objects:
            other = changer.kinds.get(each.kind)
            if other is not None and each != held and references.found(each.body, other.schema):
                calls.callers.let(other.permission)
                changed = references.renamed(each.body, other.schema, to)
                changes.append(Change(each.kind, each.name, changed, each.shape, each.version))
        return await calls.write(changer, author, changes, f"{section}/{name} is {to}", force=flag("force"))


def _named(kind: Kind, body: Any, to: str) -> Any:
    """Return a body that says the new name itself, if it says one.

    Raises:
        Refusal: the kind has one object only, or its names have parts of which the first alone can be changed.
    """
    if kind.cls.shape == "record":
        raise Refusal(422, f"There is one {kind.name} only, and it has no other name.", "invalid")
    if kind.cls.shape == "names":
        return body
    first, *rest = kind.cls.key
    tail = "".join(f" {body[field]}" for field in rest if body.get(field))
    if not to.endswith(tail) or to == tail:
        errors = [{"pointer": pointer(("to",)), "detail": f"does not end with{tail}"}]
        raise Refusal(422, f"The name of an {kind.name} has several parts; write one with{tail}.", "invalid", errors)
    return {**body, first: to.removesuffix(tail)}
