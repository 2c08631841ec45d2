"""Pages about usage: export by period and names, and the preview of an invoice."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from datetime import UTC, date, datetime

from quart import Response, request

from hookgate import Host
from hookgate_management.pages import (
    ADMIN,
    ASKS,
    LIMIT,
    Calls,
    Operation,
    Operations,
    Parameter,
    Refusal,
    as_json,
    current,
    number,
)
from hookgate_management.spreadsheets import write_csv
from hookgate_usage.folding import NAMES, NUMBERS
from hookgate_usage.invoices import LINE, invoice
from hookgate_usage.keeping import Question, Row, TooMuch
from hookgate_usage.observer import UsageObserver, usage_of
from hookgate_usage.prices import Prices

MONETIZATION, STATISTICS = "monetization", "statistics"
"""Permissions to see the usage of all (KC-84); publishers have them. Invoices take the first one."""
MOST_ON_PAGE, MOST_VALUES, LONGEST_RANGE = 1000, 100, 800
CSV = "text/csv"
_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_MAYBE = {"type": ["string", "null"]}
_AMOUNT = {**_MAYBE, "description": "A decimal number; null where the tier has no price."}
_ROW = {
    "type": "object",
    "required": ["period", *NUMBERS],
    "properties": {
        "period": {**_TEXT, "description": "A day, `2026-11-30`, or a month, `2026-11`, by UTC."},
        **dict.fromkeys(NAMES, _TEXT),
        **dict.fromkeys(NUMBERS, _COUNT),
    },
}
_USAGE = {
    "type": "object",
    "required": ["from", "to", "rows"],
    "properties": {
        "from": {**_TEXT, "description": "The first day."},
        "to": {**_TEXT, "description": "The day behind the last one."},
        "rows": {"type": "array", "items": _ROW},
        "next": {**_COUNT, "description": "`after` of the next page, if any."},
    },
}
_LINE = {
    "type": "object",
    "required": ["subscription", "tier", "key_type", "apis", "calls", "faults", "refused", "billed", "amount"],
    "properties": {
        **dict.fromkeys(("subscription", "tier", "key_type"), _TEXT),
        "apis": {"type": "array", "items": _TEXT},
        **dict.fromkeys(("calls", "faults", "refused"), _COUNT),
        "billed": {"type": ["integer", "null"], "description": "Calls that cost something each."},
        "currency": _MAYBE,
        "flat": _AMOUNT,
        "variable": _AMOUNT,
        "amount": _AMOUNT,
    },
}
_INVOICE = {
    "type": "object",
    "required": ["application", "month", "lines", "totals"],
    "properties": {
        "application": _TEXT,
        "month": _TEXT,
        "lines": {"type": "array", "items": _LINE},
        "totals": {"type": "object", "description": "By currency.", "additionalProperties": _TEXT},
    },
}
_DAY, _MONTH = {"type": "string", "format": "date"}, {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}
_WRITTEN_MONTH = re.compile(r"\A[0-9]{4}-[0-9]{2}\Z")
ASKED = (
    Parameter("from", "The first day, such as `2026-11-01`; the first one of this month if left out.", _DAY),
    Parameter("to", "The day behind the last one; tomorrow if left out.", _DAY),
    Parameter("period", "Whether days or months are told apart.", {"enum": ["day", "month"]}),
    Parameter("by", f"What is told apart, by commas: {', '.join(NAMES)}; all of it if left out."),
    *(Parameter(name, f"Only usage of this {name}; any of several.", repeats=True) for name in NAMES),
    Parameter("format", "How it is written; CSV has all rows at once.", {"enum": ["json", "csv"]}),
    LIMIT,
    Parameter("after", "The `next` of the page before.", {"type": "integer", "minimum": 0}),
)
OF_INVOICE = (
    Parameter("application", "Whose usage it is; it has to be there."),
    Parameter("month", "Such as `2026-11`; this month if left out.", _MONTH),
)


def usage_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {"api.usage": _USAGE, "api.invoice": _INVOICE}

    @api.add(
        Operation(
            "GET",
            "/usage",
            "usage",
            "Export what subscriptions have used",
            {200: "usage"},
            ASKS | {400, 409, 422},
            ASKED,
            other_media=(CSV,),
            of_tenants=True,
        )
    )
    async def page() -> Response:
        own, has = _whose(calls, MONETIZATION, STATISTICS)
        today = datetime.fromtimestamp(host.clock.wall(), UTC).date()
        since = _date("from", today.replace(day=1))
        until = _date("to", date.fromordinal(today.toordinal() + 1))
        if not 0 < (until - since).days <= LONGEST_RANGE:
            raise Refusal(400, f"from is before to, and at most {LONGEST_RANGE} days.", "invalid")
        by = tuple(dict.fromkeys(filter(None, request.args.get("by", ",".join(NAMES)).split(","))))
        if strange := sorted(set(by) - set(NAMES)):
            raise Refusal(400, f"by={strange[0][:50]}: it may be {', '.join(NAMES)}.", "invalid")
        period, form = _choice("period", "day", "month"), _choice("format", "json", "csv")
        where = {name: request.args.getlist(name) for name in NAMES if name in request.args}
        if any(len(values) > MOST_VALUES or "\0" in "".join(values) for values in where.values()):
            raise Refusal(400, f"A name takes up to {MOST_VALUES} values, without NUL.", "invalid")
        question = Question(_unix(since), _unix(until), where, by, months=period == "month")
        rows = await _asked(_observer(host), question, own, has)
        if form == "csv":
            text = io.StringIO()
            write_csv(text, ("period", *by, *NUMBERS), (each.told(by) for each in rows))
            answer = Response(text.getvalue(), 200, content_type=f"{CSV}; charset=utf-8")
            answer.headers["Cache-Control"] = "no-store"
            answer.headers["Content-Disposition"] = f'attachment; filename="usage-{since}-{until}.csv"'
            return answer
        limit, after = number("limit", 100, MOST_ON_PAGE), number("after", 0, 2**31, 0)
        more = {"next": after + limit} if after + limit < len(rows) else {}
        told = [each.told(by) for each in rows[after : after + limit]]
        return as_json({"from": str(since), "to": str(until), "rows": told, **more})

    @api.add(
        Operation(
            "GET",
            "/usage/invoice",
            "invoice",
            "Preview the invoice of an application for a month, by the prices that there are now",
            {200: "invoice"},
            ASKS | {400, 409, 422},
            OF_INVOICE,
            of_tenants=True,
        )
    )
    async def preview() -> Response:
        own, has = _whose(calls, MONETIZATION)
        application = request.args.get("application", "")
        if not application or "\0" in application:
            raise Refusal(400, "application: name the one whose invoice it is.", "invalid")
        month = request.args.get("month") or f"{datetime.fromtimestamp(host.clock.wall(), UTC):%Y-%m}"
        try:
            first = date.fromisoformat(f"{month}-01") if _WRITTEN_MONTH.match(month) else None
        except ValueError:
            first = None
        if first is None or not 1970 <= first.year < 9999:
            raise Refusal(400, f"month={month[:50]} is no month: write it as 2026-11.", "invalid")
        behind = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        where = {"application": [application]}
        question = Question(_unix(first), _unix(behind), where, LINE, months=True)
        rows = await _asked(_observer(host), question, own, has)
        return as_json(invoice(application, month, rows, host.section("prices", Prices).prices))


async def _asked(
    observer: UsageObserver, question: Question, own: str | None, has: Callable[[str], bool] | None
) -> list[Row]:
    try:
        return await observer.ask(question, own, has)
    except TooMuch:
        raise Refusal(422, "That is too much at once: ask for less time, or tell less apart.", "too-much") from None


def _whose(calls: Calls, *permissions: str) -> tuple[str | None, Callable[[str], bool] | None]:
    """Return whose usage the caller may see: of one owner or of all, and in a tenant the names that it has.

    Raises:
        Refusal: nobody whom we know, or somebody of the document who may not see it.
    """
    caller, scope = calls.callers.caller(), current.get()
    has = None if scope is None else scope.has
    if {ADMIN, *permissions} & caller.permissions:
        return None, has
    if caller.person is None:
        calls.callers.let(permissions[0])
    return caller.name, has


def _observer(host: Host) -> UsageObserver:
    found = usage_of(host)
    if found is None:
        raise Refusal(409, "No usage is counted: write gateway: {observers: [usage]}.", "no-usage")
    return found


def _date(name: str, otherwise: date) -> date:
    written = request.args.get(name)
    if written is None:
        return otherwise
    try:
        found = date.fromisoformat(written) if len(written) == 10 else None
    except ValueError:
        found = None
    if found is None or found.year < 1970:
        raise Refusal(400, f"{name}={written[:50]} is no day: write it as 2026-11-30.", "invalid")
    return found


def _choice(name: str, *choices: str) -> str:
    written = request.args.get(name, choices[0])
    if written not in choices:
        raise Refusal(400, f"{name} is {' or '.join(choices)}.", "invalid")
    return written


def _unix(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
