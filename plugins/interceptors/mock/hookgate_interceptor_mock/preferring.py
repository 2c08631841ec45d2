"""What a client would like: the header `Prefer` (RFC 7240), and `Accept` (RFC 9110, 12.5.1)."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

_PREFERENCE = re.compile(r'\s*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s,;"]*))?\s*(?:;[^,]*)?')
_PIECES = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*"?)+|^')
LONGEST = 1000
"""Characters of a header that are read."""


def preferences(lines: Iterable[str]) -> dict[str, str]:
    """Take `Prefer` apart: preferences by name in lower case; of one that is there twice the first counts."""
    found: dict[str, str] = {}
    for part in _parts(",".join(lines)[:LONGEST]):
        match = _PREFERENCE.fullmatch(part)
        if match:
            value = match[2] or ""
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            found.setdefault(match[1].lower(), value)
    return found


def _parts(text: str) -> list[str]:
    return re.findall(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+', text)


class Kind(NamedTuple):
    """A content type, or a range of them, with its parameters but `q`."""

    name: str
    parameters: frozenset[tuple[str, str]]
    quality: float = 1.0

    @classmethod
    def of(cls, text: str) -> "Kind":
        """Take one apart; names, and values of `charset`, in lower case."""
        name, *rest = (piece.strip() for piece in _PIECES.findall(text))
        found = {}
        for piece in rest:
            key, _, value = piece.partition("=")
            key = key.strip().lower()
            found[key] = re.sub(r"\\(.)", r"\1", value.strip().strip('"'))
        quality = found.pop("q", None)
        found.pop("charset", None)
        return cls(name.lower(), frozenset(found.items()), 1.0 if quality is None else _quality(quality))

    def covers(self, name: str) -> bool:
        """Whether a type is this one, or within this range."""
        return self.name in (name, "*/*") or (self.name.endswith("/*") and name.startswith(self.name[:-1]))

    def asks_for(self, other: "Kind") -> int:
        """Return how precisely a range speaks of a type; 0 if it does not."""
        said = dict(other.parameters)
        if not self.covers(other.name) or any(said.get(name, value) != value for name, value in self.parameters):
            return 0
        precision = 1 if self.name == "*/*" else 2 if self.name.endswith("/*") else 3
        return precision + len(self.parameters & other.parameters)


def chosen(lines: Sequence[str], offered: Sequence[str]) -> tuple[str, str] | None:
    """Return the content type that a client likes best, of several the first; ``None`` if it takes none of them.

    It comes as it is offered, and as the answer says it: a range that is offered, such as the `*/*` of springdoc, is
    JSON where that is taken, and otherwise what is asked for.
    """
    ranges = [Kind.of(part) for part in _parts(",".join(lines)[:LONGEST]) if part.strip()] or [Kind("*/*", frozenset())]
    best, most = None, 0.0
    for media in offered:
        kind = Kind.of(media)
        for name in _concrete(kind, ranges):
            said = name if name != kind.name else media
            quality = max((each.asks_for(Kind(name, kind.parameters)), each.quality) for each in ranges)
            quality_of_it = quality[1] if quality[0] else 0.0
            if quality_of_it > most:
                best, most = (media, said), quality_of_it
            if quality_of_it > 0:
                break
    return best


def _concrete(kind: Kind, ranges: Sequence[Kind]) -> list[str]:
    """Name the types that an offered type may be answered with, the usual one first."""
    if not kind.name.endswith("/*"):
        return [kind.name]
    usual = _USUAL.get(kind.name.partition("/")[0], "application/octet-stream")
    asked = sorted((each for each in ranges if "*" not in each.name), key=lambda each: -each.quality)
    return [usual, *(each.name for each in asked if kind.covers(each.name))]


_USUAL = {"*": "application/json", "application": "application/json", "text": "text/plain", "image": "image/png"}


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0
