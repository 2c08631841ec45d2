"""Pages about whole documents: plans and their application, and the export."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from quart import Response, request

from hookgate_apis import Effects
from hookgate_management.answers import as_json
from hookgate_management.callers import ADMIN
from hookgate_management.calls import Calls, a_text, members
from hookgate_management.changing import Changer
from hookgate_management.operations import CHANGES, READS, WRITES, Operation, Operations
from hookgate_management.planning import DEFAULT_OWNER, OWNER, Plan, exported, planned
from hookgate_management.problems import Refusal
from hookgate_management.tenancy import current, seen, sees
from hookgate_storage import StoreError

_DOCUMENT = {
    "type": "object",
    "required": ["document"],
    "properties": {
        "document": {"type": "object", "description": "Sections, as a file has them."},
        "owner": {"type": "string", "pattern": f"^{OWNER}$", "default": DEFAULT_OWNER},
        "prune": {
            "type": "boolean",
            "default": True,
            "description": "false: the document is a part of what the owner has, and nothing is removed.",
        },
    },
    "additionalProperties": False,
}
_PLAN = {
    "type": "object",
    "required": ["plan"],
    "properties": {"plan": {"type": "string", "description": "The `plan` of an answer."}},
    "additionalProperties": False,
}


def plans(api: Operations, calls: Calls) -> None:
    """Add the pages."""

    @api.add(
        Operation(
            "POST",
            "/plan",
            "plan",
            "Say what would make the store hold a document, as far as an owner has it; nothing is changed",
            {200: "plan"},
            CHANGES,
            sends=_DOCUMENT,
        )
    )
    async def plan() -> Response:
        author, changer, reads = calls.callers.let_look(), await calls.changer(), await calls.readable()
        found = await members(needs=("document",), also=("owner", "prune"))
        owner = a_text(found, "owner", DEFAULT_OWNER)
        if not re.fullmatch(OWNER, owner):
            detail = f"{owner[:80]!r} is no name of an owner: letters, digits, dots, dashes and underscores."
            raise Refusal(422, detail, "invalid", [{"pointer": "/owner", "detail": "is no name"}])
        if not isinstance(found["document"], dict):
            errors = [{"pointer": "/document", "detail": "is no mapping"}]
            raise Refusal(422, "A document is a mapping of sections.", "invalid", errors)
        prune = found.get("prune", True)
        if not isinstance(prune, bool):
            errors = [{"pointer": "/prune", "detail": "is neither true nor false"}]
            raise Refusal(422, "There is a mistake in what was sent.", "invalid", errors)
        scope = current.get()
        owner = owner if scope is None else scope.owner(owner)
        made = await planned(calls, changer, found["document"], owner, prune=prune)
        for change in made.changes:
            if not reads(change.kind):
                calls.callers.let_read(changer.kinds[change.kind].permission)
        effects: Effects | None = Effects((), 0)
        if made.changes:
            try:
                effects = (await changer.write(made.changes, author, rehearse=True, ground=made.ground)).effects
            except Refusal as error:
                for each in error.errors:  # of a single change nobody says whose they are
                    each.setdefault("object", f"{made.changes[0].kind}/{made.changes[0].name}")
                raise
        differences = await _with_drafts(changer, made.differences)
        told: dict[str, Any] = {"generation": made.ground, "owner": owner, "differences": differences}
        return as_json(told | await calls.effects_told(effects) | {"plan": made.sealed(changer)})

    @api.add(
        Operation(
            "POST",
            "/apply-plan",
            "apply-plan",
            "Carry out a plan as it was made, or refuse it where something was written since",
            {200: "written", 201: "written"},
            CHANGES,
            WRITES,
            _PLAN,
            headers=("ETag", "Location"),
        )
    )
    async def apply_plan() -> Response:
        author, changer = calls.callers.let_in(), await calls.changer()
        made = Plan.opened(a_text(await members(needs=("plan",)), "plan"), changer)
        if (scope := current.get()) is not None and not made.owner.endswith(f"@{scope.tenant}"):
            raise Refusal(422, "That is no plan of this store, or it was changed.", "invalid")
        for place in {*made.owned, *(f"{each.kind}/{each.name}" for each in made.changes)}:
            kind = changer.kinds.get(place.partition("/")[0])
            calls.callers.let(ADMIN if kind is None else kind.permission)
        head = await changer.store.head()
        if (head.number, head.digest) != (made.ground, made.digest):
            detail = f"The plan was made for generation {made.ground}, and {head.number} is the newest: plan anew."
            raise Refusal(409, detail, "moved")
        if made.changes:
            comment = request.args.get("comment") or f"applied by {made.owner}"
            changes = list(made.changes)
            return await calls.write(changer, author, changes, comment, ground=made.ground, also=made.facts)
        calls.callers.let_look()
        if made.owned and not made.noted:
            await changer.asked(changer.store.tell(made.facts))
        return as_json({"generation": head.number, "digest": head.digest, "written": False, "changes": []})

    @api.add(Operation("GET", "/export", "export", "Return what is stored as a document", {200: "document"}, READS))
    async def export() -> Response:
        reads, changer = await calls.readable(), await calls.changer()
        shown = [each for each in seen((await changer.whole()).objects) if reads(each.kind)]
        return as_json(exported(shown, changer))


async def _with_drafts(changer: Changer, differences: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Say of objects that differ which have a draft: applied, it is stale, and whoever has saved it should know."""
    found = {}
    with suppress(StoreError, Refusal):  # no draft was ever saved where there is no table for them
        found = {(each.kind, each.name): each for each in await changer.asked(changer.drafts.listed())}
    told = []
    for each in differences:
        draft = found.get((each["kind"], each["name"]))
        told.append(
            each
            if draft is None
            else {**each, "draft": {"author": draft.author if sees(draft.author) else "", "at": draft.at}}
        )
    return told
