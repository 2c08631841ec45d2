"""The contract that answers come from: an OpenAPI 3.1 description, read once for all steps that refer to it."""

import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from weakref import WeakValueDictionary

import orjson

from hookgate import ConfigError
from hookgate.document.document import MAX_BYTES, parse

MOST_HOPS = 32
_OPERATION = re.compile(r"([A-Za-z-]+) +(/\S*)")


class Contract:
    """The content of a file. Two are equal when their content is."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        self.digest = hashlib.sha256(data).hexdigest()
        self.value = _parsed(path, data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Contract) and (self.path, self.digest) == (other.path, other.digest)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Contract {self.path}>"

    def responses(self, written: str) -> Mapping[str, Any]:
        """Find the answers of an operation, written ``GET /pets/{id}``.

        Raises:
            ValueError: there is no such operation, or the file is no such contract.
        """
        version = self.value.get("openapi") if isinstance(self.value, Mapping) else None
        if not isinstance(version, str) or not version.startswith(("3.1", "3.2")):
            raise ValueError(
                f"{self.path} is no OpenAPI 3.1 description; `hookgate import openapi` makes one of other versions"
            )
        found = _OPERATION.fullmatch(written)
        if found is None:
            raise ValueError(f"{written!r} is no operation; write a method and a path, such as 'GET /pets/{{id}}'")
        item = followed(self.value.get("paths", {}).get(found[2]), self.value)
        operation = item.get(found[1].lower()) if isinstance(item, Mapping) else None
        if not isinstance(operation, Mapping):
            raise ValueError(f"there is no operation {written!r} in {self.path}")  # noqa: TRY004
        answers = operation.get("responses")
        return answers if isinstance(answers, Mapping) else {}


def followed(value: Any, whole: Any) -> Any:
    """Follow references within a document; ``None`` for one that leads nowhere."""
    for _ in range(MOST_HOPS):
        reference = value.get("$ref") if isinstance(value, Mapping) else None
        if not isinstance(reference, str):
            return value
        if not reference.startswith("#"):
            return None
        value = whole
        for step in unquote(reference).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(value, Mapping) and key in value:
                value = value[key]
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
    return None


_files: WeakValueDictionary[tuple[str, int, int, int], Contract] = WeakValueDictionary()


def opened(path: Path) -> Contract:
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
    _files[key] = found = Contract(path, data)
    return found


def _parsed(path: Path, data: bytes) -> Any:
    try:
        return orjson.loads(data) if path.suffix.lower() == ".json" else parse(data, str(path)).value
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}:{error.colno}: this is not JSON: {error.msg}") from None
    except ConfigError as error:
        raise ValueError(str(error)) from None
