"""Times as a document writes them: a number of seconds, or a text with a unit: ``500ms``, ``2s``, ``1h30m``."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
"""Seconds of each unit."""
_PART = r"[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d)"
_WHOLE = re.compile(rf"(?:{_PART})+")
_PARTS = re.compile(r"([0-9.]+)(ms|s|m|h|d)")
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_NUMBER = re.compile(r"\s*[+-]?[0-9.]+(?:e[+-]?[0-9]+)?\s*", re.IGNORECASE)


def seconds(written: Any) -> Any:
    """Turn a text with units into seconds; what is no text stays, for the type to check.

    Raises:
        PydanticCustomError: a text that is neither a number nor has units, or a boolean.
    """
    if not isinstance(written, str | bool) or (isinstance(written, str) and _NUMBER.fullmatch(written)):
        return written
    text = str(written).replace(" ", "")
    if len(text) > 100 or not _WHOLE.fullmatch(text):
        message = "Input should be a number of seconds, or have a unit: 500ms, 2s, 1m, 1h30m or 7d"
        raise PydanticCustomError("duration", message)
    # Rounded, since 0.1 + 0.2 would not be 300 ms otherwise.
    return round(sum(float(number) * UNITS[unit] for number, unit in _PARTS.findall(text)), 9)


class _Written:
    """Reads units in front of the check of a number, whose bounds go on holding."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        number: Any = handler(source)
        if number["type"] == "float":
            number = number | {"allow_inf_nan": False}
        return core_schema.no_info_before_validator_function(seconds, number)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number = {_BOUNDS.get(key, key): value for key, value in handler(schema).items()}  # as pydantic leaves them
        return {"anyOf": [number, {"type": "string", "pattern": f"^({_PART})+$"}]}


Duration = Annotated[float, _Written()]
"""As the type of an option: seconds, also written with a unit."""
WholeSeconds = Annotated[int, _Written()]
"""Likewise, where only whole seconds can be meant."""
PositiveDuration = Annotated[Duration, Field(gt=0)]
"""Seconds above 0. Options that may be null take this one, so that the bound stands in their schema."""
