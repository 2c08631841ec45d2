"""What people see of an instance."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson


def shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return what people see of an instance: what it was asked, what it knows, its tasks, calls and documents."""
    return {
        **listed(row),
        "request": orjson.loads(row["request"]),
        "context": orjson.loads(row["context"]),
        "errors": orjson.loads(row["errors"]),
        "tasks": [_task(each) for each in row["cells"]],
        "calls": [_call(each) for each in row.get("calls", ())],
        "documents": [
            {name: each[name] for name in ("name", "media_type", "description")} for each in row["documents"]
        ],
    }


def listed(row: Any) -> dict[str, Any]:
    """Return what a list shows of an instance."""
    plain = ("id", "guid", "workflow", "label", "route", "method", "owner", "status", "request_status", "reason")
    times = {name: time_of(row[name]) for name in ("created", "updated", "closed")}
    return {**{name: row[name] for name in plain}, "waits_for": row["waits"] or None, "parent": row["parent"], **times}


def _task(row: Any) -> dict[str, Any]:
    ended = row["ended"]
    return {
        "number": row["number"],
        "cell": row["cell"],
        "node": row["node"],
        "status": row["status"],
        "output": row["output"] or None,
        "attempt": row["attempt"],
        "started": time_of(row["started"]),
        "seconds": None if ended is None else round(ended - row["started"], 6),
        "input": orjson.loads(row["given"]),
        "changes": orjson.loads(row["changes"]),
        "messages": orjson.loads(row["messages"]),
        "error": row["error"] or None,
    }


def _call(row: Any) -> dict[str, Any]:
    names = ("number", "method", "url", "host", "connection", "status")
    told = {name: row[name] for name in names}
    return {**told, "error": row["error"] or None, "at": time_of(row["at"]), "seconds": round(row["seconds"], 6)}


def time_of(seconds: float | None) -> str | None:
    """Return a Unix time as RFC 3339 has it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
