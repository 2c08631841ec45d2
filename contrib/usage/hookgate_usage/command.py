"""``hookgate usage``: what subscriptions have used, and what an application would be billed."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from hookgate import Command, Options, hookimpl
from hookgate.commands import out
from hookgate_management.commands import ManagementOption, TokenOption, asked
from hookgate_management.spreadsheets import write_csv
from hookgate_usage.folding import NAMES, NUMBERS

AT_ONCE = 1000
_SHOWN = ("subscription", "tier", "key_type", "apis", "calls", "billed", "flat", "variable", "amount")


class UsageCommands(Command[Options]):
    """Export what subscriptions have used, and preview invoices."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `usage`."""
        group = typer.Typer(no_args_is_help=True, help="What subscriptions have used, and what it would cost.")
        group.command("export")(export)
        group.command("invoice")(invoice)
        commands.add_typer(group, name="usage")


def export(
    since: Annotated[str | None, typer.Option("--from", help="First day. Default: the first of this month.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Day behind the last one. Default: tomorrow.")] = None,
    period: Annotated[Literal["day", "month"], typer.Option("--period", help="What is told apart.")] = "day",
    by: Annotated[str, typer.Option("--by", help=f"By commas: {', '.join(NAMES)}.")] = ",".join(NAMES),
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME=VALUE", help="Only such usage; may be repeated.")
    ] = None,
    form: Annotated[Literal["csv", "json"], typer.Option("--format", help="How to print it.")] = "csv",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Print what subscriptions have used. It takes the permission `monetization` or `statistics`; who is somebody of
    the store sees the own subscriptions without it.
    """
    query: dict[str, Any] = {"period": period, "by": by, "limit": str(AT_ONCE)}
    query |= {name: value for name, value in (("from", since), ("to", until)) if value is not None}
    for each in only or ():
        name, equals, value = each.partition("=")
        if not equals or name not in NAMES:
            raise typer.BadParameter(f"{each}: write NAME=VALUE with {', '.join(NAMES)}", param_hint="--only")
        query.setdefault(name, []).append(value)
    rows: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        query["after"] = str(after)
        told = asked(management, token_file, lambda client: client.call("GET", "/usage", query=query))
        rows += told["rows"]
        after = told.get("next")
    if form == "json":
        out.print_json(json.dumps(rows))
    else:
        names = tuple(dict.fromkeys(filter(None, by.split(","))))
        write_csv(sys.stdout, ("period", *names, *NUMBERS), rows)


def invoice(
    application: Annotated[str, typer.Argument(help="Whose usage it is.")],
    month: Annotated[str | None, typer.Option("--month", help="Such as 2026-11. Default: this month.")] = None,
    form: Annotated[Literal["table", "json"], typer.Option("--format", help="How to print it.")] = "table",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Preview the invoice of an application for a month, by the prices that there are now. It takes the permission
    `monetization`; who is somebody of the store sees the own subscriptions without it.
    """
    query: dict[str, Any] = {"application": application} | ({} if month is None else {"month": month})
    told = asked(management, token_file, lambda client: client.call("GET", "/usage/invoice", query=query))
    if form == "json":
        out.print_json(json.dumps(told))
        return
    table = Table(*(name.replace("_", " ") for name in _SHOWN), box=None)
    for line in told["lines"]:
        shown = {**line, "apis": ", ".join(line["apis"]), "amount": _money(line["amount"], line["currency"])}
        table.add_row(*("-" if shown[name] is None else str(shown[name]).replace("[", r"\[") for name in _SHOWN))
    out.print(table)
    for currency, amount in told["totals"].items():
        out.print(f"{told['month']}: {_money(amount, currency)}")


def _money(amount: str | None, currency: str | None) -> str:
    return "no price" if amount is None else f"{amount} {currency}"
