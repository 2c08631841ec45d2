"""Pages of the management API: schedules with their next and last runs, their history, and a start now."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, TypeVar

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
from hookgate_schedules.records import ScheduleSection
from hookgate_storage import StoreError
from hookgate_workflows import OPERATE, TRANSACTIONS, Fenced, JournalAway

NEXT = 5
"""Next runs that are shown."""
T = TypeVar("T")
_TEXT, _MAYBE = {"type": "string"}, {"type": ["string", "null"]}
_RUN = {
    "type": "object",
    "required": ["due", "kind", "instance", "guid"],
    "properties": {
        "kind": {"enum": ["due", "missed", "manual"]},
        "instance": {"type": "integer"},
        **dict.fromkeys(("due", "guid", "at"), _TEXT),
        "by": _MAYBE,
    },
}
_ONE = {
    "type": "object",
    "required": ["name", "workflow", "cron", "time_zone", "enabled", "next"],
    "properties": {
        **dict.fromkeys(("name", "workflow", "cron", "time_zone"), _TEXT),
        "enabled": {"type": "boolean"},
        "next": {"type": "array", "items": _TEXT, "description": "When it is due next, in its time zone."},
        "last": {"anyOf": [_RUN, {"type": "null"}]},
    },
}
_ALL = {
    "type": "object",
    "required": ["schedules"],
    "properties": {"schedules": {"type": "array", "items": _ONE}},
}
_RUNS = {
    "type": "object",
    "required": ["runs"],
    "properties": {
        "runs": {"type": "array", "items": _RUN},
        "next": {"type": "number", "description": "`before` of the next page, if any."},
    },
}
_STARTED = {
    "type": "object",
    "required": ["id", "guid"],
    "properties": {"id": {"type": "integer"}, "guid": _TEXT},
}
_BEFORE = Parameter("before", "The `next` of the page before.", {"type": "number", "minimum": 0})


def schedule_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {
        "api.schedules": _ALL,
        "api.schedule": _ONE,
        "api.schedule-runs": _RUNS,
        "api.schedule-started": _STARTED,
    }

    @api.add(Operation("GET", "/schedules", "schedules", "List schedules (WF-5)", {200: "schedules"}, READS))
    async def listing() -> Response:
        calls.callers.let(TRANSACTIONS)
        section = _section(host)
        if section is None:
            return as_json({"schedules": []})
        last = await _asked(section.starter.kept.last(list(section.schedules)))
        told = [_told(host, name, each, last.get(name)) for name, each in section.schedules.items()]
        return as_json({"schedules": told})

    @api.add(
        Operation(
            "GET",
            "/schedules/<key>",
            "schedule",
            "Show a schedule with when it is due next",
            {200: "schedule"},
            READS | {404},
        )
    )
    async def one(key: str) -> Response:
        calls.callers.let(TRANSACTIONS)
        section, schedule = _found(host, key)
        last = await _asked(section.starter.kept.last([key]))
        return as_json(_told(host, key, schedule, last.get(key)))

    @api.add(
        Operation(
            "GET",
            "/schedules/<key>/runs",
            "schedule-runs",
            "List what a schedule has started, the newest first",
            {200: "schedule-runs"},
            READS | {400, 404},
            (LIMIT, _BEFORE),
        )
    )
    async def runs(key: str) -> Response:
        calls.callers.let(TRANSACTIONS)
        section, _ = _found(host, key)
        limit = number("limit", 100, 1000)
        found = await _asked(section.starter.kept.history(key, _before(), limit))
        more = {"next": found[-1]["due"]} if len(found) == limit else {}
        return as_json({"runs": [_run(each) for each in found], **more})

    @api.add(
        Operation(
            "POST",
            "/schedules/<key>/runs",
            "run-schedule",
            "Start what a schedule starts, now",
            {202: "schedule-started"},
            READS | {404},
        )
    )
    async def now(key: str) -> Response:
        author = calls.callers.let(OPERATE)
        section, _ = _found(host, key)
        try:
            instance = await _asked(section.starter.start_now(key, author))
        except Fenced:
            raise Refusal(409, "It was started in the same moment.", "state") from None
        return as_json({"id": instance.id, "guid": instance.guid}, 202)


def _section(host: Host) -> Any:
    try:
        return host.section("schedules")
    except LookupError:
        return None


def _found(host: Host, key: str) -> tuple[Any, ScheduleSection]:
    section = _section(host)
    if section is None or key not in section.schedules:
        raise Refusal(404, f"There is no schedule {key[:200]!r}.", "missing")
    return section, section.schedules[key]


def _before() -> float | None:
    written = request.args.get("before")
    if written is None:
        return None
    try:
        found = float(written)
    except ValueError:
        found = -1.0
    if not 0 <= found < 1e12:
        raise Refusal(400, "before is the next of the page before.", "query")
    return found


def _told(host: Host, name: str, schedule: ScheduleSection, last: Any) -> dict[str, Any]:
    due = schedule.times.after(host.clock.wall(), NEXT) if schedule.enabled else []
    return {
        "name": name,
        "workflow": schedule.workflow,
        "cron": schedule.cron,
        "time_zone": schedule.time_zone,
        "enabled": schedule.enabled,
        "next": [schedule.times.shown(each) for each in due],
        "last": None if last is None else _run(last),
    }


def _run(row: Any) -> dict[str, Any]:
    return {
        "due": _time(row["due"]),
        "kind": row["kind"],
        "instance": row["instance"],
        "guid": row["guid"],
        "by": row["by"],
        "at": _time(row["at"]),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


async def _asked(question: Awaitable[T]) -> T:
    try:
        return await question
    except JournalAway as error:
        raise Refusal(409, f"Nothing is started here: {error}.", "no-store") from None
    except StoreError as error:
        raise Refusal(503, f"The store is away: {error}.", "away") from None
