"""What people see of bulks and their rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

NAMES = ("id", "guid", "action", "route", "method", "owner", "workflow", "status", "reason", "rows", "stats")


def bulk_told(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown of a bulk. Its ``stats`` say how many rows have which status, and add up to ``rows``."""
    return {
        **{name: row[name] for name in NAMES},
        "parallel": row["parallel"],
        "sequence_timeout": row["sequence_timeout"],
        "stop_on_error": bool(row["stop_on_error"]),
        "created": _time(row["created"]),
        "closed": _time(row["closed"]),
    }


def row_told(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is shown of a row: what it was, and what came of it."""
    return {
        "row": row["row"],
        "line": row["line"] or None,
        "original": orjson.loads(row["original"]),
        "status": row["status"],
        "trace": orjson.loads(row["trace"]),
        "instance": row["instance"],
        "guid": row["guid"],
        "attempt": row["attempt"],
        "response": orjson.loads(row["response"]),
        "started": _time(row["started"]),
        "ended": _time(row["ended"]),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
