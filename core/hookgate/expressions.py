"""Expressions in a document, compiled at load and evaluated at run."""

from __future__ import annotations

from typing import Any

from pydantic_core import PydanticCustomError, core_schema


class Expression:
    """A compiled expression; ``expression(exchange)`` gives its value. As the type of an option it takes a string."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, exchange: Any) -> Any:
        """Evaluate over an exchange."""
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> core_schema.CoreSchema:
        def validate(value: object) -> Expression:
            if isinstance(value, Expression):
                return value
            if not isinstance(value, str):
                raise PydanticCustomError("expression_type", "an expression is written as a string")
            return Expression(value)

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(lambda e: e.text)
        )
