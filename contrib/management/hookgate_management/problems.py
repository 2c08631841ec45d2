"""What a caller of the API is told: RFC 9457, with pointers (RFC 6901) to what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from quart import Response

from hookgate_management.answers import as_json

Path = tuple[str | int, ...]


class Refusal(Exception):
    """A call that ends in a problem document; nothing is changed."""

    def __init__(
        self, status: int, detail: str, kind: str = "", errors: Iterable[dict[str, Any]] = (), **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.errors, self.more = status, kind, list(errors), more

    def answer(self) -> Response:
        """Return the problem document."""
        told: dict[str, Any] = {
            "type": f"urn:hookgate:problem:{self.kind}" if self.kind else "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": str(self),
            **self.more,
        }
        if self.errors:
            told["errors"] = self.errors
        return as_json(told, self.status, content_type="application/problem+json")


def pointer(path: Path) -> str:
    """Write a path as a JSON pointer."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
