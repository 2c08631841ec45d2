"""Schemas of every version of OpenAPI in one spelling: JSON Schema 2020-12, references to `#/components/schemas/…`.

Swagger 2.0 and OpenAPI 3.0 have a dialect of their own: ``nullable``, exclusive bounds as flags, ``example``. Schemas
may refer to each other in circles; each one that is referred to is written once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from hookgate.exchange import Path
from hookgate_openapi.description import Description, steps

_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    *("additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "items"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema", "additionalItems"),
)
_HOLDING = frozenset({*_NAMED, *_LISTED, *_SINGLE})
_DIALECTS = {
    "https://json-schema.org/draft/2020-12/schema": True,
    "https://spec.openapis.org/oas/3.1/dialect/base": True,
    "https://json-schema.org/draft/2019-09/schema": True,
}
_NOT_IN_OLD = frozenset({"discriminator", "xml", "externalDocs", "example", "nullable", "$id", "id", "$schema"})
_WRITTEN = re.compile(r"[^A-Za-z0-9._-]+")


class Schemas:
    """Translates schemas and collects those that are referred to, for ``components.schemas``."""

    def __init__(self, description: Description) -> None:
        self._description = description
        self._old = description.version in ("2.0", "3.0")
        self._names: dict[Path, str] = {}
        self._taken: set[str] = set()
        self._waiting: list[Path] = []
        dialect = description.value.get("jsonSchemaDialect", next(iter(_DIALECTS)))
        if not self._old and not _known(dialect):
            description.refuse(
                ("jsonSchemaDialect",), f"{dialect!r} is not known; leave it out for JSON Schema 2020-12"
            )

    def translated(self, schema: Any, path: Path) -> Any:
        """Return a schema in JSON Schema 2020-12; note what is wrong with it."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            self._description.refuse(path, "a schema is a mapping")
            return True
        if self._old:
            return self._from_old(schema, path)
        if "$schema" in schema and not _known(schema["$schema"]):
            self._description.refuse((*path, "$schema"), f"the dialect {schema['$schema']!r} is not known")
        found = self._inner(schema, path)
        for key in ("$id", "$schema", "discriminator", "xml", "externalDocs", "example"):
            found.pop(key, None)
        return self._loosened(found, schema)

    def components(self) -> dict[str, Any]:
        """Return every schema that is referred to, directly or by another one, by name, in the order of names."""
        found: dict[str, Any] = {}
        while self._waiting:
            path = self._waiting.pop()
            found[self._names[path]] = self.translated(self._description.at(path), path)
        return dict(sorted(found.items()))

    def named(self, reference: str) -> str:
        """Return the reference to a schema in the contract, and see to it that it is there."""
        path = steps(reference)
        if path not in self._names:
            own = path[-1:] if path[:-1] in (("components", "schemas"), ("definitions",)) else path
            name = base = _WRITTEN.sub("-", ".".join(map(str, own))).strip("-") or "schema"
            number = 1
            while name in self._taken:
                number += 1
                name = f"{base}-{number}"
            self._taken.add(name)
            self._names[path] = name
            self._waiting.append(path)
        return f"#/components/schemas/{self._names[path]}"

    def _from_old(self, schema: Mapping[str, Any], path: Path) -> Any:
        if isinstance(schema.get("$ref"), str):
            return {"$ref": self.named(schema["$ref"])}  # what stands beside it says nothing in this dialect
        found = {key: value for key, value in self._inner(schema, path).items() if key not in _NOT_IN_OLD}
        for bound, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            if isinstance(found.get(flag), bool) and found.pop(flag) and bound in found:
                found[flag] = found.pop(bound)
        if "example" in schema:
            found["examples"] = [schema["example"]]
        if not isinstance(found.get("required", []), list):
            del found["required"]  # a flag on the member itself, which is an older way to write it
        if found.get("type") in ("file", "any"):
            del found["type"]
        found = self._loosened(found, schema)
        nullable = schema.get("nullable", schema.get("x-nullable")) is True
        return _or_null(found) if nullable else found

    def _inner(self, schema: Mapping[str, Any], path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in schema.items():
            if key.startswith("x-"):
                continue
            if key == "$ref" and isinstance(value, str):
                found[key] = self.named(value)
            elif key not in _HOLDING:
                found[key] = value
            elif key in _NAMED:
                members = self._description.mapping(value, (*path, key))
                found[key] = {name: self.translated(item, (*path, key, name)) for name, item in members.items()}
            elif key in _LISTED or isinstance(value, list):
                items = self._description.listed(value, (*path, key))
                found["prefixItems" if key == "items" else key] = [
                    self.translated(item, (*path, key, index)) for index, item in enumerate(items)
                ]
            else:
                found[key] = self.translated(value, (*path, key))
        return found

    def _loosened(self, found: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
        """Take out of ``required`` what one direction lacks: ``readOnly`` is not sent, ``writeOnly`` not answered."""
        members = schema.get("properties")
        if isinstance(found.get("required"), list) and isinstance(members, Mapping):
            left = [name for name in found["required"] if not self._of_one_direction(_member(members, name))]
            if len(left) < len(found["required"]):
                found["required"] = left
        return found

    def _of_one_direction(self, member: Any) -> bool:
        if isinstance(member, Mapping) and isinstance(member.get("$ref"), str) and self._old:
            member, _ = self._description.resolved(member, ())
        return isinstance(member, Mapping) and (member.get("readOnly") is True or member.get("writeOnly") is True)


def _member(members: Mapping[str, Any], name: object) -> Any:
    return members.get(name) if isinstance(name, str) else None


def _known(dialect: object) -> bool:
    return isinstance(dialect, str) and (
        dialect.rstrip("#") in _DIALECTS or dialect.startswith("https://spec.openapis.org/oas/3.")
    )


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str) and not _has(schema, ("$ref", "allOf", "anyOf", "oneOf", "not")):
        values = schema.get("enum")
        if isinstance(values, list) and None not in values:
            schema["enum"] = [*values, None]
        schema["type"] = [kind, "null"]
        return schema
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema


def _has(schema: Mapping[str, Any], keys: Iterable[str]) -> bool:
    return any(key in schema for key in keys)
