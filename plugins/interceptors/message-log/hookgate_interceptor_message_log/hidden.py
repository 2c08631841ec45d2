"""What steps have asked to be hidden in this call (``exchange.hidden``): it is not written, whatever its name."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote_plus

from hookgate import MASK
from hookgate_interceptor_message_log.masking import Withheld


class Hidden:
    """The hidden places of one message; names compare without case."""

    def __init__(self, message: str, places: Sequence[str]) -> None:
        mine = [place.lower().removeprefix(f"{message}.") for place in places if place.startswith(f"{message}.")]
        self._headers = {place.removeprefix("headers.") for place in mine if place.startswith("headers.")}
        self._query = {place.removeprefix("query.") for place in mine if place.startswith("query.")}
        self._body = "body" in mine
        self._members = [place.split(".")[1:] for place in mine if place.startswith("body.")]

    def head(self, entry: dict[str, Any]) -> None:
        """Mask headers and parameters in a line."""
        for name in self._headers & entry["headers"].keys():
            entry["headers"][name] = MASK
        if self._query and entry.get("query"):
            entry["query"] = "&".join(map(self._pair, entry["query"].split("&")))

    def body(self, data: bytes, *, whole: bool) -> bytes:
        """Mask members of a body.

        Raises:
            Withheld: it is hidden, or members of it are and it cannot be known where they stand.
        """
        if self._body:
            raise Withheld("hidden by a step")
        if not self._members:
            return data
        try:
            value = json.loads(data if whole else b"")
            for member in self._members:
                _blot(value, member)
        except (ValueError, RecursionError):
            raise Withheld("holds what a step hides, and cannot be taken apart") from None
        return json.dumps(value, ensure_ascii=False).encode()

    def _pair(self, pair: str) -> str:
        name = pair.partition("=")[0]
        return f"{name}={MASK}" if unquote_plus(name).lower() in self._query else pair


def _blot(value: Any, member: Sequence[str]) -> None:
    """Put asterisks in the place of a member; ``*`` is every member, and numbers are items of lists."""
    first, *rest = member
    found: list[Any] = []
    if isinstance(value, list):
        found = [index for index in range(len(value)) if first in ("*", str(index))]
    elif isinstance(value, dict):
        found = [key for key in value if first in ("*", key.lower())]
    for key in found:
        if rest:
            _blot(value[key], rest)
        else:
            value[key] = MASK
