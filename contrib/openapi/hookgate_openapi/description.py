"""A description as it was read: its value, its version, and whether its references lead somewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import unquote

from hookgate import ConfigError, MachineError, Problem
from hookgate.document import MAX_BYTES, Document, parse
from hookgate.exchange import Path

MOST_HOPS = 64
"""References that may lead to a reference, one after the other."""
_DATA = frozenset({"example", "examples", "default", "enum", "const", "value", "x-examples"})
"""Keys under which data stands and no description, so that a `$ref` there is nobody's reference."""
_NAMED = frozenset(
    {
        "properties",
        "patternProperties",
        "$defs",
        "definitions",
        "dependentSchemas",
        "schemas",
        "responses",
        "parameters",
    }
    | {"headers", "requestBodies", "pathItems", "paths", "callbacks", "links", "securitySchemes", "mediaTypes"}
)
"""Keys under which names stand, so that one called `example` is no example."""
_VERSION = re.compile(r"(2\.0|3\.[0-2])(\.\d+)?(-.*)?")


class Description:
    """A description with its mistakes so far. Its references are looked at when it is made."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.value: dict[str, Any] = document.value
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        """What was mended, each with its file, line and JSON pointer."""
        self.version = self._version()
        if not self.problems:
            self._check_references()

    def refuse(self, path: Path, message: str) -> None:
        """Note a mistake at a place."""
        self.problems.append(Problem(path, message))

    def warn(self, path: Path, message: str) -> None:
        """Note what was mended at a place."""
        problem = self.document.locate(Problem(path, message))
        self.warnings.append(str(replace(problem, path=(pointer(path),))))

    def settle(self) -> None:
        """Raise what was noted.

        Raises:
            ConfigError: everything at once, each mistake with its file, line and JSON pointer.
        """
        if self.problems:
            located = dict.fromkeys(self.document.locate(problem) for problem in self.problems)
            ordered = sorted(located, key=lambda problem: (problem.line, problem.column))
            raise ConfigError([replace(problem, path=(pointer(problem.path),)) for problem in ordered])

    def resolved(self, value: Any, path: Path) -> tuple[Any, Path]:
        """Follow references (RFC 6901) from a value outside of schemas; return what they lead to and where it stands.

        What stands beside a reference and describes (``summary``, ``description``) takes the place of what is there.
        """
        said: dict[str, Any] = {}
        for _ in range(MOST_HOPS):
            if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
                break
            for word in ("summary", "description"):
                if word in value:
                    said.setdefault(word, value[word])
            path = steps(value["$ref"])
            value = self.at(path)
        if said and isinstance(value, Mapping):
            value = {**value, **said}
        return value, path

    def at(self, path: Path) -> Any:
        """Return what stands at a place.

        Raises:
            LookupError: nothing does.
        """
        value: Any = self.value
        for step in path:
            if isinstance(value, Mapping):
                value = value[str(step)]
            elif isinstance(value, list) and re.fullmatch(r"0|[1-9]\d{0,6}", str(step)):
                value = value[int(step)]
            else:
                raise LookupError(step)
        return value

    def mapping(self, value: Any, path: Path) -> Mapping[str, Any]:
        """Return a value that has to be a mapping; note where it is not one, and return an empty one."""
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return value
        self.refuse(path, "should be a mapping")
        return {}

    def listed(self, value: Any, path: Path) -> list[Any]:
        """Return a value that has to be a list; note where it is not one, and return an empty one."""
        if value is None:
            return []
        if isinstance(value, list):
            return value
        self.refuse(path, "should be a list")
        return []

    def _version(self) -> str:
        said = self.value.get("openapi", self.value.get("swagger"))
        known = _VERSION.fullmatch(str(said))
        if known is None or (known[1] == "2.0") != ("swagger" in self.value):
            if said is None:
                self.refuse((), "this is no OpenAPI description: it says neither `openapi: 3.…` nor `swagger: '2.0'`")
            else:
                place = "openapi" if "openapi" in self.value else "swagger"
                self.refuse((place,), f"version {said!r} is not read; Swagger 2.0 and OpenAPI 3.0, 3.1 and 3.2 are")
            return ""
        return known[1]

    def _check_references(self) -> None:
        for path, reference in references(self.value):
            reason = self._wrong(reference)
            if reason:
                self.refuse(path, reason)

    def _wrong(self, reference: str) -> str:
        """Say what is wrong with a reference; empty if it leads to something that is more than a reference."""
        seen: list[str] = []
        while True:
            if not reference.startswith("#"):
                return f"{reference!r} is in another file, and none is fetched; bundle the description into one file"
            if reference in seen:
                return f"circular reference: {' -> '.join([*seen[seen.index(reference) :], reference])}"
            if len(seen) == MOST_HOPS:
                return f"more than {MOST_HOPS} references follow each other from here"
            seen.append(reference)
            try:
                target = self.at(steps(reference))
            except ValueError:
                return f"{reference!r} is no JSON pointer (RFC 6901), such as '#/components/schemas/Pet'"
            except LookupError:
                return f"{reference!r} leads nowhere"
            following = target.get("$ref") if isinstance(target, Mapping) else None
            if not isinstance(following, str) or len(target) > 1:
                return ""
            reference = following


def read(file: FilePath) -> Description:
    """Read a description, YAML or JSON, up to 64 MiB, and check all of its references.

    Raises:
        MachineError: the file cannot be read.
        ConfigError: it is not well-formed, no OpenAPI description, or has references that lead nowhere or in circles.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise MachineError(f"cannot read {file}: {error.strerror}") from error
    if file.suffix.lower() not in (".yaml", ".yml", ".json"):
        raise ConfigError([Problem((), "a description is YAML or JSON", str(file))])
    found = Description(parse(data, str(file)))
    found.settle()
    return found


def check_data(description: Description, contract: Mapping[str, Any]) -> None:
    """Refuse values that YAML can write and JSON cannot, if any of them came into the contract.

    Raises:
        ConfigError: each of them with its place.
    """
    try:
        json.dumps(contract, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        for path, value in _leaves(description.value):
            if not _is_json(value):
                description.refuse(path, "no JSON can say this: it is no number, too large, or half a character")
        description.settle()
        raise


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return False
    return True


def _leaves(value: Any) -> Iterator[tuple[Path, Any]]:
    pending: list[tuple[Path, Any]] = [((), value)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, Mapping):
            pending += [((*path, key), item) for key, item in value.items()]
            for key in value:
                yield (*path, key), key
        elif isinstance(value, list):
            pending += [((*path, index), item) for index, item in enumerate(value)]
        else:
            yield path, value


def references(value: Any) -> Iterator[tuple[Path, str]]:
    """Walk over the references of a description, each with its place; data such as examples is left out."""
    pending: list[tuple[Path, Any, bool]] = [((), value, False)]
    while pending:
        path, value, names = pending.pop()
        if isinstance(value, Mapping):
            said = value.get("$ref")
            if isinstance(said, str) and not names:
                yield (*path, "$ref"), said
            for key, item in value.items():
                if names or not (key in _DATA or key.startswith("x-")):
                    if isinstance(item, Mapping | list):
                        pending.append(((*path, key), item, not names and key in _NAMED))
                elif key == "examples" and isinstance(item, Mapping):  # those that are named may be references
                    pending += _examples(item, (*path, key))
        elif isinstance(value, list):
            pending += [((*path, index), item, False) for index, item in enumerate(value)]


def _examples(value: Mapping[str, Any], path: Path) -> Iterable[tuple[Path, Any, bool]]:
    for name, example in value.items():
        if isinstance(example, Mapping) and set(example) <= {"$ref", "summary", "description"}:
            yield (*path, name), example, False


def steps(reference: str) -> Path:
    """Take a reference within the file apart: ``#/paths/~1pets/get`` is ``("paths", "/pets", "get")``.

    Raises:
        ValueError: it is none.
    """
    text = unquote(reference.removeprefix("#"), errors="strict")
    if text and not text.startswith("/"):
        raise ValueError(reference)
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:])


def pointer(path: Iterable[str | int]) -> str:
    """Write a place as a JSON pointer: ``#/paths/~1pets/get``."""
    return "#" + "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
