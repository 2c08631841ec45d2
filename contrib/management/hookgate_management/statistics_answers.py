"""Schemas of answers about statistics, for the description of the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookgate_statistics import DIMENSIONS

_COUNT = {"type": "integer", "minimum": 0}
_NUMBERS = ("calls", "client_errors", "server_errors", "aborted", "bytes_received", "bytes_sent")
_LATENCY = {"type": ["number", "null"], "description": "Seconds, exact to 2 %; null without any call."}
_ROW = {
    "type": "object",
    "required": [*_NUMBERS, "seconds", "p50", "p90", "p99"],
    "properties": {
        "start": {**_COUNT, "description": "Unix time, of a series."},
        **{name: {"type": "string", "description": "Where it was asked for in `by`."} for name in DIMENSIONS},
        **dict.fromkeys(_NUMBERS, _COUNT),
        "seconds": {"type": "number", "description": "Sum of how long the calls took."},
        **dict.fromkeys(("p50", "p90", "p99"), _LATENCY),
    },
}
STATISTICS: Mapping[str, Any] = {
    "api.statistics": {
        "type": "object",
        "required": ["from", "to", "resolution", "rows"],
        "properties": {
            "from": {**_COUNT, "description": "Where the first row of the range begins, Unix time."},
            "to": {**_COUNT, "description": "Where the range ends, Unix time."},
            "resolution": {"enum": [60, 3600, 86400], "description": "Seconds."},
            "rows": {"type": "array", "items": _ROW},
            "next": {**_COUNT, "description": "`after` of the next page, if any."},
        },
    }
}
