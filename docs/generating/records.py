"""The fields of records as tables: options of plugins, sections of a document, settings of the process."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from generating.markdown import prose, table
from hookgate.connections import record as connectionsection
from hookgate.connections.retrying import RetrySection
from hookgate.document.entries import HostOptions
from hookgate.flow import record as sections
from hookgate.gateway.listenertls import CertificateSection, ClientCertificatesSection, TlsSection
from hookgate.http.tls import UpstreamTlsSection
from hookgate.server.settings import Settings
from hookgate_apis import records as apis
from hookgate_trace.options import TraceRule, TraceSection

SECTIONS = {
    "gateway": sections.GatewaySection,
    "gateway-limits": sections.LimitsSection,
    "tls": TlsSection,
    "certificate": CertificateSection,
    "client-certificates": ClientCertificatesSection,
    "management": sections.ManagementSection,
    "route": sections.RouteSection,
    "match": sections.MatchSection,
    "destination": sections.DestinationSection,
    "route-limits": sections.RouteLimitsSection,
    "connection": connectionsection.ConnectionSection,
    "target": connectionsection.TargetSection,
    "retry": RetrySection,
    "header-action": connectionsection.HeaderActionSection,
    "timeouts": connectionsection.TimeoutsSection,
    "pool": connectionsection.PoolSection,
    "upstream-tls": UpstreamTlsSection,
    "trace": TraceSection,
    "trace-rule": TraceRule,
    "profile": sections.ProfileSection,
    "api": apis.ApiSection,
    "resource": apis.ResourceSection,
    "operation": apis.OperationSection,
    "scope-destination": apis.ScopeDestination,
    "application": apis.ApplicationSection,
    "plan": apis.PlanSection,
    "entry": HostOptions,
}
"""The records whose fields configuration.md lists, by the name of the block they stand in."""


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
    """Tell the fields of one section; those inside it have blocks of their own."""
    return fields(record.model_json_schema(by_alias=True))


def settings() -> str:
    """Tell the settings of the process."""
    rows = []
    for name, field in Settings.model_json_schema()["properties"].items():
        rows.append((f"`HOOKGATE_{name.upper()}`", kind(field), default(name, field, ()), prose(field["description"])))
    return table(("variable", "type", "default", "meaning"), rows)
