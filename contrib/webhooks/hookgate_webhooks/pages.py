"""Pages of the management API: deliveries of webhooks, one made again, and a test call."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson
from quart import Response, request

from hookgate import Host
from hookgate_management.pages import (
    LIMIT,
    READS,
    Calls,
    Operation,
    Operations,
    Parameter,
    Refusal,
    as_json,
    number,
)
from hookgate_storage import StoreError
from hookgate_workflows import OPERATE, TRANSACTIONS, JournalAway

T = TypeVar("T")
_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_TRY = {
    "type": "object",
    "properties": {
        "at": {"type": ["string", "null"]},
        "status": {"type": ["integer", "null"]},
        "error": _TEXT,
        "seconds": {"type": "number"},
    },
}
_ONE = {
    "type": "object",
    "required": ["id", "webhook", "status", "tries"],
    "properties": {
        **dict.fromkeys(("id", "instance"), _COUNT),
        **dict.fromkeys(("guid", "webhook", "created"), _TEXT),
        "status": {"enum": ["waiting", "done", "failed"]},
        "next": {"type": ["string", "null"]},
        "tries": {"type": "array", "items": _TRY},
        "payload": {"type": "object", "description": "What is sent, without event and secret."},
    },
}
_ALL = {
    "type": "object",
    "required": ["deliveries"],
    "properties": {
        "deliveries": {"type": "array", "items": _ONE},
        "next": {**_COUNT, "description": "`before` of the next page, if any."},
    },
}
_AGAIN = {"type": "object", "required": ["id"], "properties": {"id": _COUNT}}
WHERE = ("webhook", "status")
ASKED = (
    *(Parameter(name, f"Only those of this {name}.") for name in WHERE),
    LIMIT,
    Parameter("before", "The `next` of the page before.", {"type": "integer", "minimum": 1}),
)


def webhook_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {"api.deliveries": _ALL, "api.webhook-tried": _TRY, "api.delivery-again": _AGAIN}

    @api.add(
        Operation(
            "GET",
            "/webhook-deliveries",
            "webhook-deliveries",
            "List deliveries of webhooks, the newest first (WF-6)",
            {200: "deliveries"},
            READS | {400},
            ASKED,
        )
    )
    async def listing() -> Response:
        calls.callers.let(TRANSACTIONS)
        where = {name: request.args[name] for name in WHERE if name in request.args}
        if any("\0" in value or len(value) > 200 for value in where.values()):
            raise Refusal(400, "A value has at most 200 characters, without NUL.", "invalid")
        limit, before = number("limit", 100, 1000), number("before", 0, 2**31 - 1, 0)
        section = _section(host)
        found = [] if section is None else await _asked(section.sender.page(where, before or None, limit))
        more = {"next": found[-1]["id"]} if len(found) == limit else {}
        return as_json({"deliveries": [_told(each) for each in found], **more})

    @api.add(
        Operation(
            "POST",
            "/webhook-deliveries/<key>/again",
            "deliver-again",
            "Deliver again what is done or has failed",
            {202: "delivery-again"},
            READS | {404},
        )
    )
    async def again(key: str) -> Response:
        calls.callers.let(OPERATE)
        section = _section(host)
        if section is None or not (key.isascii() and key.isdigit() and len(key) < 10):
            raise Refusal(404, "There is no such delivery.", "missing")
        if not await _asked(section.sender.again(int(key))):
            raise Refusal(409, "There is no such delivery, or it waits already.", "state")
        return as_json({"id": int(key)}, 202)

    @api.add(
        Operation(
            "POST",
            "/webhooks/<key>/test",
            "test-webhook",
            "Make a test call to a webhook, and say what came of it; it is not noted",
            {200: "webhook-tried"},
            READS | {404},
        )
    )
    async def test(key: str) -> Response:
        calls.callers.let(OPERATE)
        section = _section(host)
        if section is None or key not in section.webhooks:
            raise Refusal(404, f"There is no webhook {key[:200]!r}.", "missing")
        payload = {"id": str(uuid.uuid4()), "request": {"test": True}, "response": {"status": 200, "body": "test"}}
        told = await section.sender.send(section.webhooks[key], payload["id"], payload)
        return as_json({"at": _time(host.clock.wall()), **told})


def _section(host: Host) -> Any:
    try:
        return host.section("webhooks")
    except LookupError:
        return None


def _told(row: Any) -> dict[str, Any]:
    tries = [{**each, "at": _time(each["at"])} for each in orjson.loads(row["tries"])]
    plain = {name: row[name] for name in ("id", "guid", "webhook", "instance", "status")}
    times = {"created": _time(row["created"]), "next": _time(row["next"])}
    return {**plain, **times, "tries": tries, "payload": orjson.loads(row["payload"])}


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


async def _asked(question: Awaitable[T]) -> T:
    try:
        return await question
    except JournalAway as error:
        raise Refusal(409, f"Nothing is stored here: {error}.", "no-store") from None
    except StoreError as error:
        raise Refusal(503, f"The store is away: {error}.", "away") from None
