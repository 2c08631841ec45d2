"""Bounds on what callers send, and on the names that may stand in a path."""

from __future__ import annotations

from typing import Any

from quart import Blueprint, Request, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge

from hookgate_management.problems import Refusal
from hookgate_storage import Change, checked, is_other_path

LONGEST = 1024 * 1024
"""Bytes of a body."""
LONGEST_BULK = 16 * 1024 * 1024
"""Bytes of a body that is about many objects."""
BULK = frozenset({"apply", "plan", "apply-plan", "drafts/deploy"})


class Bounds:
    """How long bodies may be, by page."""

    def __init__(self, longest: int, longest_bulk: int) -> None:
        self._longest, self._bulk = longest, max(longest, longest_bulk)

    def of(self, path: str) -> int:
        """Return how many bytes a body may have."""
        return self._bulk if path.partition("/api/")[2] in BULK else self._longest

    def put_on(self, blueprint: Blueprint) -> None:
        """Have pages refuse longer bodies, and paths with a slash in a name."""

        @blueprint.record
        def bounded(state: Any) -> None:
            prefix, base, bounds = f"{state.url_prefix or ''}/api/", state.app.request_class, self

            class Bounded(base):  # type: ignore[misc, valid-type]
                def __init__(self, method: str, scheme: str, path: str, *rest: Any, **more: Any) -> None:
                    if path.startswith(prefix):
                        more["max_content_length"] = bounds.of(path)
                    super().__init__(method, scheme, path, *rest, **more)

            assert issubclass(Bounded, Request)
            state.app.request_class = Bounded

        @blueprint.errorhandler(RequestEntityTooLarge)
        async def too_large(error: RequestEntityTooLarge) -> Response:
            most, told = self.of(request.path), f"A body has at most {self.of(request.path):,} bytes here"
            if most < self._bulk:
                what = "send several objects with POST /-/api/apply, or raise `longest_body` of the app management"
            else:
                what = "send it in parts, or raise `longest_bulk` of the app management"
            return Refusal(413, f"{told}: {what}.", "too-large").answer()

        @blueprint.app_errorhandler(MethodNotAllowed)
        @blueprint.app_errorhandler(NotFound)
        async def nowhere(error: HTTPException) -> Any:
            written = request.scope.get("raw_path", b"").lower()
            if "/-/api/" not in request.path or b"%2f" not in written:
                return error
            detail = "A name in the path has a slash, which no name of an object, of a user or of a role has."
            return Refusal(422 if request.method in ("PUT", "PATCH", "POST") else 404, detail, "name").answer()


def let_name(kind: str, name: str) -> None:
    """Refuse names that are none, and those that some clients and gateways would make another path of.

    Raises:
        Refused: the store would not have it.
        Refusal: it has a slash, or a part of dots only, up to a backslash or a semicolon.
    """
    checked(Change(kind, name, None))
    if "/" in name:
        raise Refusal(422, f"{name[:200]!r} is no name of an object: it has a slash.", "invalid")
    if is_other_path(name):
        raise Refusal(422, f"{name!r} is no name of an object: in a path it stands for another one.", "invalid")
