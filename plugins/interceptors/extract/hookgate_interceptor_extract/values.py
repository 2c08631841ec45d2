"""Values as facts: plain, of a bounded size, or none at all; and values taken out of JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

ABSENT: Any = None
"""What is null adds no fact."""


def plain(value: Any, longest: int) -> Any:
    """Return a value as a fact: text is cut, and what cannot be shown as JSON of that length is absent."""
    if isinstance(value, str):
        return value if len(value) <= longest else value[: longest - 1] + "…"
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ABSENT
    if isinstance(value, int):
        return value if value.bit_length() <= 1024 else ABSENT
    if isinstance(value, set):
        value = sorted(value, key=str)
    if isinstance(value, list | dict):
        try:
            return value if len(json.dumps(value, ensure_ascii=False, allow_nan=False)) <= longest else ABSENT
        except (TypeError, ValueError, RecursionError):
            return ABSENT
    return ABSENT


def pointer(text: str) -> tuple[str, ...]:
    """Take a JSON Pointer apart (RFC 6901).

    Raises:
        ValueError: it is none.
    """
    if text and not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON Pointer; write /order/id, or an empty text for the whole body")
    if "~" in text.replace("~0", "").replace("~1", ""):
        raise ValueError(f"{text!r} is no JSON Pointer; in one, ~ is written ~0 and / in a name is written ~1")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def follow(document: Any, steps: tuple[str, ...]) -> Any:
    """Return what a pointer names; absent where there is nothing."""
    for step in steps:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and _is_index(step) and int(step) < len(document):
            document = document[int(step)]
        else:
            return ABSENT
    return document


def _is_index(step: str) -> bool:
    return step.isascii() and step.isdigit() and len(step) < 10 and (step == "0" or step[0] != "0")


class JsonCopy:
    """A sink for a body: copies up to a bound, and hands over the facts when the whole body was JSON and no longer."""

    def __init__(self, pointers: Mapping[str, tuple[str, ...]], most: int, found: Callable[[str, Any], None]) -> None:
        self._pointers = pointers
        self._room = most
        self._kept: bytearray | None = bytearray()
        self._found = found

    def write(self, chunk: bytes) -> None:
        """Copy a chunk."""
        if self._kept is not None:
            self._room -= len(chunk)
            if self._room < 0:
                self._kept = None
            else:
                self._kept += chunk

    def close(self, complete: bool) -> None:
        """Look into what was copied, if that is all of the body."""
        kept, self._kept = self._kept, None
        if not complete or not kept:
            return
        try:
            document = json.loads(kept)
        except (ValueError, RecursionError):
            return
        for name, steps in self._pointers.items():
            self._found(name, follow(document, steps))
