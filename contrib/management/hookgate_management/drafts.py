"""Pages about drafts: what an object is to become, kept beside it and served by nobody until it is deployed (FL-33)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from quart import Response, request
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_management.answers import as_json
from hookgate_management.callers import where
from hookgate_management.calls import Calls, a_text, expected, flag, members, sent
from hookgate_management.changing import Changer
from hookgate_management.comparing import compared
from hookgate_management.drafting import Draft, Drafts, Noted
from hookgate_management.kinds import Kind
from hookgate_management.masking import NothingToKeep
from hookgate_management.operations import (
    CHANGES,
    DRY_RUN,
    IF_MATCH,
    IF_NONE_MATCH,
    KIND,
    READS,
    WRITES,
    Operation,
    Operations,
    Parameter,
)
from hookgate_management.problems import Refusal, pointer
from hookgate_management.tenancy import current, sees
from hookgate_people import By, people_of
from hookgate_storage import Change, Object, checked

DEPLOY = Parameter("deploy", "Make it live in the same step, and keep no draft.", {"type": "boolean"})
REBASE = Parameter("rebase", "It takes into account what is live now, though that was changed.", {"type": "boolean"})
_LISTED = {
    "type": "object",
    "required": ["drafts"],
    "properties": {
        "drafts": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["kind", "name"],
                "properties": {
                    "kind": {"type": "string"},
                    "name": {"type": "string"},
                    "version": {"type": "integer", "minimum": 1, "description": "Refuse another one than this."},
                },
                "additionalProperties": False,
            },
        },
        "comment": {"type": "string", "maxLength": 2000},
    },
    "additionalProperties": False,
}


def drafts(api: Operations, calls: Calls) -> None:
    """Add the pages."""
    place = "/objects/<section>/<name>/draft"
    _deploying(api, calls, place)
    _comparing(api, calls)

    @api.add(Operation("GET", "/drafts", "drafts", "List every draft", {200: "drafts"}, READS))
    async def listing() -> Response:
        reads = await calls.readable()
        changer = await calls.changer()
        held = {(each.kind, each.name): each for each in (await changer.whole()).objects}
        found = await changer.asked(changer.drafts.listed())
        told = [
            {"kind": each.kind, "name": each.name, **draft_told(each, held.get((each.kind, each.name)))}
            for each in found
            if sees(each.name) and reads(each.kind)
        ]
        return as_json({"drafts": told})

    about = "Read the draft of one object"

    @api.add(Operation("GET", place, "read-draft", about, {200: "draft"}, READS | {404}, headers=("ETag",)))
    async def read(section: str, name: str) -> Response:
        kind = await calls.kind_of(section)
        calls.callers.let_read(kind.permission)
        changer = await calls.changer()
        found = await the_draft(changer, section, name)
        told = {"kind": section, "name": name, **draft_told(found, await live(changer, section, name))}
        told["body"] = changer.kinds.masker.masked(found.body, kind.schema)
        return as_json(told, headers={"ETag": f'"{found.version}"'})

    @api.add(
        Operation(
            "PUT",
            place,
            "save-draft",
            "Save a draft of an object, with mistakes too; nothing that is served changes",
            {200: "draft-saved", 201: "draft-saved"},
            CHANGES,
            (*WRITES, IF_MATCH, IF_NONE_MATCH, DEPLOY, REBASE),
            KIND,
            headers=("ETag", "Location"),
        )
    )
    async def put(section: str, name: str) -> Response:
        kind = await calls.kind_of(section)
        author, changer = calls.callers.let(kind.permission), await calls.changer()
        return await saved(calls, kind, changer, author, name, await sent(), deploy=flag("deploy"))

    @api.add(
        Operation(
            "DELETE",
            place,
            "drop-draft",
            "Drop the draft of an object",
            {200: "draft-dropped"},
            CHANGES - {413, 415},
            (DRY_RUN, IF_MATCH),
        )
    )
    async def drop(section: str, name: str) -> Response:
        kind = await calls.kind_of(section)
        author, changer = calls.callers.let(kind.permission), await calls.changer()
        found, wanted, dry = await the_draft(changer, section, name), expected(), flag("dry_run")
        if dry and wanted not in (None, found.version):
            raise Refusal(412, f"The draft of {section}/{name} has version {found.version}, not {wanted}.", "stale")
        if not dry:
            noted = _noted(changer, author, "drop draft", section, name, None)
            await changer.asked(changer.drafts.drop(section, name, noted, wanted))
        return as_json({"kind": section, "name": name, "dropped": not dry})


def _deploying(api: Operations, calls: Calls, place: str) -> None:
    headers = ("ETag", "Location")
    answers = {200: "written", 201: "written"}

    @api.add(
        Operation(
            "POST",
            f"{place}/deploy",
            "deploy-draft",
            "Make the draft of an object live",
            answers,
            CHANGES - {413, 415},
            (*WRITES, IF_MATCH),
            headers=headers,
        )
    )
    async def deploy(section: str, name: str) -> Response:
        kind = await calls.kind_of(section)
        author, changer = calls.callers.let(kind.permission), await calls.changer()
        found, wanted = await the_draft(changer, section, name), expected()
        if wanted not in (None, found.version):
            raise Refusal(412, f"The draft of {section}/{name} has version {found.version}, not {wanted}.", "stale")
        return await deployed(calls, changer, author, [found])

    @api.add(
        Operation(
            "POST",
            "/drafts/deploy",
            "deploy-drafts",
            "Make several drafts live as one generation, or none of them",
            answers,
            CHANGES,
            WRITES,
            _LISTED,
            headers=headers,
        )
    )
    async def deploy_all() -> Response:
        author, changer = calls.callers.let_in(), await calls.changer()
        found = await members(needs=("drafts",), also=("comment",))
        wanted: list[Draft] = []
        for each in _named(found["drafts"]):
            calls.callers.let((await calls.kind_of(each["kind"])).permission)
            draft = await the_draft(changer, each["kind"], each["name"])
            if each.get("version", draft.version) != draft.version:
                what = f"The draft of {draft.kind}/{draft.name} has version {draft.version}, not {each['version']}."
                raise Refusal(412, what, "stale")
            wanted.append(draft)
        return await deployed(calls, changer, author, wanted, a_text(found, "comment"))


def _comparing(api: Operations, calls: Calls) -> None:
    side = {"type": "string", "pattern": "^(draft|live|[0-9]+)$"}
    two = (
        Parameter("from", "`draft`, `live`, or the number of a generation; `live` where it is left out.", side),
        Parameter("to", "The same; the draft where it is left out and there is one.", side),
    )
    about = "Compare two states of an object"

    @api.add(
        Operation("GET", "/objects/<section>/<name>/diff", "diff-of", about, {200: "compared"}, READS | {400, 404}, two)
    )
    async def diff(section: str, name: str) -> Response:
        kind = await calls.kind_of(section)
        calls.callers.let_read(kind.permission)
        changer = await calls.changer()
        there = await changer.asked(changer.drafts.get(section, name)) if name.isprintable() else None
        sides = request.args.get("from", "live"), request.args.get("to", "live" if there is None else "draft")
        bodies = [await _side(changer, kind, name, each) for each in sides]
        if bodies == [None, None]:
            raise Refusal(404, f"There is no {section}/{name}.", "missing")
        before, after = ([] if body is None else [Object(section, name, body, 1, 0)] for body in bodies)
        told: dict[str, Any] = {"kind": section, "name": name, "from": sides[0], "to": sides[1]}
        told["differences"] = list(compared(before, after, changer.kinds))
        return as_json(told)


async def _side(changer: Changer, kind: Kind, name: str, side: str) -> Any:
    if not name.isprintable():
        return None
    if side == "draft":
        return (await the_draft(changer, kind.section, name)).body
    if side == "live":
        held = await changer.asked(changer.store.get(kind.section, name))
        return changer.of_file(kind.section).get(name) if held is None else held.body
    if not (side.isascii() and side.isdigit() and len(side) < 16):
        raise Refusal(400, f"{side[:50]!r} is neither draft nor live nor the number of a generation.", "query")
    if int(side) > (await changer.asked(changer.store.head())).number:
        raise Refusal(404, f"There is no generation {side}.", "missing")
    found = await changer.asked(changer.store.history(kind.section, name, int(side) + 1, 1))
    return found[0][1][-1].body if found else None


async def saved(
    calls: Calls, kind: Kind, changer: Changer, author: str, name: str, body: Any, *, deploy: bool = False, **more: Any
) -> Response:
    """Save a draft, and say what is wrong with it; or make it live at once."""
    section, wanted, dry = kind.section, expected(), flag("dry_run")
    if (scope := current.get()) is not None:
        scope.let(section, name)
    if name in changer.of_file(section):
        raise Refusal(409, f"{section}/{name} stands in the file; change it there.", "in-file")
    if body is None or not isinstance(body, dict):
        raise Refusal(422, "An object is a mapping.", "invalid", [{"pointer": "", "detail": "is no mapping"}])
    there = await changer.asked(changer.drafts.get(section, name)) if name.isprintable() else None
    held = await live(changer, section, name)
    now = 0 if held is None else held.version
    base = now if there is None or flag("rebase") else there.base
    body = _kept(changer, kind, body, there, held)
    change = await calls.change(kind, changer, name, body, now)
    plain = await _checked(changer, Change(section, name, body, kind.cls.shape))
    made = Draft(section, name, 0, base, author, 0.0, body)
    if deploy:
        if wanted is not None and wanted != (0 if there is None else there.version):
            raise Refusal(412, f"The draft of {section}/{name} was changed, or is gone.", "stale")
        return await deployed(calls, changer, author, [made], there=[] if there is None else [there])
    changer.let(change)
    mistakes: list[dict[str, Any]] = []
    try:
        await changer.write([change], author, rehearse=True)
    except Refusal as error:
        if not error.errors:
            raise
        mistakes = (await calls.scrubbed(error)).errors
    if there is None and scope is not None:
        most, listed = scope.section.tenants[scope.tenant].objects, await changer.asked(changer.drafts.listed())
        if sum(scope.has(each.name) for each in listed) >= most:
            raise Refusal(409, f"The tenant {scope.tenant} may have {most} drafts; deploy or drop some.", "quota")
    if not dry:
        noted = _noted(changer, author, "draft", section, name, body)
        made = await changer.asked(changer.drafts.save(made, plain, noted, wanted))
    elif wanted is not None and wanted != (0 if there is None else there.version):
        raise Refusal(412, f"The draft of {section}/{name} was changed, or is gone.", "stale")
    told = {"kind": section, "name": name, "saved": not dry, **draft_told(made, held), "mistakes": mistakes, **more}
    headers = {} if dry else {"ETag": f'"{made.version}"'}
    if there is None and not dry:
        headers["Location"] = f"/-/api/objects/{section}/{quote(name, safe='')}/draft"
    return as_json(told, 201 if there is None and not dry else 200, headers)


async def deployed(
    calls: Calls,
    changer: Changer,
    author: str,
    wanted: Sequence[Draft],
    comment: str = "",
    there: Sequence[Draft] | None = None,
) -> Response:
    """Make drafts live. ``there`` are those that are kept, and go with it; those themselves if they are left out."""
    gone = wanted if there is None else there
    changes = []
    for each in wanted:
        held = await live(changer, each.kind, each.name)
        now = 0 if held is None else held.version
        if each.base != now:
            what = f"{each.kind}/{each.name} has version {now}, and the draft was made from {each.base}"
            raise Refusal(412, f"{what}: compare them, and save the draft with ?rebase=true.", "stale")
        kind = await calls.kind_of(each.kind)
        changes.append(await calls.change(kind, changer, each.name, each.body, now))

    async def within(connection: AsyncConnection) -> None:
        await Drafts.deployed(connection, gone)

    return await calls.write(changer, author, changes, comment, within=within)


async def the_draft(changer: Changer, section: str, name: str) -> Draft:
    """Return a draft.

    Raises:
        Refusal: there is none.
    """
    shown = name.isprintable() and sees(name)
    found: Draft | None = await changer.asked(changer.drafts.get(section, name)) if shown else None
    if found is None:
        raise Refusal(404, f"{section}/{name[:200]} has no draft.", "missing")
    return found


async def live(changer: Changer, section: str, name: str) -> Object | None:
    """Return the object that is stored."""
    found: Object | None = await changer.asked(changer.store.get(section, name)) if name.isprintable() else None
    return found


def draft_told(draft: Draft, held: Object | None) -> dict[str, Any]:
    """Say what there is of a draft, without its body."""
    now = 0 if held is None else held.version
    told = {
        "version": draft.version,
        "base": draft.base,
        "author": draft.author if sees(draft.author) else "",
        "at": draft.at,
    }
    return told | {"stale": draft.base != now}


def _kept(changer: Changer, kind: Kind, body: Any, there: Draft | None, held: Object | None) -> Any:
    """Put secrets of the draft that there is, or else of the object, in the place of asterisks."""
    masker = changer.kinds.masker
    olds = [each.body for each in (there, held) if each is not None]
    for old in olds or [None]:
        try:
            return masker.kept(body, old, kind.schema)
        except NothingToKeep as error:
            errors = [{"pointer": pointer(error.path), "detail": str(error)}]
    raise Refusal(422, "There is a mistake in what was sent.", "invalid", errors)


async def _checked(changer: Changer, change: Change) -> bytes:
    async def plain() -> bytes | None:
        return checked(change)

    found = await changer.asked(plain())
    assert isinstance(found, bytes)
    return found


def _noted(changer: Changer, author: str, action: str, section: str, name: str, after: Any) -> Noted:
    people, by = people_of(changer.store), By(author, where())

    async def note(connection: AsyncConnection, before: Any) -> None:
        old, new = (None if body is None else people.mask(section, body) for body in (before, after))
        await people.audit.note(connection, by, action, f"{section}/{name}", old, new)

    return note


def _named(listed: Any) -> list[dict[str, Any]]:
    if not isinstance(listed, list) or not listed:
        errors = [{"pointer": "/drafts", "detail": "is no list with something in it"}]
        raise Refusal(422, 'Send {"drafts": [{"kind": …, "name": …}, …]}.', "invalid", errors)
    seen: set[tuple[str, str]] = set()
    for index, each in enumerate(listed):
        if not isinstance(each, dict) or not {"kind", "name"} <= each.keys() <= {"kind", "name", "version"}:
            why = "has kind and name, and may have version"
        elif not isinstance(each["kind"], str) or not isinstance(each["name"], str):
            why = "has a kind or a name that is no text"
        elif not isinstance(each.get("version", 1), int) or isinstance(each.get("version"), bool):
            why = "has a version that is no number"
        elif (each["kind"], each["name"]) in seen:
            why = "stands twice"
        else:
            seen.add((each["kind"], each["name"]))
            continue
        raise Refusal(
            422,
            "There is a mistake in what was sent.",
            "invalid",
            [{"pointer": pointer(("drafts", index)), "detail": why}],
        )
    return listed
