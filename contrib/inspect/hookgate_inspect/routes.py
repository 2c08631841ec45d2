"""``hookgate routes``: what runs where, in which order."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from hookgate.commands import DocumentArgument, configuration, document_path, out
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
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("route", "match", "request →", "← response", "to"):
        table.add_column(title, overflow="fold", header_style="bold")
    for row in rows:
        table.add_row(
            Text(str(row["name"])),
            Text(str(row["match"])),
            Text("\n".join(row["request"])),
            Text("\n".join(row["response"])),
            Text(str(row["to"])),
        )
    out.print(table)


def _row(config: Configuration, route: RouteConfig) -> dict[str, Any]:
    flow = Flow(config.flow, route.steps)
    match = route.section.match
    methods = ",".join(match.methods) if match.methods else "*"
    return {
        "name": route.name,
        "match": f"{methods} {match.host or ''}{match.path}" + (f" when {match.when.text}" if match.when else ""),
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
