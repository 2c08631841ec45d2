"""Checking a value, and saying what is wrong with it without ever telling what the value is."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

DEPTH = 8
"""Lists and objects inside each other up to which the places of mistakes are looked for."""
VALUES = 1000
"""Values up to which they are. Looking for places costs far more than finding out that there are mistakes, and with
alternatives that contain each other the cost doubles with each level; what a stranger sends must not choose it."""
_LONGEST = 200


class Mistake(NamedTuple):
    """What is wrong with one value."""

    path: tuple[str | int, ...]
    detail: str


class Check:
    """One compiled schema."""

    def __init__(self, make: Callable[[], Any], name: str, verify: Callable[[], bool] | None = None) -> None:
        self._make = make
        self._verify = verify
        self.name = name
        """What messages call it."""
        self._validator: Any = None

    def prepare(self) -> None:
        """Compile now; or where that takes long only see to it that nothing is wrong, and compile when it is needed.

        Raises:
            ValueError: what is wrong with the schema.
        """
        if self._verify is None or not self._verify():
            self.compile()

    def compile(self) -> None:
        """Compile now.

        Raises:
            ValueError: what is wrong with the schema.
        """
        if self._validator is None:
            self._validator = self._make()

    def holds(self, value: Any) -> bool:
        """Whether a value is as the schema says. The time is bounded by the sizes of both."""
        self.compile()
        try:
            return bool(self._validator.is_valid(value))
        except ValueError:  # deeper than the validator goes
            return False

    def wrong(self, value: Any) -> set[tuple[str | int, ...]]:
        """Name the places of a value that are not as they should be."""
        try:
            return {tuple(error.instance_path) for error in self._validator.iter_errors(value)}
        except ValueError:
            return set()

    def mistakes(self, value: Any, most: int) -> list[Mistake]:
        """Say what is wrong with a value that does not hold; at most so many mistakes."""
        if not is_small(value):
            return [Mistake((), "is not as it should be; it is too large to say where")]
        found: list[Mistake] = []
        try:
            for error in self._validator.iter_errors(value):
                found += _told(error)
                if len(found) >= most:
                    break
        except ValueError:
            pass
        return found[:most] or [Mistake((), "is not as it should be")]


def is_small(value: Any) -> bool:
    """Whether a value has few enough parts, and these stand few enough deep in each other."""
    count, pending = 0, [(value, 0)]
    while pending:
        value, depth = pending.pop()
        items: Any = ()
        if isinstance(value, dict):
            items = value.values()
        elif isinstance(value, list):
            items = value
        count += 1 + len(items)
        if count > VALUES or depth > DEPTH:
            return False
        pending += [(item, depth + 1) for item in items if isinstance(item, dict | list)]
    return True


def _told(error: Any) -> Iterator[Mistake]:
    kind = error.kind
    path, facts = tuple(error.instance_path), kind.as_dict()
    if kind.name == "required":
        yield Mistake((*path, facts["property"]), "is required")
    elif kind.name in ("additionalProperties", "unevaluatedProperties"):
        for name in facts["unexpected"]:
            yield Mistake((*path, name), "is not known here")
    else:
        yield Mistake(path, _detail(kind.name, facts))


def _detail(name: str, facts: Mapping[str, Any]) -> str:
    """Say in words what a schema wants. Only what it wants: never what was sent."""
    match name:
        case "type":
            return f"should be {_either(facts['types'])}"
        case "enum":
            return f"should be {_either(facts['options'])}" if len(facts["options"]) <= 10 else "is none of the choices"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            word = {"mi": "at least", "ma": "at most"}.get(name[:2]) or f"{'more' if 'Min' in name else 'less'} than"
            return f"should be {word} {facts['limit']}"
        case "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties":
            thing = {"Length": "character", "Items": "item", "Properties": "member"}[name[3:]]
            limit = facts["limit"]
            return f"should have at {'least' if name[:3] == 'min' else 'most'} {limit} {thing}{'s' * (limit != 1)}"
        case "pattern":
            return f"should match the pattern {facts['pattern'][:_LONGEST]}"
        case "format":
            return f"should have the format {facts['format']}"
        case "multipleOf":
            return f"should be a multiple of {facts['multiple_of']}"
        case "uniqueItems":
            return "should have no item twice"
        case "anyOf" | "oneOfNotValid":
            return "fits none of the alternatives"
        case "oneOfMultipleValid":
            return "fits more than one of the alternatives"
        case "oneOf":
            return "does not fit exactly one of the alternatives"
        case "falseSchema":
            return "is not known here"
        case "propertyNames":
            return "has a member whose name is not as it should be"
        case "contains":
            return "should have an item of the kind that is asked for"
        case _:
            return f"is not as `{name}` says"


def _either(words: list[Any]) -> str:
    texts = [word if isinstance(word, str) else str(word) for word in words]
    shown = ", ".join(text[:60] for text in texts[:10])
    head, _, last = shown.rpartition(", ")
    return f"{head} or {last}" if head else last
