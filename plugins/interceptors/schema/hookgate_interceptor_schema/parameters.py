"""Parameters of a request as values, by the styles of OpenAPI 3.1 (4.8.12) and RFC 6570.

A delimiter counts where it stands as it is, and is data where it is percent-encoded; of spaces and pipes, which cannot
stand in a URL as they are, the encoded ones count. In forms all of them come encoded, and count.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_plus

import orjson

from hookgate import BadRequest, Exchange
from hookgate_interceptor_schema.checking import Mistake
from hookgate_interceptor_schema.shapes import Shape, readings

PLACES = ("path", "query", "header", "cookie")
MOST = 1000
"""Parameters that a query or a form may have."""
_DEEP = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_KEYS = re.compile(r"\[([^\[\]]*)\]")
_COMMA = re.compile(",")
_BETWEEN = {"spaceDelimited": re.compile(r"%20|\+| "), "pipeDelimited": re.compile(r"\||%7[Cc]")}
_BETWEEN_DECODED = {"spaceDelimited": re.compile(" "), "pipeDelimited": re.compile(r"\|")}
_SPREAD = ("form", "spaceDelimited", "pipeDelimited")
Decode = Callable[[str], str]
Others = Callable[[str], "Parameter"]
"""Says how a parameter is written that is not known by its name."""


def _as_it_is(text: str) -> str:
    return text


def _of_path(text: str) -> str:
    return unquote(text, errors="strict")


def _of_query(text: str) -> str:
    return unquote_plus(text, errors="strict")


DECODED: Mapping[str, Decode] = {
    "path": _of_path,
    "query": _of_query,
    **dict.fromkeys(("header", "cookie", "form"), _as_it_is),
}
"""How the texts of each place are decoded."""


class Leaf(NamedTuple):
    """A text that may be several values."""

    holder: Any
    key: str | int
    path: tuple[str | int, ...]
    readings: list[Any]

    def take(self, number: int) -> None:
        """Let it be one of them."""
        self.holder[self.key] = self.readings[number]


class Read:
    """What was read: a value, the texts in it that may be something else, and those that are nothing."""

    def __init__(self, value: Any = None) -> None:
        self.value: Any = {} if value is None else value
        self.leaves: list[Leaf] = []
        self.wrong: list[Mistake] = []

    def put(self, holder: Any, key: str | int, path: tuple[str | int, ...], found: list[Any]) -> None:
        """Take in the readings of a text."""
        if isinstance(holder, list):
            holder.append(found[0])
        else:
            holder[key] = found[0]
        if len(found) > 1:
            self.leaves.append(Leaf(holder, key, path, found))


class _Wrong(Exception):
    """A text that is not written as its parameter is; the text says what would be right."""


class Parameter:
    """How one parameter is written. What it takes to read it is settled when it is made."""

    __slots__ = (
        *("_decode", "_is_bare", "_kind", "_types", "explode", "is_json", "is_spread", "name", "place"),
        *("may_be_empty", "required", "shape", "style"),
    )

    def __init__(
        self,
        name: str,
        shape: Shape,
        style: str = "form",
        explode: bool = True,
        place: str = "query",
        *,
        is_json: bool = False,
        required: bool = False,
        may_be_empty: bool = False,
    ) -> None:
        self.name = name
        self.shape = shape
        self.style = style
        self.explode = explode
        self.place = place
        self.is_json = is_json
        """Whether it is JSON, or each of its items is."""
        self.required = required
        self.may_be_empty = may_be_empty
        """Whether it may be there without a value, of whatever type it is."""
        types = shape.types
        self._kind = "json" if is_json else "array" if "array" in types else "object" if "object" in types else ""
        self._types = types - {"array", "object"}
        self._decode = DECODED[place]
        self._is_bare = style not in ("label", "matrix")
        spread = style == "form" and explode and place in ("query", "cookie", "form")
        self.is_spread = spread and self._kind == "object"
        """Whether it is an object whose members stand beside other parameters."""

    def read(self, texts: list[str], into: Read, holder: Any, path: tuple[str | int, ...]) -> None:
        """Make a value of the texts that stand under the name, and take it in."""
        if not self._kind and self._is_bare and len(texts) == 1:
            text = texts[0]
            found = readings(self._decode(text) if "%" in text or "+" in text else text, self._types)
            holder[self.name] = found[0]
            if len(found) > 1:
                into.leaves.append(Leaf(holder, self.name, (*path, self.name), found))
            return
        path = (*path, self.name)
        try:
            self._read(texts, into, holder, path)
        except _Wrong as wrong:
            into.wrong.append(Mistake(path, str(wrong)))

    def _read(self, texts: list[str], into: Read, holder: Any, path: tuple[str | int, ...]) -> None:
        types, decode = self._types, self._decode
        if self.is_json:
            if "array" in self.shape.types and self.explode and not (len(texts) == 1 and _is_list(decode(texts[0]))):
                holder[self.name] = [_json(decode(text)) for text in texts]
            elif len(texts) == 1:
                holder[self.name] = _json(decode(texts[0]))
            else:
                raise _Wrong("should be there once")
            return
        if not self._is_bare:
            texts = self._bare(texts)
        if self._kind == "array":
            listed: list[Any] = []
            scalar = readings(decode(texts[0]), types) if len(texts) == 1 and types else []
            item = self.shape.items.types if self.shape.items is not None else frozenset()
            into.put(holder, self.name, path, [listed, *scalar])
            for index, text in enumerate(self._items(texts)):
                into.put(listed, index, (*path, index), readings(decode(text), item))
        elif self._kind == "object":
            made: dict[str, Any] = {}
            holder[self.name] = made
            for name, text in self._members(texts):
                if name in made:
                    raise _Wrong(f"should have the member {name[:100]} once")
                into.put(made, name, (*path, name), readings(text, self.shape.member(name).types))
        elif len(texts) == 1:
            into.put(holder, self.name, path, readings(decode(texts[0]), types))
        elif self.place == "header":
            into.put(holder, self.name, path, readings(", ".join(texts), types))
        else:
            holder[self.name] = [readings(decode(text), types)[0] for text in texts]

    def _bare(self, texts: list[str]) -> list[str]:
        """Take off what stands in front of a path parameter of the styles `label` and `matrix`."""
        if self.style == "label":
            if not texts[0].startswith("."):
                raise _Wrong("should be written with a dot in front: .value")
            return [texts[0][1:]]
        if self.style != "matrix":
            return texts
        pieces = texts[0].split(";")
        if pieces[0] or len(pieces) == 1:
            raise _Wrong(f"should be written ;{self.name}=value")
        if "object" in self.shape.types and self.explode:
            return pieces[1:]
        found = [piece.partition("=") for piece in pieces[1:]]
        if any(_of_path(name) != self.name for name, _, _ in found) or (len(found) > 1 and not self.explode):
            raise _Wrong(f"should be written ;{self.name}=value")
        return [value for _, _, value in found]

    def _between(self) -> re.Pattern[str]:
        if self.style == "label" and self.explode:
            return _DOT
        return (_BETWEEN_DECODED if self.place == "form" else _BETWEEN).get(self.style, _COMMA)

    def _items(self, texts: list[str]) -> Iterator[str]:
        if self.explode and self.style in (*_SPREAD, "matrix"):
            yield from texts
            return
        for text in texts:
            for part in self._between().split(text) if text else ():
                yield part.strip() if self.style == "simple" else part

    def _members(self, texts: list[str]) -> Iterator[tuple[str, str]]:
        decode = self._decode
        if self.style == "matrix" and self.explode:
            parts = texts
        else:
            parts = [part for text in texts if text for part in self._between().split(text)]
        if self.style == "simple":
            parts = [part.strip() for part in parts]
        if self.explode:
            pairs_ = [part.partition("=") for part in parts]
            if not all(between for _, between, _ in pairs_):
                raise _Wrong("should be written name=value")
            yield from ((decode(name), decode(value)) for name, _, value in pairs_)
            return
        if len(parts) % 2:
            raise _Wrong("should be written name,value")
        yield from ((decode(name), decode(value)) for name, value in zip(parts[::2], parts[1::2], strict=True))


_DOT = re.compile(r"\.")


def received(place: str, exchange: Exchange) -> list[tuple[str, str]]:
    """Return the texts of a place as they came, names decoded, with repetitions.

    Raises:
        BadRequest: they are not UTF-8, or too many.
    """
    request = exchange.request
    try:
        if place == "path":
            for text in exchange.params.values():
                _of_path(text)
            return list(exchange.params.items())
        if place == "query":
            return pairs(request.query)
    except ValueError:
        raise BadRequest(f"The {place} is not UTF-8, or has too many parameters.", reason="malformed-request") from None
    if place == "header":
        return [(name.lower(), value) for name, value in request.headers.items()]
    crumbs = [crumb.partition("=") for line in request.headers.getall("cookie") for crumb in line.split(";")]
    return [(name.strip(), value.strip().strip('"')) for name, _, value in crumbs[:MOST] if name.strip()]


def pairs(text: str) -> list[tuple[str, str]]:
    """Take a query or a form apart: names decoded, values as they came.

    Raises:
        ValueError: it is not UTF-8, or has too many parameters.
    """
    pieces = text.split("&")
    if len(pieces) > MOST:
        raise ValueError("too many parameters")
    found = []
    for piece in pieces:
        if piece:
            name, _, value = piece.partition("=")
            if "%" in value:
                _of_query(value)
            found.append((_of_query(name), value))
    return found


def values_of(
    texts: list[tuple[str, str]],
    parameters: Iterable[Parameter],
    *,
    others: Others | None,
    into: Read,
    path: tuple[str | int, ...] = (),
) -> dict[str, Any]:
    """Make values of what was received: of the parameters that are known, and of all others where that is said."""
    by_name: dict[str, list[str]] = {}
    for name, text in texts:
        by_name.setdefault(name, []).append(text)
    values: dict[str, Any] = {}
    spread: list[Parameter] = []
    for parameter in parameters:
        if parameter.style == "deepObject":
            _deep(parameter, by_name, values, into, path)
        elif parameter.is_spread:
            spread.append(parameter)
        elif parameter.name in by_name:
            found = by_name.pop(parameter.name)
            if not (parameter.may_be_empty and found == [""]):
                parameter.read(found, into, values, path)
    if spread:
        _gather(spread, by_name, values, into, path)
    if others is not None:
        for name, left in by_name.items():
            if name not in values:
                others(name).read(left, into, values, path)
    return values


def _gather(
    spread: list[Parameter],
    by_name: dict[str, list[str]],
    values: dict[str, Any],
    into: Read,
    path: tuple[str | int, ...],
) -> None:
    """Bring the members of objects together that stand beside the other parameters (`form`, `explode`)."""
    known = {name for parameter in spread for name in parameter.shape.members}
    taken: set[str] = set()
    for parameter in spread:
        made: dict[str, Any] = {}
        shape = parameter.shape
        for name, texts in by_name.items():
            if name in shape.members or (name not in known and shape.takes(name)):
                taken.add(name)
                member = Parameter(name, shape.member(name), place=parameter.place)
                member.read(texts, into, made, (*path, parameter.name))
        if made or parameter.required:
            values[parameter.name] = made
    for name in taken:
        del by_name[name]


def _deep(
    parameter: Parameter,
    by_name: dict[str, list[str]],
    values: dict[str, Any],
    into: Read,
    path: tuple[str | int, ...],
) -> None:
    """Bring the members of an object together that are written `name[member]`, or `name[member][inner]`."""
    for written in list(by_name):
        match = _DEEP.fullmatch(written)
        if match is None or match[1] != parameter.name:
            continue
        texts = by_name.pop(written)
        *outer, last = _KEYS.findall(match[2])
        listed = not last and bool(outer)
        if listed:
            last = outer.pop()
        holder, shape, place = values.setdefault(parameter.name, {}), parameter.shape, (*path, parameter.name)
        for key in outer:
            holder, shape, place = holder.setdefault(key, {}), shape.member(key), (*place, key)
            if not isinstance(holder, dict):
                break
        if not isinstance(holder, dict) or last in holder:
            into.wrong.append(Mistake((*path, parameter.name), "should have each member once"))
            continue
        member = shape.member(last)
        if listed:
            member = member._replace(types=frozenset({"array"}))
        Parameter(last, member, place=parameter.place).read(texts, into, holder, place)


def _is_list(text: str) -> bool:
    return text.lstrip()[:1] == "["


def _json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _Wrong("is not JSON") from None
