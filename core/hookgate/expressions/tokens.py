"""From text to tokens, one at a time, so that of several mistakes the first one is told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

Kind = Literal["sign", "word", "variable", "value", "end"]


class ExpressionError(ValueError):
    """An expression that cannot be used, since its text is wrong, or cannot be evaluated over this call."""


class Token(NamedTuple):
    """A piece of the text that means something."""

    kind: Kind
    text: str
    """A sign or a word as written; the name of a variable without its ``#``; empty at the end."""
    value: Any
    """Of a literal."""
    at: int
    """Where it begins, counted from 0."""


_TOKEN = re.compile(
    r"""
      (?P<space> [ \t\r\n]+ )
    | (?P<number> [0-9]+ (?: \. [0-9]+ )? (?: [eE] [+-]? [0-9]+ )? )
    | (?P<word> [A-Za-z_] [A-Za-z0-9_]* )
    | \# (?P<variable> [A-Za-z_] [A-Za-z0-9_]* )
    | (?P<sign> \#\{ | :\[ | \*\* | // | && | \|\| | [=!<>:]= | << | >> | [-+*/%<>!?:.,()\[\]{}=&|^~@\#$;] )
    """,
    re.VERBOSE,
)
_ESCAPES = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t"}
_UNICODE = re.compile(r"u([0-9A-Fa-f]{4})")


def place(text: str, at: int) -> str:
    """Say where something stands: ``column 9``, or ``line 2, column 3`` where there are several lines."""
    column = at - text.rfind("\n", 0, at)
    return f"line {text.count(chr(10), 0, at) + 1}, column {column}" if "\n" in text else f"column {column}"


def wrong(text: str, at: int, problem: str) -> ExpressionError:
    """Make the error that says where and what."""
    return ExpressionError(f"{place(text, at)}: {problem}")


def tokens(text: str) -> Iterator[Token]:
    """Cut a text up; the last token is ``end``.

    Raises:
        ExpressionError: something in it is no token.
    """
    at = 0
    while at < len(text):
        if text[at] in "'\"":
            value, after = _string(text, at)
            yield Token("value", text[at:after], value, at)
            at = after
            continue
        match = _TOKEN.match(text, at)
        if match is None:
            raise wrong(text, at, _strange(text, at))
        kind = match.lastgroup
        if kind == "number":
            yield Token("value", match[0], _number(text, match), at)
        elif kind == "word":
            yield Token("word", match[0], None, at)
        elif kind == "variable":
            yield Token("variable", match["variable"], None, at)
        elif kind == "sign":
            yield Token("sign", match[0], None, at)
        at = match.end()
    yield Token("end", "", None, len(text.rstrip(" \t\r\n")))


def _strange(text: str, at: int) -> str:
    character = text[at]
    if character == "\\":
        return "a backslash stands in strings only"
    if character.isalpha():
        return f"{character!r} cannot be part of a name here; write a name with other than ASCII letters as ['…']"
    shown = repr(character) if character.isprintable() else f"character U+{ord(character):04X}"
    return f"{shown} is not part of the language"


def _number(text: str, match: re.Match[str]) -> int | float:
    number, at = match[0], match.start()
    behind = text[match.end() : match.end() + 1]
    if behind.isalnum() or behind == "_":
        raise wrong(text, match.end(), f"a number ends here; {behind!r} behind it means nothing")
    if len(number) > 1 and number[0] == "0" and number[1].isdigit():
        raise wrong(text, at, "a number does not begin with 0")
    if number.isdigit():
        return int(number)
    value = float(number)
    if value in (float("inf"), float("-inf")):
        raise wrong(text, at, "the number is too large")
    return value


def _string(text: str, start: int) -> tuple[str, int]:
    """Read a string from its quote; return it and where it is over."""
    quote = text[start]
    parts: list[str] = []
    at = start + 1
    while True:
        character = text[at : at + 1]
        if character == quote:
            return "".join(parts), at + 1
        if character in ("", "\n", "\r"):
            raise wrong(text, start, f"the string was never closed with {quote}")
        if character == "\\":
            character, length = _escaped(text, at)
            parts.append(character)
            at += length
            continue
        if (character < " " and character != "\t") or "\ud800" <= character <= "\udfff":
            raise wrong(text, at, f"character U+{ord(character):04X} cannot stand in a string")
        parts.append(character)
        at += 1


def _escaped(text: str, at: int) -> tuple[str, int]:
    """Read what begins with a backslash; return what it stands for and its length."""
    sign = text[at + 1 : at + 2]
    if sign in _ESCAPES:
        return _ESCAPES[sign], 2
    match = _UNICODE.match(text, at + 1)
    if match is not None:
        character = chr(int(match[1], 16))
        if not "\ud800" <= character <= "\udfff":
            return character, 6
    raise wrong(
        text, at, f"\\{sign} means nothing in a string; a backslash is \\\\, any character \\u and 4 hex digits"
    )
