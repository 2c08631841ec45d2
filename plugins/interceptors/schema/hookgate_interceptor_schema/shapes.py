"""What a schema says of types, as far as texts have to know to become values."""

import re
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, NamedTuple

import jsonschema_rs

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,39})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,39})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
Resolve = Callable[[Any], Any]
Named = Callable[[str], bool]


class Shape(NamedTuple):
    """The types of a value, of its items and of its members."""

    types: frozenset[str] = frozenset()
    items: "Shape | None" = None
    members: Mapping[str, "Shape"] = {}
    patterns: tuple[tuple[Named, "Shape"], ...] = ()
    """Members by patterns for their names."""
    rest: "Shape | None" = None
    """Members that nothing else names, where something is said of them."""

    def member(self, name: str) -> "Shape":
        """Return what is said of a member, wherever it is said."""
        said = [self.members[name]] if name in self.members else []
        said += [shape for named, shape in self.patterns if named(name)]
        return reduce(merged, said) if said else self.rest or Shape()

    def takes(self, name: str) -> bool:
        """Whether something is said of a member that `properties` do not know."""
        return self.rest is not None or any(named(name) for named, _ in self.patterns)


def merged(one: Shape, other: Shape) -> Shape:
    """Return what either of two shapes says."""
    members = {**one.members, **other.members}
    for name in one.members.keys() & other.members.keys():
        members[name] = merged(one.members[name], other.members[name])
    return Shape(
        one.types | other.types,
        _either(one.items, other.items),
        members,
        one.patterns + other.patterns,
        _either(one.rest, other.rest),
    )


def _either(one: Shape | None, other: Shape | None) -> Shape | None:
    return merged(one, other) if one is not None and other is not None else one or other


_TEXT = frozenset({"string"})


def readings(text: str, types: frozenset[str]) -> list[Any]:
    """Return what a text may be of some types, the likeliest first; as it is if it is none of them.

    A schema may let several pass, such as a number and a text: which of them counts, only the whole schema tells.
    """
    if not types or types == _TEXT:
        return [text]
    found: list[Any] = []
    if ("integer" in types or "number" in types) and _INTEGER.fullmatch(text):
        found.append(int(text))
    elif ("number" in types or "integer" in types) and _NUMBER.fullmatch(text):
        value = float(text) if "." in text or "e" in text.lower() else int(text)
        if "number" in types or float(value).is_integer():
            found.append(value)
    if "boolean" in types and text in ("true", "false"):
        found.append(text == "true")
    if "string" in types:
        found.append(text)
    if "null" in types and text in ("", "null"):
        found.append(None)
    return found or [text]


def shape_of(schema: Any, resolve: Resolve, depth: int = 0) -> Shape:
    """Find the types that a schema lets pass, through references and alternatives."""
    schema = resolve(schema)
    if not isinstance(schema, Mapping) or depth > 8:
        return Shape()
    said = schema.get("type")
    types = {said} if isinstance(said, str) else {str(each) for each in said} if isinstance(said, list) else set()
    for values in (schema.get("enum"), [schema["const"]] if "const" in schema else None):
        if isinstance(values, list) and not types:
            types |= {_type_of(value) for value in values}

    def inner(each: Any) -> Shape:
        return shape_of(each, resolve, depth + 1)

    members: dict[str, Shape] = {}
    patterns: tuple[tuple[Named, Shape], ...] = ()
    rest = None
    if depth < 3:
        if isinstance(schema.get("properties"), Mapping):
            members = {name: inner(each) for name, each in schema["properties"].items()}
        if isinstance(schema.get("patternProperties"), Mapping):
            patterns = tuple((_named(name), inner(each)) for name, each in schema["patternProperties"].items())
        for word in ("additionalProperties", "unevaluatedProperties"):
            if isinstance(schema.get(word), Mapping):
                rest = _either(rest, inner(schema[word]))
    items = inner(schema["items"]) if isinstance(schema.get("items"), Mapping) else None
    for each in schema["prefixItems"] if isinstance(schema.get("prefixItems"), list) else ():
        items = _either(items, inner(each))
    if not types and (members or patterns or rest):
        types = {"object"}
    found = Shape(frozenset(types), items, members, patterns, rest)
    for word in ("allOf", "anyOf", "oneOf"):
        for each in schema[word] if isinstance(schema.get(word), list) else ():
            found = merged(found, inner(each))
    return found


def _named(pattern: str) -> Named:
    """Return what tells whether a name is as a pattern says; whoever compiles the schema says what is wrong with it."""
    try:
        named: Named = jsonschema_rs.Draft202012Validator({"pattern": pattern}).is_valid
    except ValueError:
        return lambda _: False
    return named


def _type_of(value: object) -> str:
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return kinds.get(type(value), "null")
