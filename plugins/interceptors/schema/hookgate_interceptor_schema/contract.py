"""A file of schemas, read once for all steps that refer to it: a plain JSON Schema file, or an OpenAPI 3.1 contract."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import jsonschema_rs
import orjson

from hookgate.document import parse
from hookgate.workshop import ContractFile, pointer_step

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

_META = {draft: made({"$ref": uri.rstrip("#")}, validate_formats=False) for draft, (made, uri) in _DIALECTS.items()}
_DATA = frozenset({"const", "default", "enum", "example", "examples"})
_NAMED = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})


class SchemaFile(ContractFile):
    """The content of a file with what was compiled of it."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(path, data)
        self.eager = len(data) <= EAGER
        self.compiled: dict[tuple[str, ...], Any] = {}
        """Compiled schemas by what they are made of, shared by all steps."""
        self._registries: dict[str, Any] = {}
        self._sound: set[tuple[str, str]] = set()

    @staticmethod
    def parsed(data: bytes, name: str) -> Any:
        """Read JSON, or a document of another kind."""
        return orjson.loads(data) if name.lower().endswith(".json") else parse(data, name).value

    def target(self, place: str) -> str:
        """Return the place of the schema that the one at a place stands for: its own, unless it is a reference only."""
        for _ in range(MOST_HOPS):
            value = self.at(place)
            if not isinstance(value, Mapping) or set(value) != {"$ref"} or not str(value["$ref"]).startswith("#/"):
                break
            place = unquote(value["$ref"])
        return place

    def verify(self, schema: Any, draft: str) -> bool:
        """Look at a schema and at all that it refers to, each once, without compiling them; whether that tells it all.

        Raises:
            ValueError: one of them is none, has a pattern that is none, or refers to what is not there.
        """
        seen: set[tuple[str, str]] = set()
        pending = [("#", schema)]
        while pending:
            place, value = pending.pop()
            for error in _META[draft].iter_errors(value):
                steps = "".join(f"/{pointer_step(str(step))}" for step in error.instance_path)
                raise ValueError(f"at {place}{steps}: {error.message[:300]}")
            for pattern in _said(value, "pattern"):
                if isinstance(pattern, str):
                    _compile(pattern, place)
            if any(True for _ in _said(value, "$id", "$schema", "$dynamicRef")):
                return False
            for said in _said(value, "$ref"):
                target = unquote(str(said).removeprefix(URI))
                if not target.startswith("#/"):
                    return False
                if (draft, target) not in seen | self._sound:
                    seen.add((draft, target))
                    pending.append((target, self.at(target)))
        self._sound |= seen
        return True

    def validator(self, schema: Any, draft: str, formats: bool) -> Any:
        """Compile a schema that may refer to places in this file (``urn:hookgate:schemas#/…``)."""
        if draft not in self._registries:
            said = {"$schema": _DIALECTS[draft][1]}
            value = {**said, **self.value} if isinstance(self.value, dict) else self.value
            self._registries[draft] = jsonschema_rs.Registry([(URI, value)])
        return compiled(schema, draft, formats, self._registries[draft])


def _said(schema: Any, *words: str) -> Iterator[Any]:
    """Walk over what a schema and those in it say under some keywords, and over patterns for names."""
    pending = [(schema, False)]
    while pending:
        value, named = pending.pop()
        if isinstance(value, list):
            pending += [(each, False) for each in value]
        elif isinstance(value, Mapping):
            if not named:
                yield from (value[word] for word in words if word in value)
                if "pattern" in words and isinstance(value.get("patternProperties"), Mapping):
                    yield from value["patternProperties"]
            for key, item in value.items():
                if named or key not in _DATA:
                    pending.append((item, not named and key in _NAMED))


@lru_cache(4096)
def _compile(pattern: str, place: str) -> None:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern})
    except ValueError:
        raise ValueError(f"at {place}: {pattern[:100]!r} is no regular expression") from None


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
        place = "#" + "".join(f"/{pointer_step(str(step))}" for step in error.instance_path)
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


def reference(place: str) -> dict[str, str]:
    """Return a schema that is the one at a place of the file."""
    return {"$ref": URI + "#" + quote(place.removeprefix("#"), safe="/~!$&'()*+,;=:@-._")}
