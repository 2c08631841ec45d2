"""What all options have in common: truth values and numbers are kept apart (pydantic takes ``true`` for 1, and 1 for
``true``), and relative paths count from the document."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationInfo
from pydantic_core import PydanticKnownError, core_schema

_INSIDE = {"schema", "fields", "choices", "steps", "items_schema", "keys_schema", "values_schema", "lax_schema"}


def _differs(value: Any, kind: Any, wrong: Any, right: Any = ()) -> Any:
    if isinstance(value, wrong) and not isinstance(value, right):
        raise PydanticKnownError(kind)
    return value


_GUARDS: dict[str, Any] = {
    "int": partial(_differs, kind="int_type", wrong=bool),
    "float": partial(_differs, kind="float_type", wrong=bool),
    "bool": partial(_differs, kind="bool_type", wrong=(int, float), right=bool),
}


def beside(path: Path, info: ValidationInfo) -> Path:
    """Return where a path leads that stands in the document at hand; outside of one it stays as it is."""
    folder: Path | None = getattr((info.context or {}).get("builder"), "folder", None)
    return path if folder is None else folder / path


def _guarded(schema: Any) -> Any:
    """Put a guard around a schema; ``None`` for one that needs none."""
    kind = schema["type"]
    if kind in _GUARDS:
        return core_schema.no_info_before_validator_function(_GUARDS[kind], schema)
    if kind == "lax-or-strict" and schema["lax_schema"].get("custom_error_type") == "path_type":
        return core_schema.with_info_after_validator_function(beside, schema)
    return None


def guard(schema: Any) -> None:
    """Put guards into a schema of pydantic, in place, where there are none yet."""
    mine = schema["type"].startswith("function-") and schema["function"].get("function") in (*_GUARDS.values(), beside)
    for key in _INSIDE.intersection(schema) if not mine else ():
        inner = schema[key]
        if key in ("fields", "choices") and isinstance(inner, dict):
            places: list[tuple[Any, Any]] = [(inner, name) for name in inner]
        else:
            places = [(inner, n) for n in range(len(inner))] if isinstance(inner, list) else [(schema, key)]
        for holder, place in places:
            each: Any = holder[place]
            if isinstance(each, dict) and (around := _guarded(each)) is not None:
                holder[place] = around
            elif isinstance(each, dict):
                guard(each)
