"""Schemas of every version of OpenAPI in one spelling: JSON Schema 2020-12, references to `#/components/schemas/…`.

Swagger 2.0 and OpenAPI 3.0 have a dialect of their own: ``nullable``, exclusive bounds as flags, ``example``. Schemas
may refer to each other in circles; each one that is referred to is written once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hookgate.exchange import Path
from hookgate_openapi.description import Description, steps
from hookgate_openapi.mending import Mending

_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    *("additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "items"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema", "additionalItems"),
)
_DIRECTIONS = ("readOnly", "writeOnly")
"""What says that a member is not in what is sent, and not in what is answered."""
_Variant = tuple[Path, frozenset[str], bool]
"""A schema by its place, members that may be missing whatever it says, and whether it is of answers only."""
_COMPOSED = ("allOf", "anyOf", "oneOf", "then", "else")
"""Keywords whose schemas speak of the same value, so that what is read only in one of them is in all."""
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
        self._mending = Mending(description.refuse, description.warn)
        self._names: dict[_Variant, str] = {}
        self._taken: set[str] = set()
        self._waiting: list[_Variant] = []
        self._answered = False
        """Whether what is translated is answered, and not sent."""
        self._differs: dict[Path, bool] = {}
        """Whether a schema, or one that it refers to, has members of one direction."""
        dialect = description.value.get("jsonSchemaDialect", next(iter(_DIALECTS)))
        if not self._old and not _known(dialect):
            description.refuse(
                ("jsonSchemaDialect",), f"{dialect!r} is not known; leave it out for JSON Schema 2020-12"
            )

    def translated(self, schema: Any, path: Path, *, answered: bool = False) -> Any:
        """Return a schema of what is sent, or ``answered``, in JSON Schema 2020-12; note what is wrong with it. Members
        that this direction lacks may be missing.
        """
        self._answered = answered
        return self._translated(schema, path)

    def _translated(self, schema: Any, path: Path, loose: frozenset[str] = frozenset()) -> Any:
        """Translate for the direction that is set.

        ``loose`` names members that may be missing, whatever it says: a schema around it has them for the other one.
        """
        if schema in (None, "true", "false"):
            self._description.warn(path, f"{schema!r} is read as {schema != 'false'}")
            schema = schema != "false"
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, Mapping):
            self._description.refuse(path, "a schema is a mapping")
            return True
        if "required" in schema or "$ref" in schema or _has(schema, _COMPOSED):
            loose |= self._one_way(schema)
        if self._old:
            return self._from_old(schema, path, loose)
        if "$schema" in schema and not _known(schema["$schema"]):
            self._description.refuse((*path, "$schema"), f"the dialect {schema['$schema']!r} is not known")
        found = self._inner(schema, path, loose)
        for key in ("$id", "$schema", "discriminator", "xml", "externalDocs", "example"):
            found.pop(key, None)
        return _loosened(self._mending.mended(_bounded(found), path), loose)

    def components(self) -> dict[str, Any]:
        """Return every schema that is referred to, directly or by another one, by name, in the order of names."""
        found: dict[str, Any] = {}
        while self._waiting:
            variant = self._waiting.pop()
            path, loose, self._answered = variant
            found[self._names[variant]] = self._translated(self._description.at(path), path, loose)
        return dict(sorted(found.items()))

    def named(self, reference: str, loose: frozenset[str] = frozenset()) -> str:
        """Return the reference to a schema in the contract, and see to it that it is there."""
        path = steps(reference)
        if loose:
            target = {"$ref": reference}
            loose &= self._required(target) - self._one_way(target)
        variant = path, loose, self._answered and self._is_directed(path)
        if variant not in self._names:
            own = path[-1:] if path[:-1] in (("components", "schemas"), ("definitions",)) else path
            more = [word for word, wanted in (("response", variant[2]), ("partial", loose)) if wanted]
            name = base = _WRITTEN.sub("-", ".".join(map(str, (*own, *more)))).strip("-")
            name = base = base or "schema"
            number = 1
            while name in self._taken:
                number += 1
                name = f"{base}-{number}"
            self._taken.add(name)
            self._names[variant] = name
            self._waiting.append(variant)
        return f"#/components/schemas/{self._names[variant]}"

    def _is_directed(self, path: Path) -> bool:
        """Whether a schema, with those that it refers to, asks in one direction for members that the other lacks."""
        seen: set[Path] = set()
        one_way: set[str] = set()
        required: set[str] = set()
        waiting = [path]
        while waiting:
            at = waiting.pop()
            if at in seen or self._differs.get(at) is False:
                continue
            seen.add(at)
            for part in _looked_through(self._description.at(at)):
                members, asked, reference = part.get("properties"), part.get("required"), part.get("$ref")
                if isinstance(members, Mapping):
                    one_way |= {name for name, member in members.items() if self._of_a_direction(member, *_DIRECTIONS)}
                if isinstance(asked, list):
                    required |= {each for each in asked if isinstance(each, str)}
                waiting += [steps(reference)] if isinstance(reference, str) else []
            if self._differs.get(at) or one_way & required:
                self._differs[path] = True
                return True
        self._differs |= dict.fromkeys(seen, False)
        return False

    def _from_old(self, schema: Mapping[str, Any], path: Path, loose: frozenset[str]) -> Any:
        if isinstance(schema.get("$ref"), str):
            return {"$ref": self.named(schema["$ref"], loose)}  # what stands beside it says nothing in this dialect
        found = {key: value for key, value in self._inner(schema, path, loose).items() if key not in _NOT_IN_OLD}
        if "example" in schema:
            found["examples"] = [schema["example"]]
        if isinstance(found.get("required"), bool):
            del found["required"]  # a flag on the member itself, which is an older way to write it
        if found.get("type") == "file":
            found |= {"type": "string", "format": "binary"}
        elif found.get("type") == "any":
            del found["type"]
        found = _loosened(self._mending.mended(_bounded(found), path), loose)
        nullable = schema.get("nullable", schema.get("x-nullable")) in (True, "true")
        return _or_null(found) if nullable else found

    def _inner(self, schema: Mapping[str, Any], path: Path, loose: frozenset[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in schema.items():
            beside = loose if key in _COMPOSED else frozenset()
            if key.startswith("x-"):
                continue
            if key == "$ref" and isinstance(value, str):
                found[key] = self.named(value, loose)
            elif key not in _HOLDING:
                found[key] = value
            elif key in _NAMED:
                members = self._description.mapping(value, (*path, key))
                found[key] = {
                    self._pattern(key, name, path): self._translated(item, (*path, key, name))
                    for name, item in members.items()
                }
            elif key in _LISTED or (key == "items" and isinstance(value, list)):
                items = self._description.listed(value, (*path, key))
                found["prefixItems" if key == "items" else key] = [
                    self._translated(item, (*path, key, index), beside) for index, item in enumerate(items)
                ]
            else:
                found[key] = self._translated(value, (*path, key), beside)
        return {key: value for key, value in found.items() if value != [] or key not in _LISTED}

    def _pattern(self, key: str, name: str, path: Path) -> str:
        return self._mending.pattern(name, (*path, key, name)) if key == "patternProperties" else name

    def _one_way(self, schema: Any) -> frozenset[str]:
        """Name the members that this direction lacks: ``readOnly`` is not sent, ``writeOnly`` not answered."""
        found: set[str] = set()
        lacking = _DIRECTIONS[self._answered]
        for part in self._parts(schema, ("allOf",)):
            members = part.get("properties")
            if isinstance(members, Mapping):
                found |= {name for name, member in members.items() if self._of_a_direction(member, lacking)}
        return frozenset(found)

    def _required(self, schema: Any) -> frozenset[str]:
        """Name the members that a schema asks for, wherever it does."""
        lists = [part.get("required") for part in self._parts(schema, _COMPOSED)]
        return frozenset(name for each in lists if isinstance(each, list) for name in each if isinstance(name, str))

    def _of_a_direction(self, member: Any, *words: str) -> bool:
        return any(part.get(word) in (True, "true") for part in self._parts(member, ("allOf",)) for word in words)

    def _parts(self, schema: Any, composed: tuple[str, ...]) -> Iterator[Mapping[str, Any]]:
        """Walk over a schema and those that speak of the same value, each once, references followed."""
        seen: set[str] = set()
        pending = [schema]
        while pending:
            part = pending.pop()
            if not isinstance(part, Mapping):
                continue
            reference = part.get("$ref")
            if isinstance(reference, str):
                if reference not in seen:
                    seen.add(reference)
                    pending.append(self._description.at(steps(reference)))
                if self._old:
                    continue
            yield part
            for word in composed:
                value = part.get(word)
                pending += value if isinstance(value, list) else [value]


def _looked_through(schema: Any) -> Iterator[Mapping[str, Any]]:
    """Walk over every mapping in a schema; references are not followed."""
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Mapping):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part


def _loosened(schema: dict[str, Any], loose: frozenset[str]) -> dict[str, Any]:
    """Take out of ``required`` what may be missing."""
    required = schema.get("required")
    if loose and isinstance(required, list):
        schema["required"] = [name for name in required if name not in loose]
    return schema


def _bounded(schema: dict[str, Any]) -> dict[str, Any]:
    """Write exclusive bounds that are flags as the bounds they are."""
    for bound, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(schema.get(flag), bool) and schema.pop(flag) and bound in schema:
            schema[flag] = schema.pop(bound)
    return schema


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
