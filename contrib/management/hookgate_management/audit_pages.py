"""The page about the audit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import orjson
from quart import Response, request

from hookgate_management.answers import as_json
from hookgate_management.asking import Asked, clean_name, limit_of, unix_time
from hookgate_management.callers import ADMIN
from hookgate_management.calls import number
from hookgate_management.operations import LIMIT, READS, Operation, Operations, Parameter
from hookgate_management.problems import Refusal
from hookgate_management.tenancy import current
from hookgate_people import People, Wanted

JSON_LINES = "application/x-ndjson"


def audit_pages(api: Operations, asked: Asked) -> None:
    """Add the page."""
    unix = {"type": "number", "minimum": 0}
    takes = (
        LIMIT,
        Parameter("before", "Only older ones than this.", {"type": "integer", "minimum": 1}),
        Parameter("who", "Only what this caller did."),
        Parameter("action", "`create`, `change`, `remove`, `login`, or the method of what was refused."),
        Parameter("object", "Kind and name, such as `routes/hello`; with `*` at its end, what begins so."),
        Parameter("outcome", "`done`, or what it was refused with."),
        Parameter("since", "Unix time.", unix),
        Parameter("until", "Unix time.", unix),
        Parameter(
            "format", "`jsonl` gives all of them, the oldest first, one on each line.", {"enum": ["json", "jsonl"]}
        ),
    )

    @api.add(
        Operation(
            "GET",
            "/audit",
            "audit",
            "Find what was done, the newest first",
            {200: "entries"},
            READS | {400},
            takes,
            other_media=(JSON_LINES,),
        )
    )
    async def audit() -> Response:
        asked.callers.let(ADMIN)
        people, limit = await asked.people(), limit_of()
        named = {
            key: clean_name(request.args[key]) for key in ("who", "action", "object", "outcome") if key in request.args
        }
        scope = current.get()
        whose = None if scope is None else scope.tenant
        wanted = Wanted(**named, since=unix_time("since"), until=unix_time("until"), tenant=whose)
        form, before = request.args.get("format", "json"), number("before", 0, 2**53) or None
        if form == "jsonl":
            response = Response(_lines(people, wanted), content_type=JSON_LINES, headers={"Cache-Control": "no-store"})
            response.timeout = None
            return response
        if form != "json":
            raise Refusal(400, f"format={form} is neither json nor jsonl.", "query")
        found = await people.audit.page(wanted, before, limit + 1)
        told: dict[str, Any] = {"entries": [asdict(each) for each in found[:limit]]}
        if len(found) > limit:
            told["before"] = found[limit - 1].number
        return as_json(told)


async def _lines(people: People, wanted: Wanted) -> AsyncIterator[bytes]:
    async for entry in people.audit.every(wanted):
        yield orjson.dumps(asdict(entry)) + b"\n"
