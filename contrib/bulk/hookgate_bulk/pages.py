"""Pages of the management API: bulks are checked, started, followed, paused, resumed, cancelled and replayed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import orjson
from quart import Response, request

from hookgate import Host
from hookgate_bulk.conversion import Unreadable, told
from hookgate_bulk.forms import ACTED, ACTION, CHECKED, EVENTS, PAGE, ROW_PAGE, STARTED, WANTED, WHOLE
from hookgate_bulk.looking import key_of
from hookgate_bulk.records import BulkActionSection
from hookgate_bulk.shown import bulk_told, row_told
from hookgate_bulk.starting import receipt, rows_in, start
from hookgate_bulk.tables import PAUSED, ROW_STATUSES
from hookgate_management.pages import (
    CHANGES,
    LIMIT,
    READS,
    Calls,
    Operation,
    Operations,
    Parameter,
    Refusal,
    as_json,
    members,
    number,
)
from hookgate_storage import StoreError
from hookgate_workflows import ACTIVE, OPERATE, TRANSACTIONS, JournalAway

MEDIA = ("text/csv", "application/json")
LOOK = 0.5
"""Seconds between two looks at a bulk that is followed."""
HEARTBEAT = 15.0
"""Seconds of silence after which followers get a sign of life."""
FOLLOWERS = 50
MOST_WANTED = 10_000
T = TypeVar("T")
WHERE = ("status", "action", "owner")
LISTS = (
    *(Parameter(name, f"Only those of this {name}.") for name in WHERE),
    LIMIT,
    Parameter("before", "The `next` of the page before.", {"type": "integer", "minimum": 1}),
)
OF_ROWS = (
    Parameter("status", "Only rows of this status.", {"enum": [*ROW_STATUSES]}),
    LIMIT,
    Parameter("after", "The `next` of the page before.", {"type": "integer", "minimum": 0}),
)


def bulk_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {
        "api.bulks": PAGE,
        "api.bulk": WHOLE,
        "api.bulk-rows": ROW_PAGE,
        "api.bulk-started": STARTED,
        "api.bulk-checked": CHECKED,
        "api.bulk-acted": ACTED,
    }
    _of_starting(api, calls, host)
    _of_looking(api, calls, host)
    _of_acting(api, calls, host)


def _of_starting(api: Operations, calls: Calls, host: Host) -> None:
    sends = {"description": "CSV with a header row, or a JSON array."}

    @api.add(
        Operation(
            "POST",
            "/bulks/check",
            "check-bulk",
            "Convert and check rows, and start nothing; with no body those of sample_input",
            {200: "bulk-checked"},
            CHANGES,
            (ACTION,),
            sends,
            MEDIA,
        )
    )
    async def check() -> Response:
        calls.callers.let(OPERATE)
        name, action = _action(host)
        content, is_csv = await _sent(), request.mimetype == "text/csv"
        if not content:
            from hookgate_bulk.actions import sample_of

            sample = sample_of(action)
            if sample is None:
                raise Refusal(422, f"Send rows: {name} has no sample_input.", "invalid")
            content, is_csv = sample
        found = await _rows(content, action, is_csv=is_csv)
        wrong = sum(bool(row.errors) for row in found)
        first = next((row.value for row in found if not row.errors), None)
        return as_json(
            {"rows": len(found), "valid": len(found) - wrong, "invalid": wrong, "first": first, "problems": told(found)}
        )

    @api.add(
        Operation(
            "POST",
            "/bulks",
            "start-bulk",
            "Start a bulk: what an action does, for each row (CR-29)",
            {202: "bulk-started"},
            CHANGES,
            (ACTION,),
            sends,
            MEDIA,
        )
    )
    async def begin() -> Response:
        author = calls.callers.let(OPERATE)
        name, action = _action(host)
        if request.mimetype not in MEDIA:
            raise Refusal(415, f"Send {' or '.join(MEDIA)}.", "media-type")
        found = await _rows(await _sent(), action, is_csv=request.mimetype == "text/csv")
        section: Any = host.section("bulk_actions")
        graph = section.graph(name, _workflows(host))
        seen = {
            "content_type": request.mimetype,
            "match_info": {},
            "method": "POST",
            "params": {},
            "tail": "",
            "url": "",
        }
        made = await _asked(
            start(
                host,
                graph,
                action,
                found,
                request=seen,
                owner=author,
                action=name,
                handler=action.error_handler or "",
            )
        )
        return as_json(receipt(made, found), 202)


def _of_looking(api: Operations, calls: Calls, host: Host) -> None:
    following: set[object] = set()

    @api.add(Operation("GET", "/bulks", "bulks", "List bulks, the newest first", {200: "bulks"}, READS | {400}, LISTS))
    async def listing() -> Response:
        calls.callers.let(TRANSACTIONS)
        where = {name: request.args[name] for name in WHERE if name in request.args}
        if any("\0" in value or len(value) > 200 for value in where.values()):
            raise Refusal(400, "A value has at most 200 characters, without NUL.", "invalid")
        limit, before = number("limit", 100, 1000), number("before", 0, 2**31 - 1, 0)
        found = await _asked(_bulks(host).page(where, before or None, limit))
        more = {"next": found[-1]["id"]} if len(found) == limit else {}
        return as_json({"bulks": [bulk_told(each) for each in found], **more})

    @api.add(Operation("GET", "/bulks/<key>", "bulk", "Show a bulk, by number or GUID", {200: "bulk"}, READS | {404}))
    async def one(key: str) -> Response:
        calls.callers.let(TRANSACTIONS)
        return as_json(bulk_told(await _found(host, key)))

    @api.add(
        Operation(
            "GET",
            "/bulks/<key>/rows",
            "bulk-rows",
            "List the rows of a bulk with what came of each",
            {200: "bulk-rows"},
            READS | {400, 404},
            OF_ROWS,
        )
    )
    async def listed(key: str) -> Response:
        calls.callers.let(TRANSACTIONS)
        status, limit, after = request.args.get("status"), number("limit", 100, 1000), number("after", 0, 2**31 - 1, 0)
        if status is not None and status not in ROW_STATUSES:
            raise Refusal(400, f"status is one of {', '.join(ROW_STATUSES)}.", "query")
        bulk = await _found(host, key)
        found = await _asked(_bulks(host).rows(bulk["id"], status, after, limit))
        more = {"next": found[-1]["row"]} if len(found) == limit else {}
        return as_json({"rows": [row_told(each) for each in found], **more})

    @api.add(
        Operation(
            "GET",
            "/bulks/<key>/events",
            "follow-bulk",
            "Follow a bulk: server-sent events `bulk` with its stats, until it is over",
            {200: "bulk-events"},
            READS | {404},
            answer_media="text/event-stream",
        )
    )
    async def follow(key: str) -> Response:
        calls.callers.let(TRANSACTIONS)
        bulk = await _found(host, key)
        if len(following) >= FOLLOWERS:
            raise Refusal(503, "Too many are following; end one of them.", "busy")
        response = Response(_events(host, bulk, following), 200, {"Cache-Control": "no-store"})
        response.content_type, response.timeout = "text/event-stream", None
        return response

    api.schemas["api.bulk-events"] = EVENTS


async def _events(host: Host, bulk: dict[str, Any], following: set[object]) -> AsyncIterator[bytes]:
    """Write an event for each change, until the bulk is over, the client is gone or the gateway stops."""
    me, last, silence = object(), b"", 0.0
    following.add(me)
    try:
        while not host.is_leaving:
            said = orjson.dumps(bulk_told(bulk))
            if said != last:
                yield b"event: bulk\ndata: " + said + b"\n\n"
                last, silence = said, 0.0
            if bulk["status"] not in (ACTIVE, PAUSED):
                return
            await asyncio.sleep(LOOK)
            silence += LOOK
            if silence >= HEARTBEAT:
                yield b": alive\n\n"
                silence = 0.0
            try:
                fresh = await _bulks(host).read(bulk["id"])
            except (StoreError, Refusal):
                continue
            if fresh is None:
                return
            bulk = fresh
    finally:
        following.discard(me)


def _of_acting(api: Operations, calls: Calls, host: Host) -> None:
    def acting(word: str, about: str, act: Callable[[Any, int, str], Awaitable[bool]], unfit: str) -> None:
        @api.add(
            Operation("POST", f"/bulks/<key>/{word}", f"{word}-bulk", about, {202: "bulk-acted"}, READS | {404}, ())
        )
        async def page(key: str) -> Response:
            author = calls.callers.let(OPERATE)
            bulk = await _found(host, key)
            if not await _asked(act(_bulks(host), bulk["id"], author)):
                raise Refusal(409, f"The bulk {bulk['id']} is {bulk['status']}: {unfit}.", "state")
            _poke(host, bulk["id"])
            return as_json({"id": bulk["id"], "status": (await _found(host, key))["status"]}, 202)

    acting(
        "pause",
        "Begin no more rows; those that run go on",
        lambda bulks, number, author: bulks.pause(number, f"paused by {author}"),
        "only one that is ACTIVE can be paused",
    )
    acting(
        "resume",
        "Go on with a bulk that is paused",
        lambda bulks, number, author: bulks.resume(number),
        "only one that is PAUSED can be resumed",
    )
    acting(
        "cancel",
        "Never begin what has not begun; rows that run go on",
        lambda bulks, number, author: bulks.cancel(number, f"cancelled by {author}"),
        "it is over",
    )

    @api.add(
        Operation(
            "POST",
            "/bulks/<key>/replay",
            "replay-bulk",
            "Run rows again that have failed or were stopped: all of them, or some",
            {202: "bulk-acted"},
            CHANGES | {404},
            (),
            WANTED,
        )
    )
    async def replay(key: str) -> Response:
        calls.callers.let(OPERATE)
        wanted = (await members(needs=(), also=("rows",))).get("rows")
        if wanted is not None and not (
            isinstance(wanted, list)
            and 0 < len(wanted) <= MOST_WANTED
            and all(type(each) is int and 0 < each < 2**31 for each in wanted)
        ):
            raise Refusal(422, f"rows is a list of up to {MOST_WANTED} numbers of rows.", "invalid")
        bulk = await _found(host, key)
        count = await _asked(_bulks(host).replay(bulk["id"], wanted))
        if not count:
            raise Refusal(409, "None of these rows has failed or was stopped.", "state")
        _poke(host, bulk["id"])
        return as_json({"id": bulk["id"], "status": (await _found(host, key))["status"], "rows": count}, 202)


def _action(host: Host) -> tuple[str, BulkActionSection]:
    name = request.args.get("action", "")
    try:
        section: Any = host.section("bulk_actions")
        return name, section.actions[name]
    except LookupError:
        raise Refusal(404, f"There is no bulk action {name[:200]!r}: say one with ?action=NAME.", "missing") from None


def _workflows(host: Host) -> Any:
    try:
        return host.section("workflows")
    except LookupError:  # an action that makes a call needs none
        return None


async def _rows(content: bytes, action: BulkActionSection, *, is_csv: bool) -> Any:
    try:
        return await rows_in(content, action, action.validation_schema, is_csv=is_csv)
    except Unreadable as error:
        raise Refusal(422, f"The rows cannot be taken: {error}.", "invalid") from None


def _bulks(host: Host) -> Any:
    section: Any = host.section("bulk_engine")
    try:
        return section.driver.bulks
    except JournalAway as error:
        raise Refusal(409, f"No bulks are run here: {error}.", "no-store") from None


def _poke(host: Host, bulk: int) -> None:
    section: Any = host.section("bulk_engine")
    section.poke(bulk)


async def _found(host: Host, key: str) -> dict[str, Any]:
    wanted = key_of(key)
    found: dict[str, Any] | None = None if wanted is None else await _asked(_bulks(host).read(wanted))
    if found is None:
        raise Refusal(404, "There is no such bulk.", "missing")
    return found


async def _asked(question: Awaitable[T]) -> T:
    try:
        return await question
    except JournalAway as error:
        raise Refusal(409, f"No bulks are run here: {error}.", "no-store") from None
    except StoreError as error:
        raise Refusal(503, f"The store is away: {error}.", "away") from None


async def _sent() -> bytes:
    found: Any = await request.get_data()
    return bytes(found)
