"""A configuration document: its plain value, and where in its file everything stands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path as FolderPath
from pathlib import PurePath
from typing import Any, NoReturn

from hookgate.document import yaml12
from hookgate.document.catalogue import NotInstalledError, PluginLookupError, format_reader, formats
from hookgate.exchange.errors import ConfigError, Path, Problem

MAX_BYTES = 64 * 1024 * 1024
"""The largest file that is read, in bytes."""

Place = Callable[[Path, bool], tuple[int, int]]
"""Gives line and column (1-based; 0 for unknown) of the value or, if the flag is set, the key under a path."""
Reader = Callable[[bytes, str], tuple[Any, Place | None]]
"""Gives the value of a text, and where things stand in it, for a file of that name; may raise `ConfigError`."""


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
    """Read a document; the suffix of the file name says whether it is YAML 1.2, JSON or in a format that is installed.

    Raises:
        ConfigError: the suffix is unknown, the text is not well-formed (with line and column), or it is not a mapping.
    """
    suffix = PurePath(file).suffix.lower()
    read = _OURS.get(suffix) or _installed(suffix, file)
    if len(data) > MAX_BYTES:
        _refuse(file, f"the document has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    try:
        value, place = read(data, file)
    except UnicodeDecodeError:
        _refuse(file, "this is not UTF-8 text")
    except RecursionError:
        _refuse(file, f"lists and mappings stand more than {yaml12.MAX_DEPTH} deep in each other")
    if value is None or value == {}:
        _refuse(file, "the document is empty; it needs at least a list of `routes`")
    if not isinstance(value, dict):
        _refuse(file, "a document is a mapping with sections such as `routes` and `connections`", 1, 1)
    return Document(value, file, place)


def _installed(suffix: str, file: str) -> Reader:
    """Return what reads a format that others bring. Whatever it raises is told as a mistake in the file."""
    try:
        reader: Reader = format_reader(suffix[1:])
    except NotInstalledError:
        known = [*_OURS, *(f".{name}" for name in formats())]
        hint = "" if ".toml" in known else "; for .toml: pip install hookgate-toml"
        _refuse(file, f"the name of a document ends in one of {', '.join(known)}; that says what it is{hint}")
    except PluginLookupError as error:
        _refuse(file, str(error))

    def read(data: bytes, file: str) -> tuple[Any, Place]:
        try:
            value, known = reader(data, file)
        except (ConfigError, RecursionError, UnicodeDecodeError):
            raise
        except Exception as error:  # noqa: BLE001 - what another distribution brings may raise anything
            _refuse(file, f"this cannot be read as {suffix}: {type(error).__name__}: {error}")

        def place(path: Path, at_key: bool) -> tuple[int, int]:
            with suppress(Exception):  # a mistake is told, with its place or without
                return known(path, at_key) if known is not None else (0, 0)
            return 0, 0

        return _plain(value, file), place

    return read


def _yaml(data: bytes, file: str) -> tuple[Any, Place | None]:
    root = yaml12.compose(data, file)
    if root is None:
        return None, None
    return root.value, lambda path, at_key: yaml12.place(root, path, at_key=at_key)


def _json(data: bytes, file: str) -> tuple[Any, Place]:
    try:
        value = json.loads(data, parse_constant=_no_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        _refuse(file, f"this is not JSON: {error.msg[0].lower()}{error.msg[1:]}", error.lineno, error.colno)
    except UnicodeDecodeError:
        raise
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


_OURS: dict[str, Reader] = {".yaml": _yaml, ".yml": _yaml, ".json": _json}
"""By the suffix of a file."""


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
