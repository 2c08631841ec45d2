"""An example of a schema where nobody has written one: always the same, small, and as the schema says."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs

from hookgate_interceptor_mock.contract import followed
from hookgate_interceptor_mock.scalars import number, text

DEPTH = 12
"""Objects and lists inside each other; what is deeper is left out."""
VALUES = 2000
"""Values of one example; what would be more is left out."""
MEMBERS = 100
ROUNDS = 24
"""Examples that are tried until one is as its schema says."""
_URI = "urn:hookgate:mock"
Place = tuple[str | int, ...]


class Generator:
    """Makes examples of the schemas of one document."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole
        self._left = VALUES
        self._registry: Any = None
        self._tries: dict[Place, int] = {}
        """How often the value at a place was not as it should be: each time the next way to make it is taken."""
        self._plain = False
        """Whether examples and defaults are passed over, as they may be wrong themselves."""

    def example(self, schema: Any) -> Any:
        """Return a value of a schema: an example, default or choice that it names, or the least that fits.

        What nothing fits, or nothing that is found in a few rounds, gets a value of the right shape.
        """
        check = self._check(schema)
        self._tries, self._plain = {}, False
        first = self._made(schema)
        if check is None:
            return first
        value = first
        for tried in range(ROUNDS):
            places = _wrong(check, value)
            if not places:
                return value
            if tried == ROUNDS // 2:
                self._tries, self._plain = {}, True
            for place in places:
                known = next((place[:end] for end in range(len(place), -1, -1) if place[:end] in self._made_at), ())
                self._tries[known] = self._tries.get(known, 0) + 1
            value = self._made(schema)
        return first

    def _check(self, schema: Any) -> Any:
        """Compile a schema; ``None`` for one that is none."""
        try:
            if self._registry is None:
                self._registry = jsonschema_rs.Registry([(_URI, self._whole if isinstance(self._whole, dict) else {})])
            return jsonschema_rs.Draft202012Validator(_absolute(schema), registry=self._registry, offline=True)
        except (ValueError, TypeError, jsonschema_rs.ReferencingError):
            return None

    def _made(self, schema: Any) -> Any:
        self._left = VALUES
        self._made_at: set[Place] = set()
        return self._of(schema, ())

    def _of(self, schema: Any, place: Place) -> Any:
        schema = self._joined(followed(schema, self._whole), 0)
        self._left -= 1
        depth = len(place)
        if not isinstance(schema, Mapping) or depth > DEPTH or self._left < 0:
            return None
        self._made_at.add(place)
        said = list(_said(schema, plain=self._plain))
        turn = self._tries.get(place, 0)
        if turn < len(said):
            return said[turn]
        turn -= len(said)
        for word in ("oneOf", "anyOf", "if"):
            alternatives = schema.get(word)
            if word == "if" and word in schema:
                alternatives = [schema.get("else", {}), {"allOf": [schema[word], schema.get("then", {})]}]
            if isinstance(alternatives, list) and alternatives:
                rest = {key: value for key, value in schema.items() if key != word}
                chosen = alternatives[turn % len(alternatives)]
                turn //= len(alternatives)
                schema = self._joined({"allOf": [chosen, rest]}, 0)
                if found := [] if self._plain else list(_said(schema, plain=False)):
                    return found[turn % len(found)]
                if isinstance(schema, Mapping) and ("oneOf" in schema or "anyOf" in schema) and depth < DEPTH:
                    return self._of(schema, place) if not said and self._left > 0 else None
        if said and "enum" in schema:
            return said[turn % len(said)]
        kinds = _types(schema)
        return self._of_type(kinds[turn % len(kinds)], schema, place, turn // len(kinds))

    def _joined(self, schema: Any, depth: int) -> Any:
        """Bring the parts of ``allOf`` together."""
        parts = schema.get("allOf") if isinstance(schema, Mapping) else None
        if isinstance(schema, Mapping) and "$ref" in schema:  # what stands beside a reference counts as well
            parts = [{"$ref": schema["$ref"]}, *(parts if isinstance(parts, list) else [])]
        self._left -= 1
        if not isinstance(parts, list) or depth > DEPTH or self._left < 0:
            return schema
        joined: dict[str, Any] = {key: value for key, value in schema.items() if key not in ("allOf", "$ref")}
        for part in parts:
            inner = self._joined(followed(part, self._whole), depth + 1)
            if not isinstance(inner, Mapping):
                continue
            members = {**(inner.get("properties") or {}), **(joined.get("properties") or {})}
            required = [*(inner.get("required") or ()), *(joined.get("required") or ())]
            bounds = {
                word: pick(inner[word], joined[word])
                for word, pick in _STRICTER.items()
                if _is_number(inner.get(word)) and _is_number(joined.get(word))
            }
            joined = {**inner, **joined, **bounds}
            if members:
                joined["properties"] = members
            if required:
                joined["required"] = required
        return joined

    def _of_type(self, kind: str, schema: Mapping[str, Any], place: Place, turn: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, place, lean=turn % 2 == 1)
            case "array":
                return self._array(schema, place, turn)
            case "integer" | "number":
                return number(schema, whole=kind == "integer", turn=turn)
            case "boolean":
                return turn % 2 == 0
            case "string":
                return text(schema, turn)
        return None

    def _object(self, schema: Mapping[str, Any], place: Place, *, lean: bool) -> dict[str, Any]:
        members = schema.get("properties")
        required = [name for name in schema.get("required") or () if isinstance(name, str)]
        members = members if isinstance(members, Mapping) else {}
        found: dict[str, Any] = {}
        most, least = _count(schema, "maxProperties", MEMBERS), _count(schema, "minProperties", 0)
        for name in dict.fromkeys([*required, *members]):
            inner = followed(members[name] if name in members else self._other(schema, name), self._whole)
            if isinstance(inner, Mapping) and inner.get("writeOnly") is True:
                continue
            needed = name in required
            if inner is False or len(found) >= max(most, len(required)) or (lean and not needed):
                continue
            if not needed and (len(place) >= DEPTH // 2 or self._left <= 0):
                continue
            found[name] = self._of(inner, (*place, name))
        for number_ in range(least * 2):
            if len(found) >= min(least, MEMBERS):
                break
            for name, inner in (*members.items(), *self._more(schema, number_)):
                if name not in found and len(found) < least:
                    found[name] = self._of(inner, (*place, name))
        return found

    @staticmethod
    def _other(schema: Mapping[str, Any], name: str) -> Any:
        """Return the schema of a member that `properties` do not know."""
        patterns = schema.get("patternProperties")
        for pattern, inner in patterns.items() if isinstance(patterns, Mapping) else ():
            try:
                if re.search(pattern, name):
                    return inner
            except re.error:
                continue
        return schema.get("additionalProperties", {})

    @staticmethod
    def _more(schema: Mapping[str, Any], index: int) -> Iterator[tuple[str, Any]]:
        patterns = schema.get("patternProperties")
        for pattern, inner in patterns.items() if isinstance(patterns, Mapping) else ():
            yield text({"pattern": pattern}, index), inner
        if schema.get("additionalProperties") is not False:
            names = schema.get("propertyNames")
            name = f"name{index + 1}" if not isinstance(names, Mapping) else text(names, index)
            yield name, schema.get("additionalProperties", {"type": "string"})

    def _array(self, schema: Mapping[str, Any], place: Place, turn: int) -> list[Any]:
        least, most = _count(schema, "minItems", 0), _count(schema, "maxItems", VALUES)
        wanted = min(max(least, 0 if turn % 2 else 1), most, VALUES)
        fixed = schema.get("prefixItems")
        found = [self._of(each, (*place, index)) for index, each in enumerate(fixed if isinstance(fixed, list) else ())]
        items = schema.get("items", {"type": "string"} if least else None)
        if "contains" in schema:
            times = _count(schema, "minContains", 1)
            found += [self._of(schema["contains"], (*place, len(found) + index)) for index in range(times)]
        if isinstance(items, Mapping | bool) and items is not False and (len(place) < DEPTH // 2 or least):
            if schema.get("uniqueItems") is True:
                for index in range(len(found), wanted):  # each the next way to make one
                    self._tries.setdefault((*place, index), index)
            items = items if isinstance(items, Mapping) else {"type": "string"}
            found += [self._of(items, (*place, index)) for index in range(len(found), wanted)]
        return found[:most]


_STRICTER: Mapping[str, Any] = {
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), min),
}


def _wrong(check: Any, value: Any) -> list[Place]:
    """Name the places where a value is not as it should be."""
    try:
        if check.is_valid(value):
            return []
        return list(dict.fromkeys(tuple(error.instance_path) for error in check.iter_errors(value)))
    except ValueError:
        return []


def _absolute(schema: Any) -> Any:
    """Let references within the document say so."""
    if isinstance(schema, Mapping):
        return {
            key: _URI + value
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else _absolute(value)
            for key, value in schema.items()
            if key != "$id"
        }
    return [_absolute(each) for each in schema] if isinstance(schema, list) else schema


def _said(schema: Mapping[str, Any], *, plain: bool) -> Iterator[Any]:
    if not plain:
        examples = schema.get("examples")
        yield from examples if isinstance(examples, list) else ()
        yield from (schema[word] for word in ("example",) if word in schema)
    yield from (schema[word] for word in ("const",) if word in schema)
    if not plain and "default" in schema:
        yield schema["default"]
    choices = schema.get("enum")
    yield from choices if isinstance(choices, list) else ()


def _types(schema: Mapping[str, Any]) -> list[str]:
    """Name the types that a value may have, the likeliest first."""
    said = schema.get("type")
    if isinstance(said, str):
        return [said]
    if isinstance(said, list) and said:
        return [*(each for each in said if each != "null"), *(each for each in said if each == "null")]
    for found, words in (
        ("object", ("properties", "required", "additionalProperties", "minProperties", "patternProperties")),
        ("array", ("items", "prefixItems", "minItems", "contains")),
        ("string", ("pattern", "format", "minLength", "maxLength")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    ):
        if any(word in schema for word in words):
            return [found, *(each for each in _ANY if each != found)]
    return _ANY


_ANY = ["object", "string", "number", "boolean", "array", "null"]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(schema: Mapping[str, Any], word: str, otherwise: int) -> int:
    value = schema.get(word)
    return max(int(value), 0) if _is_number(value) else otherwise  # type: ignore[arg-type]
