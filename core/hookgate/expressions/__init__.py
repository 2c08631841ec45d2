"""Expressions in a document: checked and compiled at load, evaluated for each call, unable to change or reach anything.

The language is a safe part of OGNL's: paths (``request.headers['x-env']``), literals, ``null true false``, lists
``{1, 2}``, mappings ``#{'k': 1}``, ``&& || !`` or ``and or not``, comparisons, ``in`` and ``not in``, arithmetic on
numbers, ``+`` on strings and lists, ``a ? b : c``; of a list the items for which something holds, ``list.{? #this > 1
}``, the first of them, ``.{^ }``, the last, ``.{$ }``, and something made of each, ``.{ #this.name }``; the functions
``len int float str lower upper min max``; on strings the methods ``lower upper strip startswith endswith replace
split``. What can be read:

===============  =================================================================================================
``request``      ``method path query headers host scheme client params certificate tls body``; ``query`` holds
                 each name that comes once, ``params`` what the template of the route took from the path, ``body`` the
                 text of the body; ``remoteAddr`` is another name of ``client``
``response``     ``status headers``
``identity``     ``subject method roles claims application``; ``principal`` is another name of ``subject``
``application``  ``name fields plan``: the calling application, its extra fields, and the plan by which it calls
``route``        ``name labels extensions``
``target``       ``url``
``connection``   ``name tags labels extensions``
``fault``        ``status reason``
``vars``         what other steps noted in ``exchange.variables``; ``#name`` is short for ``vars.name``
``env``          variables of the environment that ``HOOKGATE_ENV_ALLOW`` admits
===============  =================================================================================================

``principal`` and ``claims`` alone are those of ``identity``.

**Null is answered with null.** What is not there (no response yet, nobody identified, no such header, key or index) is
null, whatever is asked of null is null, and nothing is in null. Only a function or an operator that needs a value fails
on it, with :class:`ExpressionError`. Header names are looked up without case and listed in lower case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError, core_schema
from simpleeval import InvalidExpression  # type: ignore[import-untyped]

from hookgate.expressions.evaluate import quick, reads_body, roots, thorough
from hookgate.expressions.syntax import ExpressionError, parse
from hookgate.expressions.values import Repeated, copied

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

    from hookgate.exchange.exchange import Exchange

__all__ = ["Expression", "ExpressionError"]


class Expression:
    """A compiled expression; ``expression(exchange)`` gives its value. As the type of an option it takes a string.

    Two expressions with the same text are equal. Evaluating changes nothing, ends soon, and may be done by several
    threads at once. A list or a mapping comes out as a copy.

    Raises:
        ExpressionError: the text is no expression; the message begins with the column.
    """

    __slots__ = ("_evaluate", "reads_body", "roots", "text")

    def __init__(self, text: str) -> None:
        tree = parse(text)
        self.text = text
        self.roots = roots(tree)
        """Names of the roots it reads: ``request``, ``identity``, …"""
        self.reads_body = reads_body(tree)
        """Whether it may read ``request.body``: a plugin then sets ``reads = {"request.body"}`` on its instance."""
        self._evaluate = quick(tree) or thorough(text, tree)

    def __call__(self, exchange: Exchange) -> Any:
        """Evaluate over an exchange.

        Raises:
            ExpressionError: a value has the wrong type for what is done with it, or is too large; a parameter that is
                asked for comes twice, which is a ``BadRequest``, too.
        """
        try:
            value = self._evaluate(exchange)
            return value if value is None or isinstance(value, (str, int, float)) else copied(value)
        except Repeated:
            raise
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
                raise PydanticCustomError("expression_type", "an expression is written as a string; in YAML, quote it")
            try:
                return Expression(value)
            except ExpressionError as error:
                raise PydanticCustomError("expression", "{problem}", {"problem": str(error)}) from None

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "hookgate-expression"}
