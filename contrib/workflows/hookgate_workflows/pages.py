"""Pages of the management API: custom routes in the words of the seed, their groups, and the history."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from quart import Response, request

from hookgate import Host
from hookgate_management.pages import (
    CHANGES,
    LIMIT,
    READS,
    WRITES,
    Calls,
    Operation,
    Operations,
    Parameter,
    Refusal,
    a_text,
    as_json,
    members,
    number,
)
from hookgate_storage import Change, StoreError
from hookgate_workflows.deciding import Undecidable
from hookgate_workflows.drawing import svg
from hookgate_workflows.executors import JournalAway
from hookgate_workflows.routerecord import CustomRouteSection
from hookgate_workflows.telling import listed
from hookgate_workflows.transactions import told_with_offers

ROUTES = "custom_routes"
TRANSACTIONS, OPERATE = "transactions", "operate_transactions"
"""The permissions to see what calls of others have come to, and to decide what becomes of them."""
MOST_ON_PAGE = 1000
WHERE = ("status", "workflow", "owner", "route", "method", "label", "guid")
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_TEXT = {"type": "string"}
_MAYBE = {"type": ["string", "null"]}
_ROW = {
    "type": "object",
    "required": ["id", "guid", "workflow", "status", "created"],
    "properties": {
        "id": {"type": "integer"},
        **dict.fromkeys(("guid", "workflow", "label", "route", "method", "status", "request_status", "reason"), _TEXT),
        **dict.fromkeys(("owner", "created", "updated", "closed", "waits_for"), _MAYBE),
        "parent": {"type": ["integer", "null"]},
    },
}
_LIST = {"type": "array", "items": {"type": "object"}}
_WHOLE = {
    **_ROW,
    "properties": {
        **_ROW["properties"],  # type: ignore[dict-item]
        "request": {},
        "context": {"type": "object"},
        **dict.fromkeys(("errors", "tasks", "calls", "documents"), _LIST),
    },
}
_PAGE = {
    "type": "object",
    "required": ["transactions"],
    "properties": {
        "transactions": {"type": "array", "items": _ROW},
        "next": {"type": "integer", "description": "`before` of the next page, if any."},
    },
}
_LISTED = {
    "type": "object",
    "required": ["routes"],
    "properties": {"routes": {"type": "array", "items": {"type": "object"}}},
}
_ROUTE = {
    "type": "object",
    "required": ["route", "method"],
    "properties": {"route": _TEXT, "method": _TEXT},
    "description": "A custom route, as the section `custom_routes` has it.",
}
_DECISION = {
    "type": "object",
    "required": ["task", "verdict"],
    "properties": {
        "task": {"type": "integer", "description": "The number of the task."},
        "verdict": {"enum": ["repeat", "done", "failed"]},
        "output": {**_TEXT, "description": "Where it goes on when it was done; the first output if left out."},
    },
}
_ACCEPTED = {
    "type": "object",
    "required": ["id", "guid"],
    "properties": {"id": {"type": "integer"}, "guid": _TEXT},
}
_RENAMED = {"type": "object", "required": ["name"], "properties": {"name": {**_TEXT, "maxLength": 200}}}
ASKED = (
    *(Parameter(name, f"Only those of this {name}.") for name in WHERE),
    LIMIT,
    Parameter("before", "The `next` of the page before.", {"type": "integer", "minimum": 1}),
)


def workflow_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {
        "api.transactions": _PAGE,
        "api.transaction": _WHOLE,
        "api.routes": _LISTED,
        "api.accepted": _ACCEPTED,
        "api.diagram": _TEXT,
    }
    _of_drawings(api, calls, host)
    _of_routes(api, calls)
    _of_transactions(api, calls, host)


def _of_drawings(api: Operations, calls: Calls, host: Host) -> None:
    @api.add(
        Operation(
            "GET",
            "/workflows/<key>/diagram",
            "workflow-diagram",
            "Draw a workflow that is live, as SVG",
            {200: "diagram"},
            READS | {404},
            answer_media="image/svg+xml",
        )
    )
    async def diagram(key: str) -> Response:
        kind = await calls.kind_of("workflows")
        calls.callers.let_read(kind.permission)
        try:
            section: Any = host.section("workflows")
        except LookupError:
            section = None
        graph = None if section is None else section.graphs.get(key)
        if graph is None:
            raise Refusal(404, f"There is no live workflow {key[:200]!r}.", "missing")
        drawn = await asyncio.to_thread(svg, graph)
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
        return Response(drawn, 200, headers, "image/svg+xml", "image/svg+xml")


def _of_routes(api: Operations, calls: Calls) -> None:
    @api.add(
        Operation(
            "POST",
            "/custom_routes",
            "make-custom-route",
            "Make a custom route (CR-1)",
            {200: "written", 201: "written"},
            CHANGES,
            WRITES,
            _ROUTE,
            headers=("ETag", "Location"),
        )
    )
    async def make() -> Response:
        kind = await calls.kind_of(ROUTES)
        author, changer = calls.callers.let(kind.permission), await calls.changer()
        known = {field.alias or name for name, field in CustomRouteSection.model_fields.items()}
        others = tuple(sorted(known | {"activity_id", "err_activity_id"}))
        try:
            found = await members(needs=("route", "method"), also=others)
            name = kind.name_of(found)
            change = await calls.change(kind, changer, name, found, 0)
            return await calls.write(changer, author, [change], more={"route_id": name})
        except Refusal as refusal:
            if refusal.status == 422:  # as the seed has it
                refusal.status = 400
            raise

    @api.add(
        Operation(
            "GET",
            "/custom_routes",
            "custom-routes",
            "List the custom routes that are stored, or those of a group",
            {200: "routes"},
            READS,
            (Parameter("group", "Only those of this group."),),
        )
    )
    async def listing() -> Response:
        kind = await calls.kind_of(ROUTES)
        calls.callers.let_read(kind.permission)
        changer = await calls.changer()
        whole, group = await changer.asked(changer.whole()), request.args.get("group")
        told = [
            {"route_id": each.name, **each.body}
            for each in whole.objects
            if each.kind == ROUTES and (group is None or each.body.get("group", "") == group)
        ]
        return as_json({"routes": told})

    @api.add(
        Operation(
            "PUT",
            "/custom_routes/groups/<key>",
            "rename-group",
            "Rename a group: all of its stored routes, in one write (CR-2)",
            {200: "written"},
            CHANGES,
            WRITES,
            _RENAMED,
        )
    )
    async def rename(key: str) -> Response:
        kind = await calls.kind_of(ROUTES)
        author, changer = calls.callers.let(kind.permission), await calls.changer()
        found = await members(needs=("name",))
        whole = await changer.asked(changer.whole())
        changes = [
            Change(ROUTES, each.name, {**each.body, "group": found["name"]}, kind.cls.shape, each.version)
            for each in whole.objects
            if each.kind == ROUTES and each.body.get("group", "") == key
        ]
        if not changes:
            raise Refusal(404, f"There is no stored custom route of the group {key[:200]}.", "missing")
        return await calls.write(changer, author, changes)


def _of_transactions(api: Operations, calls: Calls, host: Host) -> None:
    @api.add(
        Operation(
            "GET",
            "/transactions",
            "transactions",
            "List what was run, the newest first (CR-32)",
            {200: "transactions"},
            READS | {400},
            ASKED,
        )
    )
    async def history() -> Response:
        calls.callers.let(TRANSACTIONS)
        where = {name: request.args[name] for name in WHERE if name in request.args}
        if any("\0" in value or len(value) > 1000 for value in where.values()):
            raise Refusal(400, "A value has at most 1000 characters, without NUL.", "invalid")
        limit, before = number("limit", 100, MOST_ON_PAGE), number("before", 0, 2**53, 0)
        rows = await from_journal(engine_of(host).journal.page(where, before or None, limit))
        more = {"next": rows[-1]["id"]} if len(rows) == limit else {}
        return as_json({"transactions": [listed(row) for row in rows], **more})

    @api.add(
        Operation(
            "GET",
            "/transactions/<key>",
            "transaction",
            "Show what was run, by number or GUID, with its tasks, calls and documents",
            {200: "transaction"},
            READS | {404},
        )
    )
    async def one(key: str) -> Response:
        calls.callers.let(TRANSACTIONS)
        wanted = int(key) if _NUMBER.fullmatch(key) else key[:100]
        found = await from_journal(engine_of(host).journal.read(wanted)) if "\0" not in key else None
        if found is None:
            raise Refusal(404, "There is no such transaction.", "missing")
        return as_json(await from_journal(told_with_offers(engine_of(host), found)))

    @api.add(
        Operation(
            "POST",
            "/transactions/<key>/decisions",
            "decide",
            "Decide of a task that waits for a person: it is run again, was done, or has failed",
            {202: "accepted"},
            CHANGES | {409},
            (),
            _DECISION,
        )
    )
    async def decision(key: str) -> Response:
        author = calls.callers.let(OPERATE)
        found = await members(needs=("task", "verdict"), also=("output",))
        task, verdict, output = found["task"], found["verdict"], a_text(found, "output")
        if type(task) is not int or verdict not in ("repeat", "done", "failed"):
            raise Refusal(422, "task is a number, and verdict is repeat, done or failed.", "invalid")
        section, engine = host.section("workflow_engine"), engine_of(host)
        wanted = int(key) if _NUMBER.fullmatch(key) else key[:100]
        row = await from_journal(engine.journal.read(wanted)) if "\0" not in key else None
        if row is None:
            raise Refusal(404, "There is no such transaction.", "missing")
        executor: Any = section.executor  # type: ignore[attr-defined]
        try:
            taken = await from_journal(engine.decide(row["id"], task, verdict, output, author, hold=executor.holds))
        except Undecidable as error:
            raise Refusal(409, f"{error}.", "undecidable") from None
        if not taken:
            raise Refusal(409, "The transaction does not wait, or somebody else has just taken it.", "undecidable")
        await executor.ready(row["id"])
        return as_json({"id": row["id"], "guid": row["guid"]}, 202)


def engine_of(host: Host) -> Any:
    """Return the engine.

    Raises:
        Refusal: there is no store.
    """
    section: Any = host.section("workflow_engine")
    try:
        return section.engine
    except JournalAway:
        raise Refusal(409, "Nothing is stored here: serve with the source store.", "no-store") from None


async def from_journal(question: Any) -> Any:
    """Ask the journal.

    Raises:
        Refusal: it is away.
    """
    try:
        return await question
    except StoreError as error:
        raise Refusal(503, f"The journal is away: {error}.", "away") from None
