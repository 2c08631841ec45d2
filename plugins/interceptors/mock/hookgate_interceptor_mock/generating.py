"""An example of a schema where nobody has written one: always the same, small, and of the right shape."""

import math
from collections.abc import Mapping
from typing import Any

from hookgate_interceptor_mock.contract import followed

DEPTH = 12
"""Objects and lists inside each other; what is deeper is left out."""
VALUES = 2000
"""Values of one example; what would be more is left out."""
MEMBERS = 100
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ann@example.org",
    "idn-email": "ann@example.org",
    "hostname": "www.example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://www.example.org/",
    "url": "https://www.example.org/",
    "uri-reference": "/example",
    "uuid": "3f0f4a52-6d2e-4f0c-9a53-1d2f6a8b7c90",
    "byte": "ZXhhbXBsZQ==",
    "json-pointer": "/example",
    "regex": ".*",
}


class Generator:
    """Makes examples of the schemas of one document."""

    def __init__(self, whole: Any) -> None:
        self._whole = whole
        self._left = VALUES

    def example(self, schema: Any) -> Any:
        """Return a value of a schema: an example, default or choice that it names, or the least that fits."""
        self._left = VALUES
        return self._of(schema, 0)

    def _of(self, schema: Any, depth: int) -> Any:
        schema = followed(schema, self._whole)
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > DEPTH or self._left < 0:
            return None
        said = _said(schema)
        if said is not _NOTHING:
            return said
        schema = self._joined(schema, depth)
        for word in ("oneOf", "anyOf"):
            alternatives = schema.get(word)
            if isinstance(alternatives, list) and alternatives:
                first = followed(alternatives[0], self._whole)
                rest = {key: value for key, value in schema.items() if key != word}
                return self._of({**rest, **first} if isinstance(first, Mapping) else rest, depth + 1)
        return self._of_type(_type(schema), schema, depth)

    def _joined(self, schema: Mapping[str, Any], depth: int) -> Mapping[str, Any]:
        """Bring the parts of ``allOf`` together."""
        parts = schema.get("allOf")
        if not isinstance(parts, list) or depth > DEPTH:
            return schema
        joined: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in parts:
            found = followed(part, self._whole)
            if not isinstance(found, Mapping):
                continue
            inner = self._joined(found, depth + 1)
            members = {**(inner.get("properties") or {}), **(joined.get("properties") or {})}
            required = [*(inner.get("required") or ()), *(joined.get("required") or ())]
            joined = {**inner, **joined}
            if members:
                joined["properties"] = members
            if required:
                joined["required"] = required
        return joined

    def _of_type(self, kind: str, schema: Mapping[str, Any], depth: int) -> Any:
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "integer" | "number":
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return True
            case "string":
                return _string(schema)
        return None

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        members = schema.get("properties")
        required = [name for name in schema.get("required") or () if isinstance(name, str)]
        members = members if isinstance(members, Mapping) else {}
        found: dict[str, Any] = {}
        for name in dict.fromkeys([*required, *members]):
            inner = followed(members.get(name, {}), self._whole)
            if isinstance(inner, Mapping) and inner.get("writeOnly") is True:
                continue
            needed = name in required
            if len(found) >= MEMBERS or (not needed and (depth >= DEPTH // 2 or self._left <= 0)):
                continue
            found[name] = self._of(inner, depth + 1)
        return found

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        least = schema.get("minItems")
        count = min(max(least, 1), 10) if isinstance(least, int) else 1
        fixed = schema.get("prefixItems")
        found = [self._of(each, depth + 1) for each in fixed[:10]] if isinstance(fixed, list) else []
        items = schema.get("items")
        if isinstance(items, Mapping) and (depth < DEPTH // 2 or least):
            found += [self._of(items, depth + 1) for _ in range(count - len(found))]
        return found


_NOTHING = object()


def _said(schema: Mapping[str, Any]) -> Any:
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return examples[0]
    for word in ("example", "const", "default"):
        if word in schema:
            return schema[word]
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    return _NOTHING


def _type(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if isinstance(kind, str):
        return kind
    for found, words in (
        ("object", ("properties", "required", "additionalProperties")),
        ("array", ("items", "prefixItems", "minItems")),
        ("string", ("pattern", "format", "minLength", "maxLength")),
        ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
    ):
        if any(word in schema for word in words):
            return found
    return "object"


def _number(schema: Mapping[str, Any], *, whole: bool) -> float:
    def bound(word: str) -> float | None:
        value = schema.get(word)
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None

    step = bound("multipleOf") or 1
    low, above = bound("minimum"), bound("exclusiveMinimum")
    high, below = bound("maximum"), bound("exclusiveMaximum")
    value: float = 1
    if low is not None or above is not None:
        value = low if low is not None else above + step if above is not None else 1
    elif high is not None and high < value:
        value = high
    elif below is not None and below <= value:
        value = below - step
    if step != 1 or whole:
        value = math.ceil(value / step) * step
    return int(value) if whole or float(value).is_integer() else value


def _string(schema: Mapping[str, Any]) -> str:
    text = _FORMATS.get(str(schema.get("format")), "string")
    least, most = schema.get("minLength"), schema.get("maxLength")
    if isinstance(least, int) and len(text) < least:
        text = (text * (min(least, 1000) // len(text) + 1))[: min(least, 1000)]
    return text[:most] if isinstance(most, int) and most >= 0 else text
