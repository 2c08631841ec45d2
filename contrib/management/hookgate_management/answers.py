"""Answers of the API: JSON that nobody keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from quart import Response


def as_json(
    told: Any, status: int = 200, headers: Mapping[str, str] | None = None, content_type: str = "application/json"
) -> Response:
    """Return something as JSON."""
    response = Response(orjson.dumps(told), status, content_type=content_type)
    response.headers["Cache-Control"] = "no-store"
    for name, value in (headers or {}).items():
        response.headers[name] = value
    return response
