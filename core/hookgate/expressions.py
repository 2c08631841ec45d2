"""Expressions in a document: checked and compiled at load, evaluated for each call, unable to change or reach anything.

The language is a small part of Python's: paths (``request.headers['x-env']``), literals, lists, ``and or not``,
comparisons, ``in``, arithmetic, ``a if b else c``, a few pure string methods and functions. ``null``, ``true`` and
``false`` may be written so. What can be read:

==============  =====================================================================================================
``request``     ``method path query headers host scheme client params``; ``query`` has the first value of each name,
                ``params`` those of the path template
``response``    ``status headers``
``identity``    ``subject method roles claims application``
``route``       ``name``
``target``      ``url``
``fault``       ``status reason``
``vars``        what other steps noted in ``exchange.variables``
==============  =====================================================================================================

**Null is answered with null**: what is not there (no response yet, nobody identified, no such header, key or index) is
null, whatever is asked of null is null, and nothing is in null. Only a function or an operator that needs a value fails
on it, with :class:`ExpressionError`. Header names are looked up without case and listed in lower case.
"""

from __future__ import annotations

import ast
import difflib
import operator
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic_core import PydanticCustomError, core_schema
from simpleeval import EvalWithCompoundTypes, InvalidExpression  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

    from hookgate.exchange import Exchange
    from hookgate.messages import Headers

MAX_TEXT = 2000
"""Characters of an expression."""
MAX_DEPTH = 40
"""Nesting of an expression."""
MAX_LENGTH = 100_000
"""Characters of a string and items of a list that an expression reads or makes."""
MAX_BITS = 1024
"""Bits of a whole number that an expression reads or makes."""

Evaluate = Callable[["Exchange"], Any]


class ExpressionError(ValueError):
    """An expression that cannot be used (its text is wrong) or cannot be evaluated over this call (a wrong type)."""


class Expression:
    """A compiled expression; ``expression(exchange)`` gives its value. As the type of an option it takes a string.

    Two expressions with the same text are equal. Evaluating changes nothing, ends soon, and may be done by several
    threads at once. A container comes out as a copy.

    Raises:
        ExpressionError: the text is no expression, with the column where that is known.
    """

    __slots__ = ("_evaluate", "roots", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        tree = _parse(text)
        self.roots = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in _ROOTS)
        """Names of the roots it reads: ``request``, ``identity``, …"""
        self._evaluate = _quick(tree) or _thorough(text, tree)

    def __call__(self, exchange: Exchange) -> Any:
        """Evaluate over an exchange.

        Raises:
            ExpressionError: a value has the wrong type for what is done with it, or is too large.
        """
        try:
            value = self._evaluate(exchange)
            return value if type(value) in _SCALARS else _copy(value)
        except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError, InvalidExpression) as error:
            raise ExpressionError(f"the expression {self.text!r} cannot be evaluated: {error}") from error

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.text == other.text

    def __hash__(self) -> int:
        return hash((Expression, self.text))

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def __str__(self) -> str:
        return self.text

    def __reduce__(self) -> tuple[type[Expression], tuple[str]]:
        return Expression, (self.text,)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def validate(value: object) -> Expression:
            if isinstance(value, Expression):
                return value
            if not isinstance(value, str):
                raise PydanticCustomError("expression_type", "an expression is written as a string")
            try:
                return Expression(value)
            except ExpressionError as error:
                raise PydanticCustomError("expression", "{problem}", {"problem": str(error)}) from None

        return core_schema.no_info_plain_validator_function(
            validate,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "hookgate-expression"}


# What can be read ----------------------------------------------------------------------------------------------------


class _HeaderView(Mapping[str, str]):
    """Headers as a mapping: names without case, of a repeated name the first value."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers) -> None:
        self._headers = headers

    def __getitem__(self, name: str) -> str:
        if isinstance(name, str) and name.isascii():
            return self._headers[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._headers)

    def __len__(self) -> int:
        return len(list(iter(self._headers)))


class _Root:
    """A name that stands for a part of the exchange, with a fixed set of attributes, each a function of the exchange."""

    __slots__ = ("attributes", "present")

    def __init__(self, present: str, *names: str, **attributes: Evaluate) -> None:
        self.present = operator.attrgetter(present)
        """Gives ``None`` when this call has no such part."""
        self.attributes = {name: operator.attrgetter(f"{present}.{name}") for name in names} | attributes


_ROOTS: dict[str, _Root] = {
    "request": _Root(
        "request",
        *("method", "path", "host", "scheme", "client"),
        query=operator.attrgetter("request.params"),
        headers=lambda exchange: _HeaderView(exchange.request.headers),
        params=operator.attrgetter("params"),
    ),
    "response": _Root("response", "status", headers=lambda exchange: _HeaderView(_response(exchange).headers)),
    "identity": _Root("identity", "subject", "method", "roles", "claims", "application"),
    "route": _Root("route", "name"),
    "target": _Root("target", "url"),
    "fault": _Root("fault", "status", "reason"),
    "vars": _Root("variables"),
}
