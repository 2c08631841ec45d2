"""The page about statistics: all of them for who may see them, of the own calls for everybody else of the store."""

from __future__ import annotations

import time

from quart import Response, request

from hookgate import Host
from hookgate_management.answers import as_json
from hookgate_management.asking import unix_time
from hookgate_management.callers import ADMIN, STATISTICS, Callers
from hookgate_management.calls import flag, number
from hookgate_management.operations import ASKS, LIMIT, Operation, Operations, Parameter
from hookgate_management.problems import Refusal
from hookgate_management.tenancy import current
from hookgate_statistics import DIMENSIONS, OTHER, Question, TooMuch, statistics_of

RESOLUTIONS = {"minute": 60, "hour": 3600, "day": 86400}
MOST_ON_PAGE = 1000
MOST_VALUES = 100
_TIME = {"type": "number", "minimum": 0}
ASKED = (
    Parameter("from", "Unix time; an hour ago if left out.", _TIME),
    Parameter("to", "Unix time that is not included any more; now if left out.", _TIME),
    Parameter("by", f"Dimensions that are told apart, by commas: {', '.join(DIMENSIONS)}."),
    Parameter("resolution", "Which counts are read; chosen by the time if left out.", {"enum": [*RESOLUTIONS, "auto"]}),
    Parameter("series", "Tell each minute, hour or day apart.", {"type": "boolean"}),
    *(Parameter(name, f"Only calls of this {name}; any of several.", repeats=True) for name in DIMENSIONS),
    LIMIT,
    Parameter("after", "The `next` of the page before.", {"type": "integer", "minimum": 0}),
)


def statistics(api: Operations, callers: Callers, host: Host) -> None:
    """Add the page."""
    about = "Count calls by time, API, application, user and more"
    operation = Operation("GET", "/statistics", "statistics", about, {200: "statistics"}, ASKS | {400, 409, 422}, ASKED)

    @api.add(operation)
    async def page() -> Response:
        own = _own(callers)
        observer = statistics_of(host)
        if observer is None:
            raise Refusal(409, "Nothing is counted: write gateway: {observers: [statistics]}.", "no-statistics")
        until = unix_time("to", time.time())
        since = unix_time("from", until - 3600)
        if since >= until:
            raise Refusal(400, "from is not before to.", "invalid")
        by = tuple(dict.fromkeys(filter(None, request.args.get("by", "").split(","))))
        if strange := sorted(set(by) - set(DIMENSIONS)):
            raise Refusal(400, f"by={strange[0][:50]}: it may be {', '.join(DIMENSIONS)}.", "invalid")
        chosen = request.args.get("resolution", "auto")
        if chosen not in {*RESOLUTIONS, "auto"}:
            raise Refusal(400, "resolution is minute, hour, day or auto.", "invalid")
        series = flag("series")
        where = {name: request.args.getlist(name) for name in DIMENSIONS if name in request.args}
        if any(len(values) > MOST_VALUES or "\0" in "".join(values) for values in where.values()):
            raise Refusal(400, f"A dimension takes up to {MOST_VALUES} values, without NUL.", "invalid")
        scope = current.get()
        if scope is not None:
            if "target" in (*by, *where):
                raise Refusal(403, "Targets are for people of no tenant.", "forbidden")
            for name in {"user", "application"} & where.keys():
                where[name] = [value for value in where[name] if scope.has(value)]
        limit, after = number("limit", 100, MOST_ON_PAGE), number("after", 0, 2**31, 0)
        step = RESOLUTIONS.get(chosen) or observer.resolution(since, until)
        question = Question(since, until, by, where, step, series)
        try:
            answers = await observer.ask(question, own, None if scope is None else scope.has)
        except TooMuch:
            raise Refusal(
                422, "That is too much at once: ask for less time, or a coarser resolution.", "too-much"
            ) from None
        told = {"from": question.bounds[0], "to": question.bounds[1], "resolution": step}
        rows = [each.told(by) for each in answers[after : after + limit]]
        more = {"next": after + limit} if after + limit < len(answers) else {}
        return as_json({**told, "rows": rows, **more})


def _own(callers: Callers) -> str | None:
    """Return whose calls the caller may see; ``None`` for all (KC-84).

    Raises:
        Refusal: nobody whom we know, or somebody of the document who may not see them.
    """
    caller = callers.caller()
    if {ADMIN, STATISTICS} & caller.permissions:
        return None
    if caller.person is None or caller.name == OTHER:
        callers.let(STATISTICS)
    return caller.name
