"""One document of several files: ``include: [connections.yaml, routes/orders.yaml]``.

Names count from the folder of the file that they stand in, and so do the relative paths of that file. Mistakes are told
with the file they are in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hookgate import ConfigError, Problem
from hookgate.document import MAX_BYTES, Document, parse
from hookgate.workshop import Follower

INCLUDE = "include"
MOST_FILES = 1000
"""Files of one document."""

Place = tuple[str | int, ...]
Stamp = tuple[int, ...] | None


def stamp(path: Path) -> Stamp:
    """What tells a file from what stands there later; ``None`` while there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Files:
    """Reads the files of one document, each once."""

    def __init__(self) -> None:
        self.stamps: dict[Path, Stamp] = {}
        """By file, as they were come by, before it was read; those that could not be read, too."""
        self._bytes = 0
        self._chain: list[Path] = []
        self._known: dict[Path, Path] = {}
        """Real file -> the name that it was included by first."""

    def read(self, path: Path, follower: Follower | None = None) -> list[Document]:
        """Return the document of a file, and those that it includes behind it.

        Raises:
            ConfigError: a file cannot be read or is not well-formed, or includes what it may not.
        """
        self.stamps[path] = stamp(path)
        try:
            data = (follower or Follower(path, MAX_BYTES)).read()
        except LookupError as error:
            why = error.__context__  # no file, or a folder, is a slip of whoever named it
            outside = isinstance(why, OSError) and not isinstance(why, FileNotFoundError | IsADirectoryError)
            raise ConfigError([Problem((), str(error), str(path), outside=outside)]) from None
        self._bytes += len(data)
        document = parse(data, str(path))
        document.folder = path.parent
        self._known[path.resolve()] = path
        self._chain.append(path)
        found = [document]
        problems: list[Problem] = []
        for place, name in self._names(document, problems):
            try:
                found += self._included(path.parent / name)
            except ConfigError as error:
                problems += [
                    each if each.file else document.locate(replace(each, path=place)) for each in error.problems
                ]
        self._chain.pop()
        if problems:
            raise ConfigError(problems)
        return found

    def _names(self, document: Document, problems: list[Problem]) -> Iterator[tuple[Place, str]]:
        listed = document.value.get(INCLUDE, [])
        if not isinstance(listed, list):
            problems.append(document.locate(Problem((INCLUDE,), "should be a list of files")))
            return
        for index, name in enumerate(listed):
            if isinstance(name, str) and name and "\0" not in name and "${" not in name:
                yield (INCLUDE, index), name
            else:
                message = "should be the name of a file, without references: these are resolved later"
                problems.append(document.locate(Problem((INCLUDE, index), message)))

    def _included(self, path: Path) -> list[Document]:
        real = Path(os.path.realpath(path))  # which takes links that lead to themselves, as resolve() does not
        chain = [each.resolve() for each in self._chain]
        if real in chain:
            circle = " includes ".join(map(str, [*self._chain[chain.index(real) :], path]))
            raise ConfigError([Problem((), f"these files include each other: {circle}")])
        if real in self._known:
            raise ConfigError([Problem((), f"{path} is included twice; once is enough")])
        if len(self.stamps) >= MOST_FILES or self._bytes > MAX_BYTES:
            message = f"a document has at most {MOST_FILES:,} files and {MAX_BYTES:,} bytes in all"
            raise ConfigError([Problem((), message)])
        try:
            return self.read(path)
        except ConfigError as error:
            if path in self.stamps and real not in self._known and not any(each.line for each in error.problems):
                reasons = "; ".join(each.message for each in error.problems)
                message = f"{path} cannot be included: {reasons}"
                raise ConfigError([Problem((), message, outside=error.outside)]) from None
            raise


class Joined(Document):
    """Several documents as one: lists follow each other, mappings are put together, and nothing may stand twice."""

    __slots__ = ("_origins", "_parts")

    def __init__(self, parts: list[Document]) -> None:
        """Put documents together; the first gives it its name.

        Raises:
            ConfigError: something stands in two of them.
        """
        super().__init__({}, parts[0].file)
        self.folder = parts[0].folder
        self._parts = parts
        self._origins: dict[Place, tuple[Document, Place]] = {}
        problems: list[Problem] = []
        for part in parts:
            for key, value in part.items():
                again = key in self.value and (key == "$schema" or key.startswith("x-"))  # which nobody reads
                if key != INCLUDE and value is not None and not again:
                    problems += self._take(part, key, value)
        if problems:
            raise ConfigError(problems)

    def _take(self, part: Document, key: str, value: Any) -> Iterator[Problem]:
        before = self.value.get(key)
        if key not in self.value:
            self._origins[key,] = part, (key,)
            before = self.value[key] = [] if isinstance(value, list) else {} if isinstance(value, Mapping) else value
            if not isinstance(value, list | Mapping):
                return
        if isinstance(before, list) and isinstance(value, list):
            for index, item in enumerate(value):
                self._origins[key, len(before)] = part, (key, index)
                before.append(item)
        elif isinstance(before, dict) and isinstance(value, Mapping):
            for name, item in value.items():
                if name in before:
                    yield self._twice(part, (key, name))
                else:
                    self._origins[key, name] = part, (key, name)
                    before[name] = item
        else:
            yield self._twice(part, (key,))

    def _twice(self, part: Document, path: Place) -> Problem:
        first, place = self._origins[path]
        there = first.locate(Problem(place, "", at_key=True))
        message = f"stands in {there.file}:{there.line}, too; what two files have in common goes into one of them"
        return part.locate(Problem(path, message, at_key=True))

    def _origin(self, path: Place) -> tuple[Document, Place]:
        for length in (2, 1):
            if path[:length] in self._origins:
                part, place = self._origins[path[:length]]
                return part, (*place, *path[length:])
        return self._parts[0], path

    def locate(self, problem: Problem) -> Problem:
        """Fill in the file, and the place in it."""
        if problem.file:
            return problem
        part, path = self._origin(problem.path)
        return part.locate(replace(problem, path=path))

    def folder_of(self, path: Place) -> Path | None:
        """Return the folder of the file in which something stands."""
        return self._origin(path)[0].folder
