"""What can be said of a class without running it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from hookgate import Family, FlowOptions, Plugin
from hookgate.contract import HookError, hooks_of
from hookgate_authoring.conformance.guards import nested
from hookgate_authoring.conformance.report import Report


def check(cls: type[Plugin[Any]], family: Family, report: Report) -> None:
    """Docstrings, descriptions, JSON schema, frozen options, valid defaults and hooks."""
    if not (cls.__dict__.get("__doc__") or "").strip():
        report.add(
            "schema", cls.__name__, "has no docstring", "say in a sentence what it does: it becomes documentation"
        )
    try:
        hooks_of(cls, family.spec)
    except HookError as error:
        report.add("schema", cls.__name__, str(error), "hooks as hookgate.contract.hookspecs has them")
    options = cls.options_type
    try:
        schema = options.model_json_schema()
        json.dumps(schema)
    except Exception as error:  # noqa: BLE001 - pydantic and json have many ways to say no
        seen = f"has no JSON schema: {type(error).__name__}: {error}"
        report.add("schema", options.__name__, seen, "types of options that pydantic can describe")
        return
    # a field that says the same as its record has no words of its own in the schema
    told = {
        f"{m.__name__}.{f.alias or n}" for m in _models(options) for n, f in m.model_fields.items() if f.description
    }
    for path, described in _properties(options.__name__, schema):
        if not described and path not in told:
            report.add("schema", path, "is not described", "a docstring under the option")
    for model in _models(options):
        frozen, extra = model.model_config.get("frozen"), model.model_config.get("extra")
        if not frozen or extra != "forbid":
            report.add("schema", model.__name__, f"frozen={frozen}, extra={extra!r}", "inherit from hookgate.Options")
        _check_defaults(model, report)


def _properties(name: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    for part, inner in [(name, schema), *schema.get("$defs", {}).items()]:
        for option, described in inner.get("properties", {}).items():
            if part != FlowOptions.__name__:
                yield f"{part}.{option}", bool(described.get("description"))


def _models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    seen: set[Any] = set()
    waiting: list[Any] = [model]
    while waiting:
        current = waiting.pop()
        if isinstance(current, type) and issubclass(current, BaseModel):
            if current not in seen:
                seen.add(current)
                yield current
                waiting.extend(field.annotation for field in current.model_fields.values())
        else:
            waiting.extend(getattr(current, "__args__", ()))


def _check_defaults(model: type[BaseModel], report: Report) -> None:
    for name, field in model.model_fields.items():
        if field.is_required():
            continue
        default = field.get_default(call_default_factory=True, validated_data={})
        if any(nested(default)):
            continue
        annotation: Any = field.annotation
        for item in field.metadata:
            annotation = Annotated[annotation, item]
        try:
            TypeAdapter(annotation).validate_python(default)
        except ValidationError as error:
            seen = f"the default {default!r} is refused: {error.errors()[0]['msg']}"
            report.add("schema", f"{model.__name__}.{name}", seen, "a default that may also be written")
