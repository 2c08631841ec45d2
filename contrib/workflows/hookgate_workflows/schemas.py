"""JSON Schemas of custom routes: what a body has to be before anything starts (CR-3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jsonschema_rs
from pydantic_core import core_schema

from hookgate import Response

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

MOST_ERRORS = 20
DEPTH, VALUES = 16, 2000
"""How deep and large a body may be for the places of mistakes to be told: finding these takes far longer than finding
out that there are some."""


class Schema:
    """A JSON Schema that is compiled. Nothing is ever fetched."""

    def __init__(self, written: Mapping[str, Any]) -> None:
        self.written = dict(written)
        try:
            self._validator = jsonschema_rs.validator_for(self.written, offline=True, validate_formats=True)
        except jsonschema_rs.ValidationError as error:
            place = "".join(f"/{step}" for step in error.instance_path)
            raise ValueError(f"is no JSON Schema: at #{place}: {error.message[:300]}") from None
        except (jsonschema_rs.ReferencingError, ValueError) as error:
            raise ValueError(f"is no JSON Schema: {str(error)[:300]}") from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Compile it when a document is loaded."""
        written = core_schema.no_info_after_validator_function(cls, core_schema.dict_schema(core_schema.str_schema()))
        told = core_schema.plain_serializer_function_ser_schema(lambda made: made.written)
        either: list[Any] = [core_schema.is_instance_schema(cls), written]
        return core_schema.union_schema(either, mode="left_to_right", serialization=told)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "object", "description": "A JSON Schema."}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schema) and other.written == self.written

    def __hash__(self) -> int:
        return hash(repr(self.written))

    def __repr__(self) -> str:
        return "<Schema>"

    def mistakes(self, value: Any) -> list[dict[str, str]]:
        """Return what is wrong with a body: JSON pointers (RFC 6901), and what a schema wants there. What was sent is
        never told."""
        try:
            if self._validator.is_valid(value):
                return []
        except ValueError:  # deeper than the validator goes
            return [{"pointer": "", "detail": "is nested too deep"}]
        if not _is_small(value):
            return [{"pointer": "", "detail": "is not as it should be; it is too large to say where"}]
        found = []
        for error in self._validator.iter_errors(value):
            kind = error.kind
            pointer, detail = "".join(map(_step, error.instance_path)), f"breaks {kind.name} of the schema"
            if kind.name == "required":
                name = kind.as_dict()["property"]
                pointer, detail = pointer + _step(name), "is required"
            elif kind.name == "type":
                types = kind.as_dict()["types"]
                detail = f"should be {' or '.join(types if isinstance(types, list) else [types])}"
            found.append({"pointer": pointer, "detail": detail})
            if len(found) >= MOST_ERRORS:
                break
        return found or [{"pointer": "", "detail": "is not as it should be"}]


def _step(name: Any) -> str:
    return "/" + str(name).replace("~", "~0").replace("/", "~1")


def _is_small(value: Any) -> bool:
    count, pending = 0, [(value, 0)]
    while pending:
        each, depth = pending.pop()
        inner: Any = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        count += 1
        if count > VALUES or depth > DEPTH:
            return False
        pending += [(item, depth + 1) for item in inner]
    return True


def refused(mistakes: list[dict[str, str]]) -> Response:
    """Return the answer to a body that is not as it should be (RFC 9457)."""
    return Response.json(
        {
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "The body is not as its schema says.",
            "reason": "schema",
            "errors": mistakes,
        },
        400,
        "application/problem+json",
    )
