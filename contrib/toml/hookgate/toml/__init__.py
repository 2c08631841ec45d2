"""Documents in TOML: their values, and where in the text everything stands."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from hookgate import ConfigError, Problem
from hookgate.document import Place
from hookgate.exchange import Path
from hookgate.toml.places import Places, find, nearest

__all__ = ["find", "nearest", "read"]


def read(data: bytes, file: str) -> tuple[Any, Place]:
    """Read a text; a reader of `hookgate.formats`. A place is that of the nearest key or table.

    Raises:
        ConfigError: it is not TOML, with line and column.
        UnicodeDecodeError: it is not UTF-8.
        RecursionError: lists or tables stand too deep in each other.
    """
    text = data.decode("utf-8")
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, where = str(error).rpartition(" (at ")
        known = re.search(r"line (\d+), column (\d+)", where)
        line, column = (int(known[1]), int(known[2])) if known else (text.count("\n") + 1, 1)
        message = f"this is not TOML: {message[:1].lower()}{message[1:]}"
        raise ConfigError([Problem((), message, file, line, column)]) from None
    places: list[Places] = []

    def place(path: Path, at_key: bool) -> tuple[int, int]:
        if not places:  # only a document with mistakes is read a second time
            places.append(find(text))
        return nearest(places[0], path)

    return value, place
