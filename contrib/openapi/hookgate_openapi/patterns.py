"""Patterns: regular expressions of other dialects as JSON Schema means them (ECMA-262).

Whoever writes descriptions takes patterns from Java, Python, Perl or POSIX. Those that mean one thing only are written
anew; what cannot be decided stays as it is, and whoever compiles it refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_LITERAL = re.compile(r"/(\^.*\$)/([a-z]*)", re.DOTALL)
"""A whole literal of JavaScript: behind `/` nothing begins, before `/` nothing ends, so it means nothing else."""
_FLAGS = {"i": "(?i)", "m": "(?m)", "s": "(?s)"}
_OUTSIDE = {
    "Z": r"\z",
    "h": r"[ \t]",
    "H": r"[^ \t]",
    "R": r"(?:\r\n|[\n\x0B\f\r\x85\u2028\u2029])",
    "N": r"[^\n]",
    "e": r"\x1B",
    "a": r"\x07",
}
_INSIDE = {"h": r" \t", "b": r"\x08", "e": r"\x1B", "a": r"\x07"}
_PROPERTIES = {
    "XDigit": "0-9A-Fa-f",
    "javaLowerCase": r"\p{Ll}",
    "javaUpperCase": r"\p{Lu}",
    "javaLetter": r"\p{L}",
    "javaAlphabetic": r"\p{L}",
    "javaDigit": r"\p{Nd}",
    "javaLetterOrDigit": r"\p{L}\p{Nd}",
    "javaWhitespace": r"\s",
}
_POSIX = {
    "alpha": "A-Za-z",
    "digit": "0-9",
    "alnum": "0-9A-Za-z",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "xdigit": "0-9A-Fa-f",
    "word": r"\w",
    "punct": r"!-\/:-@\[-`{-~",
    "print": r"\x20-~",
    "graph": "!-~",
    "cntrl": r"\x00-\x1F\x7F",
}
_SURROGATES = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_PROPERTY = re.compile(r"\\([pP])\{([A-Za-z]+)\}")
_BRACED = re.compile(r"\\[uxpPN]\{[^{}]*\}")
_QUOTED = re.compile(r"\\Q(.*?)(?:\\E|\Z)", re.DOTALL)
_NAMED = re.compile(r"\(\?(?:P?<(?![=!])|')(\w+)[>']")
_REFERENCE = re.compile(r"\\k(?:<(\w+)>|'(\w+)'|\{(\w+)\})|\(\?P=(\w+)\)")
_COUNT = re.compile(r"\{\d+(?:,\d*)?\}")
_UP_TO = re.compile(r"\{,(\d+)\}")
_COMMENT = re.compile(r"\(\?#[^)]*\)")
_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
_SET = re.compile(r"\\[wWdDsSpPh]|\[:\^?[a-z]+:\]")
_BOTH = re.compile(r"\[((?:[^\[\]\\^]|\\.)(?:[^\[\]\\]|\\.)*?)(&&|--)\[(\^?)((?:[^\[\]\\]|\\.)+)\]\]")
"""What two classes have in common, or one without the other, as Java and the flag `v` of ECMA-262 write it."""
_SPECIAL = frozenset(r"\^$.|?*+()[]{}/-")


def ecma(pattern: str) -> str:
    """Return a pattern as ECMA-262 writes it, with `u`; the same text if there is nothing to change."""
    literal = _LITERAL.fullmatch(pattern)
    if literal is not None:
        return "".join(_FLAGS.get(flag, "") for flag in literal[2]) + ecma(literal[1])
    return "".join(_Scan(pattern).pieces())


class _Scan:
    """One walk over a pattern."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._groups = 0
        self._names: dict[str, int] = {}

    def pieces(self) -> Iterator[str]:
        """Yield the pattern in pieces."""
        while self._at < len(self._text):
            letter = self._text[self._at]
            if letter == "\\":
                yield self._shared() or self._escape(_OUTSIDE)
            elif letter == "[":
                yield self._class()
            elif letter == "(":
                yield self._group()
            elif letter == "{":
                yield self._braces()
            else:
                yield self._one(letter)

    def _one(self, written: str) -> str:
        self._at += 1
        return written

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _shared(self) -> str:
        """What means the same inside of a class and outside."""
        if found := self._take(_SURROGATES):
            high, low = int(found[1], 16), int(found[2], 16)
            return f"\\u{{{0x10000 + ((high - 0xD800) << 10) + low - 0xDC00:X}}}"
        if found := self._take(_QUOTED):
            return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in found[1])
        return ""

    def _escape(self, table: dict[str, str]) -> str:
        if (found := self._take(_REFERENCE)) is not None:
            name = next(filter(None, found.groups()))
            return f"(?:\\{self._names[name]})" if name in self._names else found[0]
        if (found := self._take(_PROPERTY)) is not None:
            known = _PROPERTIES.get(found[2])
            if known is None:
                return found[0]
            if table is _INSIDE:
                return known if found[1] == "p" else found[0]
            return f"[{'^' if found[1] == 'P' else ''}{known}]"
        if (found := self._take(_BRACED)) is not None:
            return found[0]
        following = self._text[self._at + 1 : self._at + 2]
        self._at += 1 + len(following)
        if following in "<>" and following:
            return following  # the engine takes these for the edges of a word
        if following == "0" and not self._text[self._at : self._at + 1].isdigit():
            return r"\x00"
        return table.get(following, f"\\{following}")

    def _braces(self) -> str:
        if (found := self._take(_COUNT)) is not None:
            return found[0]
        if (found := self._take(_UP_TO)) is not None:
            return f"{{0,{found[1]}}}"
        return self._one(r"\{")

    def _group(self) -> str:
        if (found := self._take(_COMMENT)) is not None:
            return ""
        if (found := self._take(_REFERENCE)) is not None:
            return f"(?:\\{self._names[found[4]]})" if found[4] in self._names else found[0]
        if (found := self._take(_NAMED)) is not None:
            self._groups += 1
            self._names.setdefault(found[1], self._groups)
            return f"(?<{found[1]}>"
        if self._text[self._at + 1 : self._at + 2] != "?":
            self._groups += 1
        return self._one("(")

    def _class(self) -> str:
        if (both := self._take(_BOTH)) is not None:
            first, how, negated, second = both.groups()
            wanted = (how == "&&") != bool(negated)
            return f"(?:(?{'=' if wanted else '!'}{ecma(f'[{second}]')}){ecma(f'[{first}]')})"
        start, found = self._at, ["["]
        self._at += 1
        if self._text.startswith("^", self._at):
            found.append(self._one("^"))
        if self._text.startswith("]", self._at):
            if "]" not in self._text[self._at + 1 :]:
                self._at += 1
                return r"[\s\S]" if len(found) == 2 else "[]"
            found.append(self._one("]"))
        at_start, before = True, False
        while self._at < len(self._text) and not self._text.startswith("]", self._at):
            is_set = _SET.match(self._text, self._at) is not None
            if self._text[self._at] == "-" and not at_start and not self._text.startswith("]", self._at + 1):
                beside = before or _SET.match(self._text, self._at + 1) is not None
                found.append(self._one(r"\-" if beside else "-"))
            elif (posix := _CLASS.match(self._text, self._at)) and posix[2] in _POSIX and not posix[1]:
                self._at = posix.end()
                found.append(_POSIX[posix[2]])
            elif self._text[self._at] == "\\":
                found.append(self._shared() or self._escape(_INSIDE))
            else:
                found.append(self._one(self._text[self._at]))
            at_start, before = False, is_set
        if self._at == len(self._text):
            return self._text[start:]  # it has no end
        self._at += 1
        return "".join(found) + "]"
