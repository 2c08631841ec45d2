"""The fields of records as tables: options of plugins, sections of a document, settings of the process."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from generating.markdown import prose, table
from generating.shipped import first_party
from hookgate import Options
from hookgate.document.entries import HostOptions
from hookgate.document.sitefolder import kebab
from hookgate.server.settings import Settings


def records() -> dict[str, type[BaseModel]]:
    """Return the records that sections are made of, by the name of the block that tells their fields.

    That of a section has the name of the section, one inside it that of its class: ``header-action``.
    """
    found: dict[str, type[BaseModel]] = {"entry": HostOptions}
    sections = {each.name: each.plugin.options_type for each in first_party() if each.family == "section"}
    for name, record in sections.items():
        found[name] = record
        for inner in _inside(record):
            if inner not in sections.values():
                before = found.setdefault(kebab(inner.__name__.removesuffix("Section")), inner)
                assert before is inner, f"two records that would be told in one block: {before} and {inner}"
    return found


def _inside(record: type[BaseModel], above: tuple[Any, ...] = ()) -> Iterator[type[BaseModel]]:
    """Walk over the records inside one."""
    for field in record.model_fields.values():
        pending = [field.annotation]
        while pending:
            each = pending.pop()
            pending += get_args(each)
            if isinstance(each, type) and issubclass(each, Options) and each not in above:
                yield each
                yield from _inside(each, (*above, each))


def kind(field: Mapping[str, Any]) -> str:
    """Say in words what a field of a JSON Schema takes."""
    if "x-hookgate-family" in field:
        family = field["x-hookgate-family"]
        return f"{'an' if family[0] in 'aeiou' else 'a'} {family}"
    for choices in ("anyOf", "oneOf"):
        if choices in field:
            return " or ".join(dict.fromkeys(map(kind, field[choices])))
    if "allOf" in field:
        return kind(field["allOf"][0])
    if "enum" in field or "const" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        section = name.removesuffix("Section")  # those have a chapter of their own
        return f"`{name}`" if section == name else re.sub("(?<=[a-z])(?=[A-Z])", " ", section).lower()
    if field.get("type") == "array":
        items = kind(field.get("items", {}))
        return f"list of {re.sub('^an? ', '', items)}"
    if field.get("type") == "object":
        values = field.get("additionalProperties")
        return f"mapping to {kind(values)}" if isinstance(values, dict) and values else "mapping"
    if field.get("writeOnly"):
        return "secret"
    return {"ipvanynetwork": "network", "hookgate-expression": "expression", "file-path": "path"}.get(
        str(field.get("format")), str(field.get("format") or field.get("type") or "anything")
    )


def default(name: str, field: Mapping[str, Any], required: Iterable[str]) -> str:
    """Write a default as a document would; a record of defaults is told by its own table."""
    if name in required:
        return "**required**"
    value = field.get("default")
    if isinstance(value, dict) or (value is None and field.get("type") == "object"):
        return ""
    return f"`{_yaml(value)}`"


def _yaml(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return '""' if value == "" else str(value)


def fields(schema: Mapping[str, Any]) -> str:
    """Tell the fields of one record."""
    required = schema.get("required", ())
    return table(
        ("field", "type", "default", "meaning"),
        (
            (f"`{name}`", kind(field), default(name, field, required), prose(field.get("description")))
            for name, field in schema["properties"].items()
        ),
    )


def options(record: type[BaseModel]) -> str:
    """Tell the fields of a record, and those of the records inside it."""
    schema = record.model_json_schema(by_alias=True)
    if not schema.get("properties"):
        return "It has no options.\n"
    parts = [fields(schema)]
    for name, inner in schema.get("$defs", {}).items():
        if inner.get("properties"):
            parts.append(f"`{name}`: {prose(inner.get('description'))}\n\n{fields(inner)}")
    return "\n".join(parts)


def section(record: type[BaseModel]) -> str:
    """Tell the fields of one record; those inside it have blocks of their own."""
    schema = record.model_json_schema(by_alias=True)
    if "x-hookgate-family" in schema:
        return f"Each is {kind(schema)}.\n"
    return fields(schema) if schema.get("properties") else "It has no options.\n"


def settings() -> str:
    """Tell the settings of the process."""
    rows = []
    for name, field in Settings.model_json_schema()["properties"].items():
        rows.append((f"`HOOKGATE_{name.upper()}`", kind(field), default(name, field, ()), prose(field["description"])))
    return table(("variable", "type", "default", "meaning"), rows)
