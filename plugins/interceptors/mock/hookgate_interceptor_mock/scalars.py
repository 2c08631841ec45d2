"""Numbers and texts as a schema says, each in several ways of which the first is the usual one."""

import math
import re
from collections.abc import Mapping
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

LONGEST = 100_000
"""Characters of a text that is made longer because its schema asks for it."""
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ann@example.org",
    "idn-email": "ann@example.org",
    "hostname": "www.example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://www.example.org/",
    "url": "https://www.example.org/",
    "uri-reference": "/example",
    "uuid": "3f0f4a52-6d2e-4f0c-9a53-1d2f6a8b7c90",
    "byte": "ZXhhbXBsZQ==",
    "json-pointer": "/example",
    "regex": ".*",
}
_FOR_PYTHON = (
    (re.compile(r"\(\?<(?![=!])"), "(?P<"),
    (re.compile(r"\\z"), r"\\Z"),
    (re.compile(r"\\u\{([0-9a-fA-F]+)\}"), lambda match: re.escape(chr(int(match[1], 16)))),
    (re.compile(r"\\p\{(?:Lu|Upper)\w*\}"), "A"),
    (re.compile(r"\\p\{(?:N|digit|Digit)\w*\}"), "1"),
    (re.compile(r"\\p\{\w+\}"), "a"),
    (re.compile(r"\\c([A-Za-z])"), lambda match: f"\\x{ord(match[1]) % 32:02x}"),
)
_WORD = {"category_digit": "1", "category_space": " ", "category_word": "a"}
_NOT = {"category_not_digit": "a", "category_not_space": "a", "category_not_word": "-"}


def number(schema: Mapping[str, Any], *, whole: bool, turn: int) -> float:
    """Return a number that a schema lets pass: 1 if that is one, and the next one on each turn."""
    low, above = _bound(schema, "minimum"), _bound(schema, "exclusiveMinimum")
    high, below = _bound(schema, "maximum"), _bound(schema, "exclusiveMaximum")
    step = _bound(schema, "multipleOf") or (1 if whole else None)

    def holds(value: float) -> bool:
        return (
            (low is None or value >= low)
            and (above is None or value > above)
            and (high is None or value <= high)
            and (below is None or value < below)
            and (not whole or float(value).is_integer())
        )

    least, most = max(_known(low, above), default=None), min(_known(high, below), default=None)
    starts = [1.0, *_known(least, most)]
    if least is not None and most is not None:
        starts.append((least + most) / 2)
    elif least is not None:
        starts.append(least + 1)
    elif most is not None:
        starts.append(most - 1)
    if step is not None:
        starts = [each for start in starts for each in _multiples(start, step, least, most)]
    found = [value for value in dict.fromkeys(starts) if holds(value)] or [1.0]
    value = found[0] if turn == 0 else found[0] + turn * (step or 1)
    if not holds(value):
        value = found[turn % len(found)]
    return int(value) if whole or float(value).is_integer() else value


def _multiples(start: float, step: float, least: float | None, most: float | None) -> list[float]:
    """Return multiples of a step that are near a number, counted so that no fraction gets lost."""
    try:
        first = math.ceil(round(start / step, 9))
    except (OverflowError, ValueError):
        return []
    return [(first + more) * step for more in (0, 1, -1, 2)]


def _known(*values: float | None) -> list[float]:
    return [value for value in values if value is not None]


def _bound(schema: Mapping[str, Any], word: str) -> float | None:
    value = schema.get(word)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def text(schema: Mapping[str, Any], turn: int = 0) -> str:
    """Return a text that a schema lets pass, another one on each turn."""
    least, most = _length(schema, "minLength") or 0, _length(schema, "maxLength")
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        return _matching(pattern, turn, least, most)
    found = _FORMATS.get(str(schema.get("format")), "string")
    if turn:
        found = f"{found}{turn}" if most is None or len(found) + len(str(turn)) <= most else f"{turn}{found}"
    if len(found) < least:
        found = (found * (min(least, LONGEST) // len(found) + 1))[: min(least, LONGEST)]
    return found if most is None else found[:most]


def _length(schema: Mapping[str, Any], word: str) -> int | None:
    value = _bound(schema, word)
    return None if value is None or value < 0 else int(value)


def _matching(pattern: str, turn: int, least: int, most: int | None) -> str:
    """Return a text that a pattern matches, as far as it can be read; of several the first that is long enough."""
    for written, ours in _FOR_PYTHON:
        pattern = written.sub(ours, pattern)
    try:
        parsed = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return "string"
    tries = [_Text(turn, more).of(parsed) for more in (0, 1, 2, 4, 8, 16, 32, max(least, 1), 2 * least)]
    fitting = [each for each in tries if len(each) >= least and (most is None or len(each) <= most)]
    found = (fitting or tries)[0]
    if len(found) < least and not pattern.endswith("$"):
        found += "a" * min(least - len(found), LONGEST)
    return found[:LONGEST]


class _Text:
    """Writes a text that a parsed pattern matches: of alternatives one by turns, of repetitions the least and more."""

    def __init__(self, turn: int, more: int) -> None:
        self._turn = turn
        self._more = more
        self._groups: dict[int, str] = {}

    def of(self, parsed: Any) -> str:
        return "".join(self._piece(kind, said) for kind, said in parsed)

    def _piece(self, kind: Any, said: Any) -> str:
        match str(kind).lower():
            case "literal":
                return chr(said)
            case "not_literal":
                return "a" if said != ord("a") else "b"
            case "any":
                return "a"
            case "in":
                return self._one_of(said)
            case "branch":
                return self.of(said[1][self._turn % len(said[1])])
            case "subpattern":
                found = self.of(said[3])
                if said[0] is not None:
                    self._groups[said[0]] = found
                return found
            case "groupref":
                return self._groups.get(said, "")
            case "max_repeat" | "min_repeat" | "possessive_repeat":
                least, most, inner = said
                times = min(least + self._more, LONGEST if most == _constants.MAXREPEAT else most)
                return "".join(self.of(inner) for _ in range(min(times, LONGEST)))
            case "atomic_group":
                return self.of(said)
        return ""  # anchors, and what looks around

    def _one_of(self, items: list[tuple[Any, Any]]) -> str:
        if str(items[0][0]).lower() == "negate":
            return next((chr(code) for code in (*range(97, 123), *range(32, 97)) if not _in(chr(code), items[1:])), "é")
        kind, said = items[self._turn % len(items)]
        match str(kind).lower():
            case "literal":
                return chr(said)
            case "range":
                return chr(min(said[0] + self._turn % 10, said[1]))
        return {**_WORD, **_NOT}.get(str(said).lower(), "a")


def _in(letter: str, items: list[tuple[Any, Any]]) -> bool:
    for kind, said in items:
        match str(kind).lower():
            case "literal":
                found = ord(letter) == said
            case "range":
                found = said[0] <= ord(letter) <= said[1]
            case _:
                name = str(said).lower()
                sets = {"digit": letter.isdigit(), "space": letter.isspace(), "word": letter.isalnum() or letter == "_"}
                found = sets.get(name.rpartition("_")[2], False) != ("not" in name)
        if found:
            return True
    return False
