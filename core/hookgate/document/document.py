"""A configuration document: its plain value, and where in its file everything stands."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path as FolderPath
from pathlib import PurePath
from typing import Any, NoReturn

from hookgate.document import tomlplaces, yaml12
from hookgate.exchange.errors import ConfigError, Path, Problem

MAX_BYTES = 64 * 1024 * 1024
"""The largest file that is read, in bytes."""
FORMATS = {".yaml": "YAML", ".yml": "YAML", ".json": "JSON", ".toml": "TOML"}
"""What a file is, by its suffix."""

Place = Callable[[Path, bool], tuple[int, int]]
"""Gives line and column (1-based; 0 for unknown) of the value or, if the flag is set, the key under a path."""


class Fence:
    """In the place of the folder: what is written behind it may not do everything. ``/`` raises ``ValueError``."""

    def refused(self, needs: str, name: str) -> str:
        """Return why a plugin that needs this may not be used; nothing if it may."""
        raise NotImplementedError

    def found(self, checked: Any) -> Iterable[tuple[Path, str]]:
        """Give the places of what may not be in options or a record, and why."""
        raise NotImplementedError


class Document(Mapping[str, Any]):
    """A document as its plain value: mappings with string keys, lists, strings, numbers, booleans and null.

    It is the same value whichever format it was written in. :func:`parse` makes one from a file, :meth:`of` from a
    mapping that has no file.
    """

    __slots__ = ("_place", "file", "folder", "value")

    def __init__(self, value: dict[str, Any], file: str, place: Place | None = None) -> None:
        self.value = value
        self.file = file
        """What messages call it."""
        self.folder: FolderPath | None = None
        """From which its relative paths count, if not from where the process runs."""
        self._place = place

    @classmethod
    def of(cls, mapping: Mapping[str, Any], file: str = "document") -> Document:
        """Take over a mapping, copied.

        Raises:
            ConfigError: it is nested too deeply.
        """
        return cls(_plain(mapping, file), file)

    def locate(self, problem: Problem) -> Problem:
        """Fill in file, line and column of a problem, from the longest part of its path that is in the document."""
        if problem.file:
            return problem
        line, column = self._place(problem.path, problem.at_key) if self._place is not None else (0, 0)
        return replace(problem, file=self.file, line=line, column=column)

    def folder_of(self, path: Path) -> FolderPath | None:
        """Return from where relative paths count that stand under a path."""
        return self.folder

    def __getitem__(self, key: str) -> Any:
        return self.value[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.value)

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"<Document {self.file}>"


def parse(data: bytes, file: str) -> Document:
    """Read a document; the suffix of the file name says whether it is YAML 1.2, JSON or TOML.

    Raises:
        ConfigError: the suffix is unknown, the text is not well-formed (with line and column), or it is not a mapping.
    """
    kind = FORMATS.get(PurePath(file).suffix.lower())
    if kind is None:
        _refuse(file, f"the name of a document ends in one of {', '.join(FORMATS)}; that says what it is")
    if len(data) > MAX_BYTES:
        _refuse(file, f"the document has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    value, place = {"YAML": _yaml, "JSON": _json, "TOML": _toml}[kind](data, file)
    if value is None or value == {}:
        _refuse(file, "the document is empty; it needs at least a list of `routes`")
    if not isinstance(value, dict):
        _refuse(file, "a document is a mapping with sections such as `routes` and `connections`", 1, 1)
    return Document(value, file, place)


def _yaml(data: bytes, file: str) -> tuple[Any, Place]:
    root = yaml12.compose(data, file)
    if root is None:
        return None, _nowhere
    return root.value, lambda path, at_key: yaml12.place(root, path, at_key=at_key)


def _json(data: bytes, file: str) -> tuple[Any, Place]:
    try:
        value = json.loads(data, parse_constant=_no_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        _refuse(file, f"this is not JSON: {error.msg[0].lower()}{error.msg[1:]}", error.lineno, error.colno)
    except UnicodeDecodeError:
        _refuse(file, "this is not UTF-8 text")
    except RecursionError:
        _refuse(file, f"lists and mappings stand more than {yaml12.MAX_DEPTH} deep in each other")
    except _TwiceError as error:
        yaml12.compose(data, file)  # JSON is YAML, and that reader knows the place
        _refuse(file, str(error))
    except ValueError as error:
        _refuse(file, f"this is not JSON: {error}")
    nodes: list[yaml12.Node | None] = []

    def place(path: Path, at_key: bool) -> tuple[int, int]:
        if not nodes:  # only a document with mistakes is read a second time
            try:
                nodes.append(yaml12.compose(data, file))
            except ConfigError:  # the little JSON that is no YAML: escaped surrogates
                nodes.append(None)
        return yaml12.place(nodes[0], path, at_key=at_key)

    return _plain(value, file), place


def _toml(data: bytes, file: str) -> tuple[Any, Place]:
    try:
        text = data.decode("utf-8")
        value = tomllib.loads(text)
    except UnicodeDecodeError:
        _refuse(file, "this is not UTF-8 text")
    except tomllib.TOMLDecodeError as error:
        message, _, where = str(error).rpartition(" (at ")
        known = re.search(r"line (\d+), column (\d+)", where)
        line, column = (int(known[1]), int(known[2])) if known else (text.count("\n") + 1, 1)
        _refuse(file, f"this is not TOML: {message[:1].lower()}{message[1:]}", line, column)
    except RecursionError:
        _refuse(file, f"lists and mappings stand more than {yaml12.MAX_DEPTH} deep in each other")
    places: list[tomlplaces.Places] = []

    def place(path: Path, at_key: bool) -> tuple[int, int]:
        if not places:
            places.append(tomlplaces.find(text))
        return tomlplaces.nearest(places[0], path)

    return _plain(value, file), place


def _nowhere(path: Path, at_key: bool) -> tuple[int, int]:
    return 0, 0


def _plain(value: Any, file: str, depth: int = 0) -> Any:
    """Copy a value with every mapping a dict with string keys, every sequence a list, and every date its text."""
    if depth > yaml12.MAX_DEPTH:
        _refuse(file, f"lists and mappings stand more than {yaml12.MAX_DEPTH} deep in each other")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, file, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, file, depth + 1) for item in value]
    return value.isoformat() if isinstance(value, date | datetime | time) else value


class _TwiceError(Exception):
    """A key stands twice in a JSON object."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _TwiceError(f"the key {twice!r} stands twice in one object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _refuse(file: str, message: str, line: int = 0, column: int = 0) -> NoReturn:
    raise ConfigError([Problem((), message, file, line, column)])
