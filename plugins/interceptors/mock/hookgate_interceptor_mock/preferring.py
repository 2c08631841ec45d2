"""What a client would like: the header `Prefer` (RFC 7240), and `Accept` (RFC 9110, 12.5.1)."""

import re
from collections.abc import Iterable, Sequence

_PREFERENCE = re.compile(r'\s*([!#$%&\'*+\-.^_`|~0-9A-Za-z]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s,;"]*))?\s*(?:;[^,]*)?')
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


def chosen(lines: Sequence[str], offered: Sequence[str]) -> str | None:
    """Return the content type that a client likes best, of several the first; ``None`` if it takes none of them."""
    ranges = [_range(part) for part in ",".join(lines)[:LONGEST].split(",") if part.strip()]
    if not ranges:
        return offered[0] if offered else None
    best, most = None, 0.0
    for media in offered:
        quality = _quality(media.partition(";")[0].strip().lower(), ranges)
        if quality > most:
            best, most = media, quality
    return best


def _range(part: str) -> tuple[str, float]:
    media, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return media, 0.0
    return media, 1.0


def _quality(media: str, ranges: Iterable[tuple[str, float]]) -> float:
    """Return the quality of the range that says most of a content type."""
    found = [(0, 0.0)]
    for wanted, quality in ranges:
        if wanted == media:
            found.append((3, quality))
        elif wanted.endswith("/*") and wanted != "*/*" and media.startswith(wanted[:-1]):
            found.append((2, quality))
        elif wanted == "*/*":
            found.append((1, quality))
    return max(found)[1]
