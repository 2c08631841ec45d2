"""A file of schemas, read once for all steps that refer to it: a plain JSON Schema file, or an OpenAPI 3.1 contract."""

from collections.abc import Mapping
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


class SchemaFile(ContractFile):
    """The content of a file with what was compiled of it."""

    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(path, data)
        self.eager = len(data) <= EAGER
        self.compiled: dict[tuple[str, ...], Any] = {}
        """Compiled schemas by what they are made of, shared by all steps."""
        self._registries: dict[str, Any] = {}

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
