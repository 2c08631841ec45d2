"""Where values stand in JSON, forms and text, and what is put there instead.

What is not masked stays as it was, to the byte: numbers keep their digits and names their escapes.
"""

import json
import re
from collections.abc import Callable, Sequence
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from hookgate import MASK

Path = tuple[str, ...]
Blot = Callable[[Any], str | None]
"""Returns what is put in the place of a value; ``None`` takes it out."""

_STEP = re.compile(r"\.?([^.\[\]\"'*\s]+|\*)|\[(\d+|\*)\]")
_BLANK = re.compile(r"[ \t\n\r]*")
_DEEPEST = 100


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=_no_number)


def path(text: str) -> Path:
    """Take a path such as ``a.b[0]`` or ``orders[*].card`` apart; names in lower case.

    Raises:
        ValueError: it is none.
    """
    steps: list[str] = []
    at = 0
    while at < len(text):
        found = _STEP.match(text, at)
        if found is None or (found[0][0] == "." if at == 0 else found[0][0] not in ".["):
            break
        steps.append((found[1] or found[2]).lower())
        at = found.end()
    if at < len(text) or not steps:
        raise ValueError(f"{text!r} is no place in JSON: write names and indices, like card.number, items[0] or a.*.b")
    return tuple(steps)


class Unreadable(Exception):
    """A body in which the places cannot be found for sure."""


def in_json(text: str, paths: Sequence[Path], blot: Blot) -> str:
    """Mask the members at some paths. Names compare without case; of a repeated member each is masked.

    Raises:
        Unreadable: it is no JSON, or nested too deeply.
    """
    try:
        start = _blanks(text, 0)
        found, end = _value(text, start, list(paths), blot, 0)
        if _blanks(text, end) < len(text):
            raise ValueError("there is more behind it")
    except (ValueError, IndexError, RecursionError):
        raise Unreadable("it is not the JSON it should be") from None
    return text[:start] + found + text[end:]


def _blanks(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    assert match is not None, "it matches nothing, too"
    return match.end()


def _value(text: str, at: int, paths: list[Path], blot: Blot, depth: int) -> tuple[str, int]:
    opening = text[at]
    if not paths or opening not in "{[":
        end = _DECODER.raw_decode(text, at)[1]
        return text[at:end], end
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    closing = "}" if opening == "{" else "]"
    members: list[str] = []
    at, number = _blanks(text, at + 1), 0
    if text[at] == closing:
        return opening + closing, at + 1
    while True:
        key, start = str(number), at
        if opening == "{":
            if text[at] != '"':
                raise ValueError("a name is needed")
            key, at = scanstring(text, at + 1, True)
            at = _blanks(text, at)
            if text[at] != ":":
                raise ValueError("a colon is needed")
            at = _blanks(text, at + 1)
        head = text[start:at]
        inside = [each[1:] for each in paths if each[0] in ("*", key.lower())]
        if () in inside:
            value, at = _DECODER.raw_decode(text, at)
            put = blot(value)
            if put is not None:
                members.append(head + json.dumps(put, ensure_ascii=False))
        else:
            member, at = _value(text, at, inside, blot, depth + 1)
            members.append(head + member)
        at = _blanks(text, at)
        if text[at] == closing:
            return opening + ",".join(members) + closing, at + 1
        if text[at] != ",":
            raise ValueError("a comma is needed")
        at, number = _blanks(text, at + 1), number + 1


def in_pairs(text: str, names: frozenset[str], blot: Blot) -> str:
    """Mask parameters of a query or fields of a form, by their names in lower case."""
    kept: list[str] = []
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if unquote_plus(name).lower() in names:
            put = blot(unquote_plus(value))
            if put is not None:
                kept.append(f"{name}={quote_plus(put, safe='*')}")
        else:
            kept.append(pair)
    return "&".join(kept)


def in_text(text: str, patterns: Sequence[re.Pattern[str]], blot: Blot) -> str:
    """Mask what fits one of the patterns: their groups where they have any, else all of it."""

    def masked(match: re.Match[str]) -> str:
        made, at = "", match.start()
        spans = [match.span(group) for group in range(1, match.re.groups + 1)] or [match.span()]
        for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
            if start >= at and end > start:  # a group that took part, and is not inside the one before
                made += match.string[at:start] + (blot(match.string[start:end]) or "")
                at = end
        return made + match.string[at : match.end()]

    for pattern in patterns:
        text = pattern.sub(masked, text)
    return text


def blotting(keep_last: int) -> Blot:
    """Put asterisks in the place of values, and behind them the last characters of those that are long enough."""

    def blot(value: Any) -> str:
        if keep_last and isinstance(value, str) and len(value) >= 2 * keep_last:
            return MASK + value[-keep_last:]
        return MASK

    return blot


def removing(value: Any) -> None:
    """Take values out."""
