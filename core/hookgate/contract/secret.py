"""A value that must not be seen."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError, core_schema

from hookgate.exchange.hiding import MASK

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler


class Secret:
    """A string that prints as ``********``; ``reveal()`` is the only way to it (HC-7).

    As the type of an option it takes a string, or a reference such as ``${env:NAME}`` that the loader resolves. Eight
    asterisks are refused: they stand for "keep what is stored".
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself. Never log it, never put it into a message."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def validate(value: object) -> Secret:
            if isinstance(value, Secret):
                return value
            if not isinstance(value, str):
                raise PydanticCustomError("secret_type", "a secret is written as a string")
            if value == MASK:
                raise PydanticCustomError("secret_mask", "eight asterisks stand for a stored secret and cannot be one")
            return Secret(value)

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "format": "password", "writeOnly": True}
