"""Pages about generations: one, what differs between two, and going back to one."""

from __future__ import annotations

from quart import Response, request

from hookgate_management.answers import as_json
from hookgate_management.callers import ADMIN
from hookgate_management.calls import Calls, flag, members, number
from hookgate_management.comparing import compared
from hookgate_management.ledger import theirs, told
from hookgate_management.operations import (
    CHANGES,
    READS,
    WRITES,
    Operation,
    Operations,
    Parameter,
)
from hookgate_management.problems import Refusal
from hookgate_management.tenancy import seen
from hookgate_storage import Change

NEWEST = 2**53
_TO = {
    "type": "object",
    "required": ["to"],
    "properties": {"to": {"type": "integer", "minimum": 0}},
    "additionalProperties": False,
}


def turning(api: Operations, calls: Calls) -> None:
    """Add the pages."""

    @api.add(
        Operation(
            "GET",
            "/generations/<number>",
            "generation",
            "Return one generation with its changes",
            {200: "generation"},
            READS | {404},
        )
    )
    async def generation(number: str) -> Response:
        reads = await calls.readable()
        changer = await calls.changer()
        wanted = int(number) if number.isascii() and number.isdigit() and len(number) < 16 else 0
        found = await changer.store.history(before=wanted + 1, limit=1) if wanted else []
        own = theirs(found[0][1], reads) if found else ()
        if not found or found[0][0].number != wanted or (found[0][1] and not own):
            raise Refusal(404, f"There is no generation {number[:50]}.", "missing")
        return as_json(told(await calls.kinds(), found[0][0], own))

    numbered = {"type": "integer", "minimum": 0}
    two = (
        Parameter("from", "The older one; the one before `to` where it is left out.", numbered),
        Parameter("to", "The newer one; the newest where it is left out.", numbered),
    )

    @api.add(Operation("GET", "/diff", "diff", "Compare two generations", {200: "diff"}, READS | {400, 404}, two))
    async def diff() -> Response:
        reads = await calls.readable()
        changer = await calls.changer()
        head = await changer.store.head()
        newer = number("to", head.number, NEWEST, 0)
        older = number("from", max(0, newer - 1), NEWEST, 0)
        before, after = [await changer.asked(changer.store.at(each)) for each in (older, newer)]
        before, after = ([each for each in side if reads(each.kind)] for side in (before, after))
        found = list(compared(before, after, await calls.kinds()))
        return as_json({"from": older, "to": newer, "differences": found})

    @api.add(
        Operation(
            "POST",
            "/rollback",
            "rollback",
            "Make a generation with the state of an older one",
            {200: "written", 201: "written"},
            CHANGES,
            WRITES,
            _TO,
            headers=("ETag", "Location"),
        )
    )
    async def rollback() -> Response:
        author, changer = calls.callers.let_in(), await calls.changer()
        to = (await members(needs=("to",)))["to"]
        if not isinstance(to, int) or isinstance(to, bool) or not 0 <= to <= NEWEST:
            errors = [{"pointer": "/to", "detail": "is no number of a generation"}]
            raise Refusal(422, "There is a mistake in what was sent.", "invalid", errors)
        flag("dry_run")
        kinds, whole = await calls.kinds(), await changer.whole()
        wanted = {(each.kind, each.name): each for each in seen(await changer.asked(changer.store.at(to)))}
        held = {(each.kind, each.name): each for each in seen(whole.objects)}
        changes = []
        for key in sorted(wanted.keys() | held.keys()):
            old, new = held.get(key), wanted.get(key)
            if old is not None and new is not None and old.body == new.body:
                continue
            kind = kinds.get(key[0])
            calls.callers.let(ADMIN if kind is None else kind.permission)
            if kind is None:
                raise Refusal(409, f"The kind of {'/'.join(key)} is not installed any more.", "no-kind")
            version = 0 if old is None else old.version
            changes.append(Change(key[0], key[1], None if new is None else new.body, kind.cls.shape, version))
        if not changes:
            calls.callers.let_look()
            head = whole.generation
            return as_json({"generation": head.number, "digest": head.digest, "written": False, "changes": []})
        comment = request.args.get("comment") or f"back to generation {to}"
        return await calls.write(changer, author, changes, comment, ground=whole.generation.number)
