"""Schemas with values that JSON Schema does not know: mended where only one thing can be meant, refused otherwise.

Whatever leaves here compiles, so that a document that was imported can be loaded and served.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jsonschema_rs

from hookgate.exchange import Path, near
from hookgate_openapi.patterns import ecma

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_META = jsonschema_rs.Draft202012Validator({"$ref": "https://json-schema.org/draft/2020-12/schema"})
_NUMBERS = frozenset(
    {"maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "multipleOf", "maxLength", "minLength", "maxItems"}
    | {"minItems", "maxProperties", "minProperties", "maxContains", "minContains"}
)
_DESCRIBING = frozenset(
    {"title", "description", "$comment", "deprecated", "readOnly", "writeOnly", "examples", "default", "format"}
    | {"contentEncoding", "contentMediaType"}
)
KNOWN = (*sorted(_NUMBERS | _DESCRIBING), "const", "enum", "pattern", "required", "type", "uniqueItems")
"""Keywords whose values are no schemas."""
_NOT_FOLLOWED = ("$dynamicRef", "$recursiveRef")
_GONE = object()
_LONGEST = 100


class Mending:
    """Mends schemas, one without those inside it at a time."""

    def __init__(self, refuse: Callable[[Path, str], None], warn: Callable[[Path, str], None]) -> None:
        self._refuse = refuse
        self._warn = warn

    def mended(self, schema: dict[str, Any], path: Path) -> dict[str, Any]:
        """Return a schema as JSON Schema 2020-12 knows it, and tell what was changed or cannot be."""
        schema.pop("$anchor", None)  # whoever refers to a name is refused already
        schema.pop("$dynamicAnchor", None)
        for word in _NOT_FOLLOWED:
            if word in schema:
                self._refuse((*path, word), f"`{word}` is not followed; write `$ref`")
                del schema[word]
        if isinstance(schema.get("pattern"), str):
            schema["pattern"] = self.pattern(schema["pattern"], (*path, "pattern"))
        for keyword in _wrong(schema):
            self._mend(schema, keyword, (*path, keyword))
        return schema

    def pattern(self, written: str, path: Path) -> str:
        """Return a pattern that compiles; note one that does not."""
        meant = ecma(written)
        if meant != written and _compiles(meant):
            self._warn(path, f"the pattern {_shown(written)} is read as {_shown(meant)}")
            return meant
        if not _compiles(written):
            self._refuse(path, f"{_shown(written)} is no regular expression as JSON Schema knows them (ECMA-262)")
            return ""
        return written

    def _mend(self, schema: dict[str, Any], keyword: str, path: Path) -> None:
        value = schema.pop(keyword)
        meant = _meant(keyword, value)
        if meant is _GONE:
            self._warn(path, f"{_shown(value)} says nothing that is known here; it is left out")
        elif _wrong({keyword: meant}):
            self._refuse(path, _reason(keyword, value))
        else:
            self._warn(path, f"{_shown(value)} is read as {_shown(meant)}")
            schema[keyword] = meant


def _wrong(schema: dict[str, Any]) -> list[str]:
    """Name the keywords whose values are none."""
    shallow = {key: value for key, value in schema.items() if not key.startswith("x-") and key not in _DATA}
    try:
        if _META.is_valid(shallow):
            return []
        return list(dict.fromkeys(str(error.instance_path[0]) for error in _META.iter_errors(shallow)))
    except ValueError:
        return [key for key, value in shallow.items() if not _is_valid({key: value})]


_DATA = frozenset(
    {"const", "default", "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "allOf"}
    | {"anyOf", "oneOf", "prefixItems", "additionalProperties", "not", "if", "then", "else", "contains", "items"}
    | {"propertyNames", "unevaluatedItems", "unevaluatedProperties", "contentSchema", "additionalItems"}
)
"""What is data, or holds schemas that are looked at by themselves."""


def _is_valid(schema: dict[str, Any]) -> bool:
    try:
        return bool(_META.is_valid(schema))
    except ValueError:
        return False


def _meant(keyword: str, value: Any) -> Any:
    """Say what can only be meant by a value; the value itself if nobody knows."""
    if keyword == "type":
        listed = [_type(each) for each in value] if isinstance(value, list) else None
        return list(dict.fromkeys(listed)) if listed else _type(value)
    if value is None or keyword in _DESCRIBING:
        return _GONE
    if keyword in _NUMBERS and isinstance(value, str):
        return _number(value)
    if keyword == "uniqueItems" and value in ("true", "false"):
        return value == "true"
    if keyword == "required":
        if isinstance(value, bool):
            return _GONE  # a flag on the member itself, which is an older way to write it
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return list(dict.fromkeys(value))
    return value


def _type(value: Any) -> Any:
    if value is None:
        return "null"
    return value.strip().lower() if isinstance(value, str) else value


def _number(text: str) -> Any:
    if not re.fullmatch(r"\s*-?\d{1,18}(\.\d{1,18})?\s*", text):
        return text
    number = float(text)
    return int(text) if "." not in text else number if math.isfinite(number) else text


def _reason(keyword: str, value: Any) -> str:
    if keyword == "type" and isinstance(value, str):
        return f"{_shown(value)} is no type{near(value, TYPES)}; there is: {', '.join(TYPES)}"
    return f"{_shown(value)} is nothing that `{keyword}` may be in JSON Schema"


@lru_cache(4096)
def _compiles(pattern: str) -> bool:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern})
    except ValueError:
        return False
    return True


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
