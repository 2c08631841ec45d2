"""What an expression can read and what it can do with it.

Both ways of evaluating use these functions and no others, so that they cannot differ and there is one place to guard.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from hookgate.exchange.errors import BadRequest
from hookgate.expressions.tokens import ExpressionError

if TYPE_CHECKING:
    from hookgate.exchange.certificate import ClientCertificate
    from hookgate.exchange.encryption import TlsFacts
    from hookgate.exchange.exchange import Exchange
    from hookgate.exchange.messages import Headers

MAX_LENGTH = 100_000
"""Characters of a string and items of a list that an expression reads, makes or hands out."""
MAX_BITS = 1024
"""Bits of a whole number that an expression reads or makes."""
MAX_ITEMS = 1000
"""Items of a list that is selected from or projected."""
_MAX_DEPTH = 40
"""Nesting of a value that an expression hands out."""

Evaluate = Callable[[Any], Any]
"""A function of the exchange."""
Callables = dict[str, tuple[Callable[..., Any], int, int]]
"""Functions by name, with how many arguments they take at least and at most."""

PARTS: dict[str, Evaluate] = {
    "request": operator.attrgetter("request"),
    "response": operator.attrgetter("response"),
    "identity": operator.attrgetter("identity"),
    "application": operator.attrgetter("application"),
    "route": operator.attrgetter("route"),
    "target": operator.attrgetter("target"),
    "fault": operator.attrgetter("fault"),
    "connection": operator.attrgetter("connection"),
    "vars": operator.attrgetter("variables"),
}
"""The roots: parts of the exchange, each there or ``None``."""

_DESCRIBED = ("name", "labels", "extensions")

ATTRIBUTES: dict[str, dict[str, Evaluate]] = {
    "request": {
        **{name: operator.attrgetter(f"request.{name}") for name in ("method", "path", "host", "scheme", "client")},
        "query": lambda exchange: QueryView(exchange.request.query),
        "headers": lambda exchange: HeaderView(exchange.request.headers),
        "params": operator.attrgetter("params"),
        "remoteAddr": operator.attrgetter("request.client"),
        "body": lambda exchange: _text_of(exchange.request.body.held),
        "certificate": lambda exchange: _shown(exchange.request.certificate),
        "tls": lambda exchange: _settled(exchange.request.tls),
    },
    "response": {
        "status": operator.attrgetter("response.status"),
        "headers": lambda exchange: HeaderView(exchange.response.headers),
    },
    "identity": {
        name: operator.attrgetter(f"identity.{name}")
        for name in ("subject", "method", "roles", "claims", "application")
    }
    | {"principal": operator.attrgetter("identity.subject")},
    "application": {
        "name": operator.attrgetter("application.name"),
        "fields": operator.attrgetter("application.fields"),
        "plan": operator.attrgetter("plan"),
    },
    "route": {name: operator.attrgetter(f"route.{name}") for name in _DESCRIBED},
    "target": {"url": operator.attrgetter("target.url")},
    "fault": {name: operator.attrgetter(f"fault.{name}") for name in ("status", "reason")},
    "connection": {name: operator.attrgetter(f"connection.{name}") for name in (*_DESCRIBED, "tags")},
}
"""What the roots have, read only when asked for; ``vars`` has whatever steps put there."""


def _text_of(body: bytes | None) -> str | None:
    """The text of a body that somebody kept; what is not UTF-8 in it becomes U+FFFD."""
    if body is None:
        return None
    if len(body) > MAX_LENGTH:
        raise ValueError(f"the body is longer than {MAX_LENGTH} bytes")
    return body.decode("utf-8", "replace")


def _shown(certificate: ClientCertificate | None) -> dict[str, Any] | None:
    """What there is to read of a client's certificate; times in seconds since 1970."""
    if certificate is None:
        return None
    names: dict[str, list[str]] = {}
    for kind, name in certificate.names:
        names.setdefault(kind, []).append(name)
    return {
        **{name: getattr(certificate, name) for name in ("subject", "issuer", "serial", "fingerprint")},
        "names": names,
        "not_before": certificate.not_before.timestamp(),
        "not_after": certificate.not_after.timestamp(),
    }


def _settled(tls: TlsFacts | None) -> dict[str, str | None] | None:
    """What there is to read of a connection's TLS."""
    if tls is None:
        return None
    return {name: getattr(tls, name) for name in ("server_name", "version", "cipher", "alpn")}


class Repeated(BadRequest, ExpressionError):
    """400: what comes twice is one thing for us and may be another for the backend."""

    default_reason = "repeated-parameter"


class QueryView(dict[str, str]):
    """The query as a mapping. Who asks for a name that comes twice is refused; as a whole it has the first value."""

    def __init__(self, query: str) -> None:
        self._pairs = parse_qsl(query, keep_blank_values=True)
        super().__init__(self._pairs[::-1])

    def get(self, name: object, default: Any = None) -> Any:
        """Return the value of a parameter that comes once."""
        if len(self) < len(self._pairs) and sum(name == each for each, _ in self._pairs) > 1:
            raise Repeated(f"The parameter {name} comes more than once.")
        return super().get(name, default)  # type: ignore[call-overload]


class HeaderView(Mapping[str, str]):
    """Headers as a mapping: names without case; several lines of a name are one list (RFC 9110, 5.3)."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        value: str | None = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def get(self, name: object, default: Any = None) -> Any:
        """Return the value; ``default`` for what is not there and what is no name."""
        found = self._headers.getall(name) if isinstance(name, str) and name.isascii() else []
        return ("; " if name in ("cookie", "Cookie") else ", ").join(found) if found else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(list(self._headers))


class View:
    """A part of the exchange as an expression sees it: its attributes, and no way to the object itself."""

    __slots__ = ("_exchange", "_root")

    def __init__(self, exchange: Exchange, root: str) -> None:
        self._exchange = exchange
        self._root = root

    def get(self, name: str) -> Any:
        """Read one attribute; ``None`` when there is none of that name."""
        read = ATTRIBUTES[self._root].get(name)
        return None if read is None else read(self._exchange)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Read all of them."""
        return ((name, read(self._exchange)) for name, read in ATTRIBUTES[self._root].items())


def part(exchange: Exchange, root: str) -> Any:
    """Return what the name of a root alone stands for."""
    found = PARTS[root](exchange)
    return found if found is None or root not in ATTRIBUTES else View(exchange, root)


def sound(value: Any) -> Any:
    """Let through plain data within the bounds; all that an expression reads or makes passes here.

    Raises:
        TypeError: something else, such as an object that a plugin noted in ``vars``.
        ValueError: too large.
    """
    if isinstance(value, str):
        if len(value) > MAX_LENGTH:
            raise ValueError(f"a string of {len(value)} characters is longer than {MAX_LENGTH}")
    elif isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            raise ValueError(f"a number of {value.bit_length()} bits is larger than {MAX_BITS} bits")
    elif isinstance(value, (list, tuple, set, frozenset)):
        if len(value) > MAX_LENGTH:
            raise ValueError(f"a list of {len(value)} items is longer than {MAX_LENGTH}")
        if isinstance(value, tuple):
            return list(value)  # there is one kind of list, so that equal ones are equal
    elif value is not None and not isinstance(value, (float, View, Mapping)):
        raise TypeError(f"an expression cannot work with {kind(value)}")
    return value


def kind(value: Any) -> str:
    """Name the type of a value for a message."""
    names = {str: "a string", int: "a number", float: "a number", bool: "a truth value", list: "a list"}
    if value is None:
        return "null"
    if isinstance(value, (View, Mapping)):
        return "a mapping"
    return names.get(type(value), f"an object of type {type(value).__name__}")


def copied(value: Any) -> Any:
    """Copy containers, so that whoever gets the value cannot change the exchange through it.

    Raises:
        TypeError: something in it is not plain data.
        ValueError: it is too large.
    """
    room = MAX_LENGTH

    def copy(value: Any, depth: int) -> Any:
        nonlocal room
        room -= 1
        if room < 0 or depth > _MAX_DEPTH:
            raise ValueError("the value has too many items or is nested too deeply to be handed out")
        value = sound(value)
        if isinstance(value, list):
            return [copy(item, depth + 1) for item in value]
        if isinstance(value, (View, Mapping)):
            return {key: copy(item, depth + 1) for key, item in value.items()}
        return set(value) if isinstance(value, (set, frozenset)) else value

    return copy(value, 0)


def attribute(value: Any, name: str) -> Any:
    """``value.name``; null for what is not there.

    Raises:
        TypeError: the value has no attributes.
    """
    if value is None:
        return None
    if isinstance(value, (View, Mapping)):
        return sound(value.get(name))
    raise TypeError(f"{kind(value)} has no {name!r}")


def item(value: Any, key: Any) -> Any:
    """``value[key]``; null for what is not there.

    Raises:
        TypeError: the value has no items, or none with such a key.
    """
    if isinstance(value, (str, list)):
        if not isinstance(key, int):
            raise TypeError(f"the index of {kind(value)} is a whole number, not {kind(key)}")
        return sound(value[key]) if -len(value) <= key < len(value) else None
    if value is None:
        return None
    if isinstance(value, (View, Mapping)):
        return sound(value.get(key))
    raise TypeError(f"{kind(value)} has no items")


def items(value: Any) -> list[Any]:
    """Return what a selection or a projection walks over.

    Raises:
        TypeError: it is no list.
        ValueError: it is too long.
    """
    if not isinstance(value, list):
        raise TypeError(f"a list is needed in front of .{{ }}, not {kind(value)}")
    if len(value) > MAX_ITEMS:
        raise ValueError(f"a list of {len(value)} items is longer than {MAX_ITEMS}, which is too long for .{{ }}")
    return value


def mapping(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    """Make a mapping.

    Raises:
        TypeError: a key is no string.
    """
    made: dict[str, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            raise TypeError(f"the key of a mapping is a string, not {kind(key)}")
        made[key] = value
    return made


def text_for(method: str, value: Any) -> str | None:
    """Return the string that a method is called on; null for null.

    Raises:
        TypeError: it is something else.
    """
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{method} is a method of strings, not of {kind(value)}")


def _contains(item: Any, container: Any) -> bool:
    if container is None or (item is None and isinstance(container, str)):
        return False
    return item in container


def _numbers(calculate: Callable[..., Any]) -> Callable[..., Any]:
    """Keep an operator to numbers: on strings and lists, ``*`` makes large ones and ``%`` prints whole objects."""

    def checked(*operands: Any) -> Any:
        for operand in operands:
            if not isinstance(operand, (int, float)):
                raise TypeError(f"a number is needed, not {kind(operand)}")
        return calculate(*operands)

    return checked


def _add(left: Any, right: Any) -> Any:
    for joined in (str, list):
        if isinstance(left, joined) and isinstance(right, joined):
            if len(left) + len(right) > MAX_LENGTH:
                raise ValueError(f"the sum is longer than {MAX_LENGTH}")
            return operator.add(left, right)
    if isinstance(left, str) or isinstance(right, str):
        raise TypeError(f"{kind(left)} and {kind(right)} cannot be joined; write str(…) around what is not a string")
    return _sum(left, right)


_sum = _numbers(operator.add)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (str, int, float)):
        return str(value)
    raise TypeError(f"{kind(value)} has no text")


def _replace(text: str, old: str, new: str) -> str:
    if len(text) + text.count(old) * (len(new) - len(old)) > MAX_LENGTH:
        raise ValueError(f"the replaced string is longer than {MAX_LENGTH} characters")
    return text.replace(old, new)


def _number(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Keep what was no number out of the message: it may be anything that a client has sent."""

    def convert(value: Any) -> Any:
        if not isinstance(value, (str, int, float)):
            raise TypeError(f"{kind(value)} cannot be made a number")
        try:
            return make(value)
        except ValueError:
            raise ValueError("a string that is no number cannot be made one") from None

    return convert


def _of_string(function: Callable[[str], str]) -> Callable[[Any], str]:
    def checked(text: Any) -> str:
        if not isinstance(text, str):
            raise TypeError(f"a string is needed, not {kind(text)}")
        return function(text)

    return checked


def _any_of(test: Callable[..., bool]) -> Callable[[str, Any], bool]:
    """Let ``startswith`` and ``endswith`` take a list, of which one must fit."""
    return lambda text, affix: test(text, tuple(affix) if isinstance(affix, list) else affix)


OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _add,
    ast.Sub: _numbers(operator.sub),
    ast.Mult: _numbers(operator.mul),
    ast.Div: _numbers(operator.truediv),
    ast.FloorDiv: _numbers(operator.floordiv),
    ast.Mod: _numbers(operator.mod),
    ast.USub: _numbers(operator.neg),
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: _contains,
    ast.NotIn: lambda item, container: not _contains(item, container),
    ast.Not: operator.not_,
}

FUNCTIONS: Callables = {
    "len": (len, 1, 1),
    "int": (_number(int), 1, 1),
    "float": (_number(float), 1, 1),
    "str": (_text, 1, 1),
    "lower": (_of_string(str.lower), 1, 1),
    "upper": (_of_string(str.upper), 1, 1),
    "min": (min, 1, 100),
    "max": (max, 1, 100),
}

METHODS: Callables = {
    "lower": (str.lower, 0, 0),
    "upper": (str.upper, 0, 0),
    "strip": (str.strip, 0, 1),
    "startswith": (_any_of(str.startswith), 1, 1),
    "endswith": (_any_of(str.endswith), 1, 1),
    "replace": (_replace, 2, 2),
    "split": (str.split, 0, 2),
}
"""Those of strings; the string itself is not counted as an argument."""
