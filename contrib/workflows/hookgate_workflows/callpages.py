"""The page of outbound calls: found by host, client, status, method and URL (CR-32)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from quart import Response, request
from sqlalchemy import and_, or_, select

from hookgate import Host
from hookgate_management.pages import LIMIT, READS, Calls, Operation, Operations, Parameter, Refusal, as_json, number
from hookgate_storage import StoreError
from hookgate_workflows.executors import JournalAway
from hookgate_workflows.pages import TRANSACTIONS
from hookgate_workflows.tables import calls as made
from hookgate_workflows.tables import instances

_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_MAYBE = {"type": ["string", "null"]}
_CALL = {
    "type": "object",
    "required": ["instance", "method", "url", "at"],
    "properties": {
        **dict.fromkeys(("instance", "number", "ordinal"), _COUNT),
        **dict.fromkeys(("method", "url", "host", "connection", "workflow", "at"), _TEXT),
        **dict.fromkeys(("client", "error"), _MAYBE),
        "status": {"type": ["integer", "null"]},
        "seconds": {"type": "number"},
    },
}
_FOUND = {
    "type": "object",
    "required": ["calls"],
    "properties": {
        "calls": {"type": "array", "items": _CALL},
        "next": {**_TEXT, "description": "`before` of the next page, if any."},
    },
}
ASKED = (
    Parameter("host", "Only calls to this host, as in `api.example.com:8443`, or through the connection of that name."),
    Parameter("client", "Only calls for this caller."),
    Parameter("status", "Only calls with this status, or `none` for those without an answer."),
    Parameter("method", "Only calls with this method."),
    Parameter("url", "Only calls whose URL begins with this."),
    LIMIT,
    Parameter("before", "The `next` of the page before.", {"type": "string", "pattern": "^[0-9]+-[0-9]+$"}),
)
NAMES = ("instance", "ordinal", "number", "method", "url", "host", "connection", "status", "seconds")


def call_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the page."""
    api.schemas["api.outbound-calls"] = _FOUND

    @api.add(
        Operation(
            "GET",
            "/outbound-calls",
            "outbound-calls",
            "Find calls that workflows have made, those of the newest instances first",
            {200: "outbound-calls"},
            READS | {400},
            ASKED,
        )
    )
    async def page() -> Response:
        calls.callers.let(TRANSACTIONS)
        limit = number("limit", 100, 1000)
        here = _wanted()
        section: Any = host.section("workflow_engine")
        asked = select(made, instances.c.owner, instances.c.workflow).join(instances, instances.c.id == made.c.instance)
        asked = asked.where(*here).order_by(made.c.instance.desc(), made.c.ordinal.desc()).limit(limit)
        try:
            async with section.engine.journal.database.transaction() as connection:
                found = [dict(row) for row in (await connection.execute(asked)).mappings()]
        except JournalAway:
            raise Refusal(409, "Nothing is stored here: serve with the source store.", "no-store") from None
        except StoreError as error:
            raise Refusal(503, f"The journal is away: {error}.", "away") from None
        last = found[-1] if len(found) == limit else None
        more = {} if last is None else {"next": f"{last['instance']}-{last['ordinal']}"}
        return as_json({"calls": [_told(each) for each in found], **more})


def _wanted() -> list[Any]:
    given = {name: request.args[name] for name in ("host", "client", "status", "method", "url") if name in request.args}
    if any("\0" in value or len(value) > 4000 for value in given.values()):
        raise Refusal(400, "A value has at most 4000 characters, without NUL.", "invalid")
    here: list[Any] = []
    for name, value in given.items():
        match name:
            case "host":
                here.append(or_(made.c.host == value, made.c.connection == value))
            case "client":
                here.append(instances.c.owner == value)
            case "url":
                here.append(made.c.url.startswith(value, autoescape=True))
            case "method":
                here.append(made.c.method == value.upper())
            case _:
                if value != "none" and not (value.isascii() and value.isdigit() and len(value) == 3):
                    raise Refusal(400, "status is one such as 404, or none.", "query")
                here.append(made.c.status.is_(None) if value == "none" else made.c.status == int(value))
    if (before := request.args.get("before")) is not None:
        instance, dash, ordinal = before.partition("-")
        if not (dash and all(each.isascii() and each.isdigit() and len(each) < 16 for each in (instance, ordinal))):
            raise Refusal(400, "before is the next of the page before.", "query")
        first, second = int(instance), int(ordinal)
        here.append(or_(made.c.instance < first, and_(made.c.instance == first, made.c.ordinal < second)))
    return here


def _told(row: Any) -> dict[str, Any]:
    at = datetime.fromtimestamp(row["at"], UTC).isoformat()
    told = {name: row[name] for name in NAMES}
    return {**told, "workflow": row["workflow"], "client": row["owner"], "error": row["error"] or None, "at": at}
