"""From a trace to a row: the facts that traces are found by, and the whole of it as JSON."""

import json
import re
from collections.abc import Mapping
from typing import Any

Told = Mapping[str, Any]
"""What ``exchange.trace.as_dict()`` gives: plain data in which secrets are masked already."""
Row = dict[str, Any]

FACTS: tuple[str, ...] = (
    "id",
    "time",
    "method",
    "path",
    "status",
    "route",
    "api",
    "version",
    "application",
    "environment",
    "request_id",
    "trace_id",
    "outcome",
    "milliseconds",
    "reason",
    "fault",
)
"""Columns beside ``number``, ``bytes`` and ``document``, and what lists of traces show. ``reason`` says why the call
was traced, ``fault`` the reason of its last fault; ``time`` is when it came, in Unix time."""

_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""W3C Trace Context, 3.2; versions to come may add more after a dash."""
_OUTLINE = ("id", "reason", "time", "seconds", "generation", "environment", "application", "plan", "fault", "outcome")


def row_of(trace: Told, most: int) -> Row:
    """Take the facts out of a trace and write it as JSON of ``most`` bytes or fewer.

    Raises:
        TypeError, ValueError, RecursionError, RuntimeError: a step has left something in it that is no plain data.
    """
    api, response, fault = trace["api"] or {}, trace["response"], trace["fault"]
    headers = [(name.lower(), value) for name, value in trace["request"]["headers"]]
    facts = {
        "id": trace["id"],
        "time": trace["time"],
        "method": trace["request"]["method"],
        "path": trace["request"]["path"],
        "status": None if response is None else response["status"],
        "route": None if trace["route"] is None else trace["route"]["name"],
        "api": api.get("name"),
        "version": api.get("version"),
        "application": trace["application"],
        "environment": trace["environment"],
        "request_id": next((value for name, value in headers if name == "x-request-id"), None),
        "trace_id": _trace_id([value for name, value in headers if name == "traceparent"]),
        "outcome": trace["outcome"],
        "milliseconds": round(trace["seconds"] * 1000, 3),
        "reason": trace["reason"],
        "fault": None if fault is None else fault["reason"],
    }
    document = _document(trace, most)
    row = {name: _storable(value) for name, value in facts.items()}
    return {**row, "bytes": len(document), "document": document}


def _trace_id(values: list[str]) -> str | None:
    """Return the id of the trace in the one well-formed ``traceparent``, if there is one."""
    match = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    return None if match is None or (match[1] == "00" and match[3] is not None) else match[2]


def _storable(value: Any) -> Any:
    """Replace halves of surrogate pairs, which no file takes."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _document(trace: Told, most: int) -> str:
    """Write a trace as JSON, which is ASCII; one that is too long goes without differences, or as an outline."""
    written = _json(trace)
    if len(written) > most:
        hooks = [{**run, "changes": []} for run in trace["hooks"]]
        written = _json({**trace, "shortened": True, "hooks": hooks})
    if len(written) > most:
        request, response = trace["request"], trace["response"]
        written = _json(
            {
                **{name: trace[name] for name in _OUTLINE},
                "shortened": True,
                "request": {**request, "path": request["path"][:1000], "query": "", "headers": []},
                "response": None if response is None else {**response, "headers": []},
                **dict.fromkeys(("route", "api", "identity", "answered_by")),
                **{name: [] for name in ("hooks", "notes", "callouts", "attempts")},
                **{name: {} for name in ("facts", "params")},
            }
        )
    return written


def _json(value: Any) -> str:
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except (TypeError, ValueError):  # keys that are no text, or numbers that JSON does not have
        return json.dumps(_plain(value), default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return str(value)
    return value
