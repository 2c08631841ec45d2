"""A file of schemas, read once for all steps that refer to it: a plain JSON Schema file, or an OpenAPI 3.1 contract."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from weakref import WeakValueDictionary

import jsonschema_rs
import orjson

from hookgate import ConfigError
from hookgate.document.document import MAX_BYTES, parse

URI = "urn:hookgate:schemas"
"""What the file is called where one schema refers to another."""
EAGER = 64 * 1024
"""Bytes up to which a file is compiled when it is loaded; what is in longer ones, when it is first needed: a thousand
schemas that refer to each other take a minute."""
MOST_HOPS = 32
_DIALECTS = {
    "2020-12": (jsonschema_rs.Draft202012Validator, "https://json-schema.org/draft/2020-12/schema"),
    "7": (jsonschema_rs.Draft7Validator, "http://json-schema.org/draft-07/schema#"),
}
_OPERATION = re.compile(r"([A-Za-z-]+) +(/\S*)")


class SchemaFile:
    """The content of a file with what was compiled of it. Two are equal when their content is."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.digest = hashlib.sha256(data).hexdigest()
        self.eager = len(data) <= EAGER
        self.compiled: dict[tuple[str, ...], Any] = {}
        """Compiled schemas by what they are made of, shared by all steps."""
        self.value = _parsed(path, data)
        self._registries: dict[str, Any] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SchemaFile) and (self.path, self.digest) == (other.path, other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<SchemaFile {self.path}>"

    def at(self, place: str) -> Any:
        """Return what stands at a JSON pointer such as ``#/$defs/Order``.

        Raises:
            ValueError: nothing does.
        """
        value = self.value
        if place not in ("#", "") and not place.startswith("#/"):
            raise ValueError(f"{place!r} is no place in {self.path}; write a JSON pointer such as '#/$defs/Order'")
        for step in place.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            try:
                value = value[int(key)] if isinstance(value, list) else value[key]
            except (LookupError, TypeError, ValueError):
                raise ValueError(f"there is no {place} in {self.path}: {key!r} is missing") from None
        return value

    def followed(self, value: Any, place: str) -> tuple[Any, str]:
        """Follow references within the file; return what they lead to, and its place."""
        for _ in range(MOST_HOPS):
            reference = value.get("$ref") if isinstance(value, Mapping) else None
            if not isinstance(reference, str) or not reference.startswith("#"):
                break
            place = unquote(reference)
            value = self.at(place)
        return value, place

    def target(self, place: str) -> str:
        """Return the place of the schema that the one at a place stands for: its own, unless it is a reference only."""
        for _ in range(MOST_HOPS):
            value = self.at(place)
            if not isinstance(value, Mapping) or set(value) != {"$ref"} or not str(value["$ref"]).startswith("#/"):
                break
            place = unquote(value["$ref"])
        return place

    def operation(self, written: str) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
        """Find an operation of an OpenAPI contract, written ``GET /pets/{id}``; return path item, operation and place.

        Raises:
            ValueError: there is none, or the file is no such contract.
        """
        version = self.value.get("openapi") if isinstance(self.value, Mapping) else None
        if not isinstance(version, str) or not version.startswith(("3.1", "3.2")):
            raise ValueError(
                f"{self.path} is no OpenAPI 3.1 description; `hookgate import openapi` makes one of other versions"
            )
        found = _OPERATION.fullmatch(written)
        if found is None:
            raise ValueError(f"{written!r} is no operation; write a method and a path, such as 'GET /pets/{{id}}'")
        method, path = found[1].lower(), found[2]
        item, place = self.followed(self.value.get("paths", {}).get(path), f"#/paths/{escaped(path)}")
        operation = item.get(method) if isinstance(item, Mapping) else None
        if not isinstance(operation, Mapping):
            raise ValueError(f"there is no operation {written!r} in {self.path}")  # noqa: TRY004
        return item, operation, f"{place}/{method}"

    def validator(self, schema: Any, draft: str, formats: bool) -> Any:
        """Compile a schema that may refer to places in this file (``urn:hookgate:schemas#/…``)."""
        if draft not in self._registries:
            said = {"$schema": _DIALECTS[draft][1]}
            value = {**said, **self.value} if isinstance(self.value, dict) else self.value
            self._registries[draft] = jsonschema_rs.Registry([(URI, value)])
        return compiled(schema, draft, formats, self._registries[draft])


def compiled(schema: Any, draft: str, formats: bool, registry: Any = None) -> Any:
    """Compile a schema; what `$schema` says goes before ``draft``. Nothing is ever fetched.

    Raises:
        ValueError: it is none, with the place in it; or it refers to what is not there.
    """
    said = schema.get("$schema") if isinstance(schema, Mapping) else None
    if said is not None:
        draft = _draft(said)
    try:
        return _DIALECTS[draft][0](schema, registry=registry, offline=True, validate_formats=formats)
    except jsonschema_rs.ValidationError as error:
        place = "#" + "".join(f"/{escaped(str(step))}" for step in error.instance_path)
        raise ValueError(f"at {place}: {error.message[:300]}") from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise ValueError(str(error)[:300]) from None


def _draft(said: object) -> str:
    for draft, (_, uri) in _DIALECTS.items():
        if isinstance(said, str) and said.rstrip("#").replace("https:", "http:") == uri.rstrip("#").replace(
            "https:", "http:"
        ):
            return draft
    raise ValueError(f"at #/$schema: {said!r} is not known; drafts 7 and 2020-12 are")


def escaped(step: str) -> str:
    """Write a name as a step of a JSON pointer."""
    return step.replace("~", "~0").replace("/", "~1")


def reference(place: str) -> dict[str, str]:
    """Return a schema that is the one at a place of the file."""
    return {"$ref": URI + "#" + quote(place.removeprefix("#"), safe="/~!$&'()*+,;=:@-._")}


_files: WeakValueDictionary[tuple[str, int, int, int], SchemaFile] = WeakValueDictionary()


def opened(path: Path) -> SchemaFile:
    """Read a file, or find it as it was read before if it is still the same.

    Raises:
        ValueError: it cannot be read, or it is neither JSON nor YAML; with the place.
    """
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            key = (str(path.absolute()), facts.st_ino, facts.st_mtime_ns, facts.st_size)
            known = _files.get(key)
            if known is not None:
                return known
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"{path} is longer than {MAX_BYTES:,} bytes")
    _files[key] = found = SchemaFile(path, data)
    return found


def _parsed(path: Path, data: bytes) -> Any:
    try:
        return orjson.loads(data) if path.suffix.lower() == ".json" else parse(data, str(path)).value
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}:{error.colno}: this is not JSON: {error.msg}") from None
    except ConfigError as error:
        raise ValueError(str(error)) from None
