"""``hookgate statistics``: counts of calls of a running gateway, as a table, JSON or CSV."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from hookgate import Command, Options, hookimpl
from hookgate.commands import out
from hookgate_management.commands import ManagementOption, TokenOption, asked
from hookgate_management.spreadsheets import write_csv

_LATENCIES = ("p50", "p90", "p99")


class StatisticsCommand(Command[Options]):
    """Say how many calls a gateway has had, by API, application, user and more."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `statistics`."""
        commands.command("statistics")(show)


def show(
    by: Annotated[
        str, typer.Option("--by", help="By commas: api, version, operation, application, user, route, target.")
    ] = "api,version",
    since: Annotated[str, typer.Option("--since", help="How long ago to begin: 90s, 15m, 6h, 30d.")] = "1h",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="DIMENSION=VALUE", help="Only such calls; may be repeated.")
    ] = None,
    resolution: Annotated[
        Literal["auto", "minute", "hour", "day"], typer.Option("--resolution", help="Which counts are read.")
    ] = "auto",
    series: Annotated[bool, typer.Option("--series", help="Tell each minute, hour or day apart.")] = False,
    form: Annotated[Literal["table", "json", "csv"], typer.Option("--format", help="How to print it.")] = "table",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Print counts, errors and latencies of calls. It takes the permission `statistics`; who is somebody of the store
    sees the own calls without it.
    """
    where: dict[str, list[str]] = {}
    for each in only or ():
        name, equals, value = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"{each}: write DIMENSION=VALUE", param_hint="--only")
        where.setdefault(name, []).append(value)
    names = tuple(filter(None, by.split(",")))
    start = time.time() - _seconds(since)
    rows = asked(
        management,
        token_file,
        lambda client: client.statistics(
            by=names, since=start, where=where, resolution=None if resolution == "auto" else resolution, series=series
        ),
    )
    if form == "json":
        out.print_json(json.dumps(rows))
    elif form == "csv":
        if rows:
            write_csv(sys.stdout, list(rows[0]), rows)
    else:
        _as_table(rows, names, series)


def _as_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str], series: bool) -> None:
    counts = ("calls", "client_errors", "server_errors", "aborted")
    table = Table(*(("start",) if series else ()), *names, box=None)
    for name in (*counts, *_LATENCIES):
        table.add_column(name.replace("_", " "), justify="right")
    for each in rows:
        at = (time.strftime("%Y-%m-%d %H:%M", time.gmtime(each["start"])),) if series else ()
        shown = ("-" if each[name] is None else f"{each[name] * 1000:.1f} ms" for name in _LATENCIES)
        table.add_row(*at, *(each[name].replace("[", r"\[") for name in names), *(str(each[n]) for n in counts), *shown)
    out.print(table)


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    number, unit = text[:-1], text[-1:]
    if not number.isascii() or not number.isdigit() or unit not in units or len(number) > 9 or not int(number):
        raise typer.BadParameter(f"{text}: write a number and s, m, h or d, such as 6h", param_hint="--since")
    return float(int(number) * units[unit])
