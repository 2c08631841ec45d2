"""JSON Schemas of custom routes as `components.schemas` of an OpenAPI document, in the dialect of 3.1 or of 3.0."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
SINGLE = (
    *("additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "items"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema", "additionalItems"),
)
_KEPT_BY_OLD = frozenset(
    (
        *("title", "description", "default", "format", "pattern", "readOnly", "writeOnly", "deprecated", "enum"),
        *("multipleOf", "maximum", "minimum", "maxLength", "minLength", "maxItems", "minItems", "uniqueItems"),
        *("maxProperties", "minProperties", "required", "type", "properties", "additionalProperties", "items"),
        *("allOf", "anyOf", "oneOf", "not", "$ref"),
    )
)
_DEFS = re.compile(r"#/(?:\$defs|definitions)/([^/]+)(.*)")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
ROOT = "#/components/schemas/"


def components(schema: Mapping[str, Any], name: str, *, old: bool) -> dict[str, Any]:
    """Return a schema and those it defines, by name; the first one is the schema itself. References between them are
    right where they now stand; what a document of this version cannot say is left out, so that it says less and
    nothing wrong."""
    identifier = schema.get("$id", schema.get("id"))
    if any("$id" in each for each in _inner(schema)):  # a resource of its own, whose references go elsewhere
        return {name: {}}
    names: dict[str, str] = {}
    for key in ("$defs", "definitions"):
        for each in schema.get(key, {}) if isinstance(schema.get(key), Mapping) else ():
            base = f"{name}.{_ODD.sub('-', str(each))}"
            names[each] = base if base not in names.values() else f"{base}-{len(names)}"
    anchors = {each["$anchor"]: at for at, each in _walk(schema, "#") if isinstance(each.get("$anchor"), str)}

    def led(reference: str) -> str:
        if isinstance(identifier, str) and identifier:
            reference = reference.removeprefix(identifier)
        reference = reference or "#"
        if not reference.startswith("#"):
            return ""
        if reference != "#" and not reference.startswith("#/"):
            reference = anchors.get(reference[1:], "")
        if found := _DEFS.fullmatch(reference):
            plain = found[1].replace("~1", "/").replace("~0", "~")
            return f"{ROOT}{names[plain]}{found[2]}" if plain in names else ""
        return f"{ROOT}{name}{reference[1:]}" if reference else ""

    defined = {key: schema.get(key) or {} for key in ("$defs", "definitions")}
    rest = {key: value for key, value in schema.items() if key not in (*defined, "$id", "id", "$schema")}
    found = {name: _rewritten(rest, led)}
    for each in defined.values():
        found |= {names[key]: _rewritten(value, led) for key, value in each.items()}
    if old:
        found = {key: _old(value) for key, value in found.items()}
    return {key: _without_dangling(value, found) for key, value in found.items()}


def _inner(schema: Any) -> Iterator[Mapping[str, Any]]:
    return (each for at, each in _walk(schema, "#") if at != "#")


def _walk(schema: Any, at: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give every schema in a schema, with its pointer."""
    if not isinstance(schema, Mapping):
        return
    yield at, schema
    for key, value in schema.items():
        if key in NAMED and isinstance(value, Mapping):
            for name, each in value.items():
                yield from _walk(each, f"{at}/{key}/{_step(name)}")
        elif key in (*LISTED, "items") and isinstance(value, list):
            for index, each in enumerate(value):
                yield from _walk(each, f"{at}/{key}/{index}")
        elif key in SINGLE:
            yield from _walk(value, f"{at}/{key}")


def _step(name: Any) -> str:
    return str(name).replace("~", "~0").replace("/", "~1")


def _mapped(schema: Mapping[str, Any], change: Any) -> dict[str, Any]:
    """Return a schema with something done to each of those in it."""
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in NAMED and isinstance(value, Mapping):
            found[key] = {name: change(each) for name, each in value.items()}
        elif key in (*LISTED, "items") and isinstance(value, list):
            found[key] = [change(each) for each in value]
        elif key in SINGLE:
            found[key] = change(value)
        else:
            found[key] = value
    return found


def _rewritten(schema: Any, led: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    found = _mapped(schema, lambda each: _rewritten(each, led))
    for key in ("$anchor", "$dynamicAnchor", "$comment"):
        found.pop(key, None)
    if "$dynamicRef" in found:
        found["$ref"] = found.pop("$dynamicRef")
    if isinstance(found.get("$ref"), str):
        reference = led(found["$ref"])
        if reference:
            found["$ref"] = reference
        else:
            del found["$ref"]
    return found


def _without_dangling(schema: Any, among: Mapping[str, Any]) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    found = _mapped(schema, lambda each: _without_dangling(each, among))
    if "$ref" in found and not _is_there(found["$ref"], among):
        del found["$ref"]
    return found


def _is_there(reference: str, among: Mapping[str, Any]) -> bool:
    value: Any = among
    for step in reference.removeprefix(ROOT).split("/"):
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            if not key.isdigit() or int(key) >= len(value):
                return False
            value = value[int(key)]
        elif isinstance(value, Mapping) and key in value:
            value = value[key]
        else:
            return False
    return isinstance(value, Mapping | bool)


def _old(schema: Any) -> Any:
    """Say a schema in the dialect of OpenAPI 3.0, as far as it goes."""
    if schema is True:
        return {}
    if schema is False:
        return {"not": {}}
    if not isinstance(schema, Mapping):
        return {}
    if isinstance(schema.get("$ref"), str):
        more = {key: value for key, value in schema.items() if key != "$ref"}
        others = _old(more)
        reference = {"$ref": schema["$ref"]}
        return {"allOf": [reference], **others} if others and "allOf" not in others else reference
    found = {key: value for key, value in _mapped(schema, _old).items() if key in _KEPT_BY_OLD}
    if isinstance(found.get("additionalProperties"), Mapping) and isinstance(schema["additionalProperties"], bool):
        found["additionalProperties"] = schema["additionalProperties"]
    if isinstance(found.get("items"), list):
        found["items"] = {}
    if "const" in schema:
        found["enum"] = [schema["const"]]
    if not found.get("required", True):
        del found["required"]
    for bound, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        limit = schema.get(flag)
        if isinstance(limit, bool):
            found[flag] = limit
        elif limit is not None:
            worse = found.get(bound)
            if worse is None or (limit >= worse if bound == "minimum" else limit <= worse):
                found[bound], found[flag] = limit, True
    return _of_one_type(found)


def _of_one_type(schema: dict[str, Any]) -> dict[str, Any]:
    types = schema.pop("type", None)
    listed = types if isinstance(types, list) else [] if types is None else [types]
    plain = [each for each in listed if each != "null"]
    if len(plain) == 1:
        schema["type"] = plain[0]
        if "null" in listed:
            schema["nullable"] = True
    elif plain and "anyOf" not in schema:
        more = {"nullable": True} if "null" in listed else {}  # it speaks of a type beside it
        schema["anyOf"] = [{"type": each, **({"items": {}} if each == "array" else {}), **more} for each in plain]
    elif listed and not plain:
        schema["enum"], schema["nullable"] = [None], True
    if schema.get("type") == "array":
        schema.setdefault("items", {})
    return schema
