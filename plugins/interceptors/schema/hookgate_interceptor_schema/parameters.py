"""Parameters of a request as values: texts become numbers, truth values and lists where a schema asks for them."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

import orjson

from hookgate import BadRequest, Exchange

PLACES = ("path", "query", "header", "cookie")
MOST = 1000
"""Parameters that a query or a form may have."""
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,39})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,39})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
_DEEP = re.compile(r"([^\[\]]+)\[([^\[\]]*)\]")
_BETWEEN = {"spaceDelimited": re.compile("%20| "), "pipeDelimited": re.compile(r"\|")}
Resolve = Callable[[Any], Any]


class Shape(NamedTuple):
    """What a schema says of types, as far as texts have to know."""

    types: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()
    members: Mapping[str, "Shape"] = {}


class Parameter(NamedTuple):
    """How one parameter is written."""

    name: str
    shape: Shape
    style: str = ""
    explode: bool | None = None
    is_json: bool = False

    def value(self, texts: list[str]) -> Any:
        """Make a value of the texts that stand under the name."""
        if self.is_json:
            return _json(texts[0])
        if "array" not in self.shape.types or not texts:
            return typed(texts[0] if len(texts) == 1 else ",".join(texts), self.shape.types)
        split = len(texts) == 1 and self.explode is False
        between = _BETWEEN.get(self.style)
        parts = texts
        if split and between is not None:
            parts = between.split(texts[0])
        elif split:
            parts = texts[0].split(",") if texts[0] else []
        return [typed(part.strip() if self.style == "simple" else part, self.shape.items) for part in parts]


def typed(text: str, types: Iterable[str]) -> Any:
    """Return a text as the first of the types that it can be, or as it is."""
    if "integer" in types and _INTEGER.fullmatch(text):
        return int(text)
    if ("number" in types or "integer" in types) and _NUMBER.fullmatch(text):
        return float(text) if "." in text or "e" in text.lower() else int(text)
    if "boolean" in types and text in ("true", "false"):
        return text == "true"
    if "null" in types and text in ("", "null") and "string" not in types:
        return None
    return text


def shape_of(schema: Any, resolve: Resolve, depth: int = 0) -> Shape:
    """Find the types that a schema lets pass, through references and alternatives."""
    schema = resolve(schema)
    if not isinstance(schema, Mapping) or depth > 8:
        return Shape()
    said = schema.get("type")
    types = {said} if isinstance(said, str) else {str(each) for each in said} if isinstance(said, list) else set()
    items: set[str] = set()
    members: dict[str, Shape] = {}
    if depth < 3 and isinstance(schema.get("properties"), Mapping):
        members = {name: shape_of(each, resolve, depth + 1) for name, each in schema["properties"].items()}
    if "items" in schema:
        items |= shape_of(schema["items"], resolve, depth + 1).types
    for values in (schema.get("enum"), [schema["const"]] if "const" in schema else None):
        if isinstance(values, list) and not types:
            types |= {_type_of(value) for value in values}
    for word in ("allOf", "anyOf", "oneOf"):
        for each in schema.get(word, ()) if isinstance(schema.get(word), list) else ():
            inner = shape_of(each, resolve, depth + 1)
            types |= inner.types
            items |= inner.items
            members = {**inner.members, **members}
    return Shape(frozenset(types), frozenset(items), members)


def _type_of(value: object) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")


def received(place: str, exchange: Exchange) -> list[tuple[str, str]]:
    """Return the texts of a place, decoded, with repetitions.

    Raises:
        BadRequest: they are not UTF-8, or too many.
    """
    request = exchange.request
    try:
        if place == "path":
            return [(name, unquote(text, errors="strict")) for name, text in exchange.params.items()]
        if place == "query":
            return pairs(request.query)
    except ValueError:
        raise BadRequest(f"The {place} is not UTF-8, or has too many parameters.", reason="malformed-request") from None
    if place == "header":
        return [(name.lower(), value) for name, value in request.headers.items()]
    crumbs = [crumb.partition("=") for line in request.headers.getall("cookie") for crumb in line.split(";")]
    return [(name.strip(), value.strip().strip('"')) for name, _, value in crumbs[:MOST] if name.strip()]


def pairs(text: str) -> list[tuple[str, str]]:
    """Take a query or a form apart. Raises ``ValueError`` for one that is not UTF-8 or has too many parameters."""
    return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST)


def values_of(texts: list[tuple[str, str]], parameters: Iterable[Parameter], *, others: bool) -> dict[str, Any]:
    """Make values of what was received: of the parameters that are known, and of all others if they are wanted."""
    by_name: dict[str, list[str]] = {}
    for name, text in texts:
        by_name.setdefault(name, []).append(text)
    values: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.style == "deepObject":
            deep = _deep(parameter, by_name)
            if deep:
                values[parameter.name] = deep
        elif parameter.name in by_name:
            values[parameter.name] = parameter.value(by_name.pop(parameter.name))
    if others:
        for name, found in by_name.items():
            values.setdefault(name, found[0] if len(found) == 1 else found)
    return values


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _deep(parameter: Parameter, by_name: dict[str, list[str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in list(by_name):
        match = _DEEP.fullmatch(name)
        if match and match[1] == parameter.name:
            shape = parameter.shape.members.get(match[2], Shape())
            found[match[2]] = Parameter(match[2], shape).value(by_name.pop(name))
    return found
