"""``hookgate routes``: what runs where, in which order."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hookgate.commands import DocumentArgument, configuration, document_path, out, table
from hookgate.flow import Flow, RouteConfig, order
from hookgate.gateway import Configuration


def command(
    document: DocumentArgument = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every route with its steps in the order they run, request and response apart."""
    config = configuration(document_path(document))
    rows = [_row(config, route) for route in config.routes]
    if json:
        out.print_json(data=rows)
        return
    cells = (
        (row["name"], row["match"], "\n".join(row["request"]), "\n".join(row["response"]), row["to"]) for row in rows
    )
    titles = ("route", "match", "request →", "← response", "to")
    out.print(table(titles, cells, whole=titles))


def _row(config: Configuration, route: RouteConfig) -> dict[str, Any]:
    flow = Flow(config.flow, route.steps)
    match = route.section.match
    methods = ",".join(match.methods) if match.methods else "*"
    return {
        "name": route.name,
        "match": f"{methods} {route.route.host or ''}{route.route.path}"
        + (f" when {match.when.text}" if match.when else ""),
        "request": _names(flow, "request"),
        "response": _names(flow, "response"),
        "to": _destination(route),
    }


def _destination(route: RouteConfig) -> str:
    if route.app is not None:
        return f"app {route.app.plugin.entry.name}"
    to = route.section.to
    return "" if to is None else f"{to.connection}{' ' + to.path if to.path else ''}"


def _names(flow: Flow, phase: str) -> list[str]:
    return ["  " * depth + (step.plugin.entry.label or step.plugin.entry.name) for step, depth in order(flow, phase)]
