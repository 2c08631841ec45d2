"""``hookgate connections``: how the backends of a running gateway are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table
from rich.text import Text

from hookgate import Command, Options, hookimpl
from hookgate.commands import ask, errors, out, refused, table

COLORS = {"healthy": "green", "degraded": "yellow", "unhealthy": "red"}


class Connections(Command[Options]):
    """Show how the backends of a running gateway are."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `connections`."""
        commands.command("connections")(command)


def command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show only this one.")] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="Show those with this tag, whatever its case; given again, with all of them."),
    ] = None,
    health: Annotated[
        str | None, typer.Option("--health", help="Show those that are healthy, degraded or unhealthy.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, as /-/connections has it.")] = False,
    management: Annotated[
        str | None,
        typer.Option("--management", help="URL of the management listener. Default: $HOOKGATE_MANAGEMENT_URL."),
    ] = None,
) -> None:
    """Show the connections of a running gateway: health, targets, pool, failures.

    The gateway has to serve the app `connections`. Exit code 1 if there is no connection of that name, or none that the
    filters leave; 3 if no gateway answers.
    """
    if name is not None and (tag or health):
        raise typer.BadParameter("a connection that is named needs no --tag and no --health")
    found = _asked(
        management, name, [*(("tag", each) for each in tag or ()), *((("health", health),) if health else ())]
    )
    if json:
        out.print_json(data=found)
    connections = [found] if name is not None else found["connections"]
    if not connections:
        errors.print("no connection matches" if tag or health else "the document has no connections")
        raise typer.Exit(1)
    if not json:
        out.print(drawn(connections))


def drawn(connections: Sequence[Mapping[str, Any]]) -> Table:
    """Make a table with a line for each target."""
    titles = ("connection", "target", "health", "last seen", "in flight", "pool", "calls", "errors")
    rows: list[tuple[str | Text, ...]] = []
    for connection in connections:
        tags = f" ({', '.join(connection['tags'])})" if connection["tags"] else ""
        told = [f"{connection['name']}{tags}", _pool(connection["pool"]), str(connection["counts"].get("calls", 0))]
        shared = (*told, _errors(connection))
        if not connection["targets"]:
            rows.append((shared[0], "-", connection["health"], "", "", *shared[1:]))
        for target in connection["targets"]:
            first, pool, calls, failed = shared
            url = f"{'→ ' if target['url'] == connection['current'] else ''}{target['url']}"
            seen, open_calls = _when(target["last_seen"]), str(target["in_flight"])
            rows.append((first, url, _health(target), seen, open_calls, pool, calls, failed))
            shared = ("", "", "", "")
    return table(titles, rows, whole=("connection", "target", "last seen"))


def _health(target: Mapping[str, Any]) -> Text:
    if not target["active"]:
        return Text("not active", style="dim")
    reason = f" ({target['reason']})" if target["reason"] else ""
    failures = f", {target['failures']} failed" if target["failures"] else ""
    return Text(f"{target['health']}{reason}{failures}", style=COLORS.get(target["health"], ""))


def _pool(facts: Mapping[str, Any]) -> str:
    if "open" not in facts:
        return ""
    limit = f" of {facts['limit']}" if facts.get("limit") is not None else ""
    waiting = f", {facts['waiting']} waiting" if facts.get("waiting") else ""
    return f"{facts['open']}{limit} open, {facts.get('in_use', 0)} in use{waiting}"


def _errors(connection: Mapping[str, Any]) -> str:
    """Count errors by where they arose (HC-20)."""
    kinds = (("network", "network_issues"), ("backend", "southbound_errors"), ("caller", "northbound_errors"))
    return ", ".join(f"{connection[key]} {word}" for word, key in kinds if connection[key]) or "0"


def _when(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _asked(management: str | None, name: str | None, filters: Sequence[tuple[str, str]]) -> Any:
    """Ask a gateway for the page."""
    page = "/-/connections" + (f"/{quote(name, safe='')}" if name is not None else "")
    url, status, document = ask(management, page, filters)
    if status == 200 and isinstance(document, dict):
        return document
    return refused(
        url, status, document, "does not show its connections: write `management: {apps: [health, connections]}`"
    )
