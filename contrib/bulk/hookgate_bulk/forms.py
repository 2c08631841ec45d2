"""Schemas of what pages of bulks take and answer."""

from __future__ import annotations

from typing import Any

from hookgate_bulk.tables import ROW_STATUSES
from hookgate_management.pages import Parameter

_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
_MAYBE = {"type": ["string", "null"]}
_MAYBE_COUNT = {"type": ["integer", "null"]}
_LIST = {"type": "array", "items": {"type": "object"}}
ACTION = Parameter("action", "The bulk action; it has to be there.")
WHOLE: dict[str, Any] = {
    "type": "object",
    "required": ["id", "guid", "status", "rows", "stats"],
    "properties": {
        **dict.fromkeys(("id", "rows", "parallel"), _COUNT),
        **dict.fromkeys(("guid", "action", "route", "method", "workflow", "status", "reason"), _TEXT),
        **dict.fromkeys(("owner", "created", "closed"), _MAYBE),
        "sequence_timeout": {"type": ["number", "null"]},
        "stop_on_error": {"type": "boolean"},
        "stats": {
            "type": "object",
            "description": "How many rows have which status; they add up to `rows`.",
            "properties": dict.fromkeys(ROW_STATUSES, _COUNT),
        },
    },
}
PAGE = {
    "type": "object",
    "required": ["bulks"],
    "properties": {
        "bulks": {"type": "array", "items": WHOLE},
        "next": {**_COUNT, "description": "`before` of the next page, if any."},
    },
}
ROW_PAGE = {
    "type": "object",
    "required": ["rows"],
    "properties": {
        "rows": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["row", "status"],
                "properties": {
                    **dict.fromkeys(("row", "attempt"), _COUNT),
                    **dict.fromkeys(("line", "instance"), _MAYBE_COUNT),
                    "original": {},
                    "status": {"enum": [*ROW_STATUSES]},
                    "trace": _LIST,
                    "response": {"description": "What the instance has put under `*response*`."},
                    **dict.fromkeys(("guid", "started", "ended"), _MAYBE),
                },
            },
        },
        "next": {**_COUNT, "description": "`after` of the next page, if any."},
    },
}
STARTED = {
    "type": "object",
    "required": ["bulk_id", "guid", "rows", "invalid"],
    "properties": {**dict.fromkeys(("bulk_id", "rows", "invalid"), _COUNT), "guid": _TEXT},
}
CHECKED = {
    "type": "object",
    "required": ["rows", "valid", "invalid", "problems"],
    "properties": {
        **dict.fromkeys(("rows", "valid", "invalid"), _COUNT),
        "first": {"description": "The first valid row as it is converted."},
        "problems": {**_LIST, "description": "The first 100 rows that are invalid."},
    },
}
ACTED = {
    "type": "object",
    "required": ["id", "status"],
    "properties": {"id": _COUNT, "status": _TEXT, "rows": {**_COUNT, "description": "How many run again."}},
}
EVENTS = {"type": "string", "description": "Server-sent events `bulk`, whose data is a bulk."}
WANTED = {
    "type": "object",
    "properties": {"rows": {"type": "array", "items": _COUNT, "description": "Numbers of rows; all if left out."}},
}
