"""Where the keys of a TOML text stand. ``tomllib`` tells places only of what is not TOML."""

from __future__ import annotations

import re

from hookgate.exchange import Path

Places = dict[Path, tuple[int, int]]
"""Line and column of tables and keys, by their path in the document."""

_HEADER = re.compile(r"\s*(\[\[?)\s*(.*?)\s*\]\]?\s*(?:#.*)?")
_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")
_TOKEN = re.compile(r'''"""|\'\'\'|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[\[\]{}#]''')


def find(text: str) -> Places:
    """Find the tables and the keys of a text that is known to be TOML.

    What stands inside a value (an inline table, a list) has the place of its key.
    """
    places: Places = {}
    count: dict[Path, int] = {}
    table: Path = ()
    inside = _Inside()
    for number, line in enumerate(text.splitlines(), 1):
        if inside.value(line):
            continue
        column = len(line) - len(line.lstrip()) + 1
        if (header := _HEADER.fullmatch(line)) is not None and line.lstrip().startswith("["):
            table = _within_lists(_keys(header[2])[0], count, one_more=header[1] == "[[")
            places.setdefault(table, (number, column))
            continue
        keys, rest = _keys(line)
        if keys and line[rest : rest + 1] == "=":
            for length in range(1, len(keys) + 1):
                places.setdefault(table + keys[:length], (number, column))
            inside.begin(line[rest + 1 :])
    return places


def nearest(places: Places, path: Path) -> tuple[int, int]:
    """Return the place of the longest part of a path that is known; (0, 0) if none is."""
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return places[path[:length]]
    return 0, 0


def _keys(line: str) -> tuple[Path, int]:
    """Take a dotted key from the beginning of a text; also return where it ends."""
    keys: list[str] = []
    at = 0
    while (part := _PART.match(line, at)) is not None:
        keys.append(next(group for group in part.groups() if group is not None))
        at = part.end()
        if line[at : at + 1] != ".":
            break
        at += 1
    return tuple(keys), at


def _within_lists(keys: Path, count: dict[Path, int], *, one_more: bool) -> Path:
    """Put the number of the item that is being written behind every key that is a list of tables."""
    path: Path = ()
    for position, key in enumerate(keys):
        path += (key,)
        if one_more and position == len(keys) - 1:
            count[path] = count.get(path, -1) + 1
        if path in count:
            path += (count[path],)
    return path


class _Inside:
    """Whether the lines still belong to a value that began further up."""

    def __init__(self) -> None:
        self._quote = ""
        self._depth = 0

    def begin(self, text: str) -> None:
        """A value begins with this text."""
        self._depth = 0
        self._read(text)

    def value(self, line: str) -> bool:
        """Take in a line; return whether it belongs to a value that was open before it."""
        if not self._quote and not self._depth:
            return False
        self._read(line)
        return True

    def _read(self, text: str) -> None:
        at = 0
        while at < len(text):
            if self._quote:
                end = text.find(self._quote, at)
                while end > 0 and self._quote == '"""' and text[end - 1] == "\\":
                    end = text.find(self._quote, end + 1)
                if end < 0:
                    return
                at = end + 3
                self._quote = ""
                continue
            token = _TOKEN.search(text, at)
            if token is None or token[0] == "#":
                return
            at = token.end()
            if token[0] in ('"""', "'''"):
                self._quote = token[0]
            elif token[0] in "[{":
                self._depth += 1
            elif token[0] in "]}":
                self._depth -= 1
