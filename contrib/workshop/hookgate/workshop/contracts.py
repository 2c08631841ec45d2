"""A file that steps refer to, read once for all of them: schemas, or an OpenAPI 3.1 contract with its operations."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote
from weakref import WeakValueDictionary

from pydantic import ValidationInfo
from pydantic_core import core_schema

from hookgate import ConfigError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

LONGEST = 64 * 1024 * 1024
"""Bytes a file may have."""
MOST_HOPS = 32
"""References that are followed one after the other; more of them lead in a circle."""
_OPERATION = re.compile(r"([A-Za-z-]+) +(/\S*)")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def at_pointer(whole: Any, pointer: str) -> Any:
    """Return what stands at a JSON pointer (RFC 6901) in plain values, such as ``#/$defs/Order``.

    Raises:
        LookupError: nothing does; its one argument is the first name or number that is missing.
    """
    value = whole
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and _INDEX.fullmatch(key) and int(key) < len(value):
            value = value[int(key)]
        else:
            raise LookupError(key)
    return value


def pointer_step(name: str) -> str:
    """Write a name as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


class ContractFile:
    """The content of a file. Two are equal when their content is.

    As the type of an option it takes the path of the file. It is read again only when it has changed. A plugin derives
    from it, says how the content is read, and may keep beside it what it made of it.
    """

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.digest = hashlib.sha256(data).hexdigest()
        try:
            self.value = self.parsed(data, str(path))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{error.lineno}:{error.colno}: this is not JSON: {error.msg}") from None
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @staticmethod
    def parsed(data: bytes, name: str) -> Any:
        """Return the content as plain values; ``name`` is that of the file, whose ending may say what it is.

        Raises:
            JSONDecodeError: it is not the JSON that it should be.
            ConfigError: it is not well-formed otherwise.
        """
        raise NotImplementedError

    @classmethod
    def opened(cls, path: Path) -> Self:
        """Read a file, or find it as it was read before if it is still the same.

        Raises:
            ValueError: it cannot be read, is too long, or is not well-formed; with the place.
        """
        try:
            with path.open("rb") as file:
                facts = os.fstat(file.fileno())
                key = (cls, str(path.absolute()), facts.st_ino, facts.st_mtime_ns, facts.st_size)
                known = _files.get(key)
                if isinstance(known, cls):
                    return known
                data = file.read(LONGEST + 1)
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from None
        if len(data) > LONGEST:
            raise ValueError(f"{path} is longer than {LONGEST:,} bytes")
        _files[key] = found = cls(path, data)
        return found

    def at(self, place: str) -> Any:
        """Return what stands at a JSON pointer such as ``#/$defs/Order``.

        Raises:
            ValueError: nothing does.
        """
        if place not in ("#", "") and not place.startswith("#/"):
            raise ValueError(f"{place!r} is no place in {self.path}; write a JSON pointer such as '#/$defs/Order'")
        try:
            return at_pointer(self.value, place)
        except LookupError as error:
            raise ValueError(f"there is no {place} in {self.path}: {error.args[0]!r} is missing") from None

    def followed(self, value: Any, place: str) -> tuple[Any, str]:
        """Follow references within the file; return what they lead to, and its place.

        Raises:
            ValueError: one leads nowhere.
        """
        for _ in range(MOST_HOPS):
            reference = value.get("$ref") if isinstance(value, Mapping) else None
            if not isinstance(reference, str) or not reference.startswith("#"):
                break
            place = unquote(reference)
            value = self.at(place)
        return value, place

    def operation(self, written: str) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
        """Find an operation of an OpenAPI contract, written ``GET /pets/{id}``; return path item, operation and place.

        Raises:
            ValueError: there is none, or the file is no such contract.
        """
        version = self.value.get("openapi") if isinstance(self.value, Mapping) else None
        if not isinstance(version, str) or not version.startswith(("3.1", "3.2")):
            raise ValueError(
                f"{self.path} is no OpenAPI 3.1 description; `hookgate openapi import` makes one of other versions"
            )
        found = _OPERATION.fullmatch(written)
        if found is None:
            raise ValueError(f"{written!r} is no operation; write a method and a path, such as 'GET /pets/{{id}}'")
        method, path = found[1].lower(), found[2]
        paths = self.value.get("paths")
        item = paths.get(path) if isinstance(paths, Mapping) else None
        item, place = self.followed(item, f"#/paths/{pointer_step(path)}")
        operation = item.get(method) if isinstance(item, Mapping) else None
        if not isinstance(operation, Mapping):
            raise ValueError(f"there is no operation {written!r} in {self.path}")  # noqa: TRY004
        return item, operation, f"{place}/{method}"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and (self.path, self.digest) == (other.path, other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def validate(value: object, info: ValidationInfo) -> ContractFile:
            if isinstance(value, cls):
                return value
            if not isinstance(value, str | Path) or not str(value):
                raise ValueError("should be the path of a file")
            folder: Path | None = getattr((info.context or {}).get("builder"), "folder", None)
            return cls.opened(Path(value) if folder is None else folder / value)

        return core_schema.with_info_plain_validator_function(
            validate,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda file: str(file.path)),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "path"}


_files: WeakValueDictionary[tuple[type, str, int, int, int], ContractFile] = WeakValueDictionary()
