"""``hookgate workflow bulk``: checks, starts, follows and repairs bulks of a running gateway."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from hookgate.commands import errors, out, say
from hookgate_management import ManagementOption, TokenOption, asked, write_csv

LONGEST_FILE = 64 * 1024 * 1024
LOOK = 0.5
"""Seconds between two looks."""
OVER = ("CLOSED_IN_SUCCESS", "CLOSED_IN_ERRORS", "PAUSED")
COLUMNS = ("row", "line", "status", "instance", "guid", "attempt", "started", "ended", "original", "trace", "response")
FileArgument = Annotated[Path, typer.Argument(help="CSV with a header row, or a `.json` file with an array.")]
ActionOption = Annotated[str, typer.Option("--action", help="The bulk action.")]
BulkArgument = Annotated[str, typer.Argument(metavar="ID", help="The number or GUID of a bulk.")]


def add_bulk(group: typer.Typer) -> None:
    """Add `bulk`."""
    made = typer.Typer(no_args_is_help=True, help="Run a workflow or a call for each row of a file.")
    for name, command in (("check", check), ("start", start), ("list", listing), ("show", show), ("rows", rows)):
        made.command(name)(command)
    for name, command in (("follow", follow), ("pause", pause), ("resume", resume), ("cancel", cancel)):
        made.command(name)(command)
    made.command("replay")(replay)
    group.add_typer(made, name="bulk")


def check(
    file: FileArgument, action: ActionOption, management: ManagementOption = None, token_file: TokenOption = None
) -> None:
    """Convert and check the rows of a file, and start nothing."""
    content, kind = _read(file)
    told = asked(
        management,
        token_file,
        lambda client: client.call("POST", "/bulks/check", content, {"action": action}, Content_Type=kind),
    )
    say(f"{told['rows']} rows, {told['valid']} valid, {told['invalid']} invalid")
    for each in told["problems"]:
        place = f"row {each['row']}" + (f", line {each['line']}" if each["line"] else "")
        for error in each["errors"]:
            errors.print(f"{place}: {error['pointer']} {error['detail']}".replace(":  ", ": "), markup=False)
    if told["invalid"]:
        raise typer.Exit(1)


def start(
    file: FileArgument,
    action: ActionOption,
    followed: Annotated[bool, typer.Option("--follow", help="Show how far it is until it is over.")] = False,
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Start a bulk, and print its number."""
    content, kind = _read(file)
    told = asked(
        management,
        token_file,
        lambda client: client.call("POST", "/bulks", content, {"action": action}, Content_Type=kind),
    )
    say(f"bulk {told['bulk_id']}: {told['rows']} rows, {told['invalid']} invalid")
    if followed:
        follow(str(told["bulk_id"]), management, token_file)


def listing(management: ManagementOption = None, token_file: TokenOption = None) -> None:
    """List the newest bulks."""
    for each in asked(management, token_file, lambda client: client.call("GET", "/bulks"))["bulks"]:
        say(_line(each))


def show(bulk: BulkArgument, management: ManagementOption = None, token_file: TokenOption = None) -> None:
    """Show a bulk."""
    out.print_json(json.dumps(_bulk(bulk, management, token_file)))


def rows(
    bulk: BulkArgument,
    status: Annotated[str | None, typer.Option("--status", help="Only rows of this status.")] = None,
    form: Annotated[Literal["csv", "json"], typer.Option("--format", help="How to print them.")] = "csv",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Print the rows of a bulk with what came of each."""
    query: dict[str, str | list[str]] = {"limit": "1000"}
    if status is not None:
        query["status"] = status
    found: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        query["after"] = str(after)
        told = asked(
            management, token_file, lambda client: client.call("GET", f"/bulks/{_key(bulk)}/rows", query=query)
        )
        found += told["rows"]
        after = told.get("next")
    if form == "json":
        out.print_json(json.dumps(found))
        return
    for each in found:
        each |= {name: json.dumps(each[name], ensure_ascii=False) for name in ("original", "trace", "response")}
    write_csv(sys.stdout, COLUMNS, found)


def follow(bulk: BulkArgument, management: ManagementOption = None, token_file: TokenOption = None) -> None:
    """Show how far a bulk is, until it is over or paused. The exit code is 1 where a row is not done."""
    told = _bulk(bulk, management, token_file)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rest]}"))
    with Progress(*columns, console=out, transient=True) as progress:
        task = progress.add_task(f"bulk {told['id']}", total=told["rows"], rest="")
        while True:
            stats = told["stats"]
            open_ = stats["queued"] + stats["running"]
            rest = ", ".join(f"{count} {name}" for name, count in stats.items() if count and name != "done")
            progress.update(task, completed=told["rows"] - open_, rest=rest)
            if told["status"] in OVER:
                break
            time.sleep(LOOK)
            told = _bulk(bulk, management, token_file)
    say(_line(told))
    if told["status"] != "CLOSED_IN_SUCCESS":
        raise typer.Exit(1)


def pause(bulk: BulkArgument, management: ManagementOption = None, token_file: TokenOption = None) -> None:
    """Begin no more rows of a bulk; those that run go on."""
    _act(bulk, "pause", management, token_file)


def resume(bulk: BulkArgument, management: ManagementOption = None, token_file: TokenOption = None) -> None:
    """Go on with a bulk that is paused."""
    _act(bulk, "resume", management, token_file)


def cancel(bulk: BulkArgument, management: ManagementOption = None, token_file: TokenOption = None) -> None:
    """Never begin what has not begun of a bulk; rows that run go on."""
    _act(bulk, "cancel", management, token_file)


def replay(
    bulk: BulkArgument,
    row: Annotated[list[int] | None, typer.Option("--row", help="Only this row; may be repeated.")] = None,
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Run rows again that have failed or were stopped."""
    body = {"rows": row} if row else {}
    told = asked(management, token_file, lambda client: client.call("POST", f"/bulks/{_key(bulk)}/replay", body))
    say(f"bulk {told['id']}: {told['rows']} rows run again")


def _act(bulk: str, word: str, management: str | None, token_file: Path | None) -> None:
    told = asked(management, token_file, lambda client: client.call("POST", f"/bulks/{_key(bulk)}/{word}"))
    say(f"bulk {told['id']}: {told['status']}")


def _bulk(bulk: str, management: str | None, token_file: Path | None) -> Any:
    return asked(management, token_file, lambda client: client.call("GET", f"/bulks/{_key(bulk)}"))


def _key(bulk: str) -> str:
    if not bulk.isascii() or not bulk.replace("-", "").isalnum():
        raise typer.BadParameter("write the number or the GUID of a bulk", param_hint="ID")
    return bulk


def _line(told: dict[str, Any]) -> str:
    stats = ", ".join(f"{count} {name}" for name, count in told["stats"].items() if count)
    what = told["action"] or f"{told['method']} {told['route']}"
    reason = f" ({told['reason']})" if told["reason"] else ""
    return f"bulk {told['id']} {what}: {told['status']}{reason}, {told['rows']} rows: {stats}"


def _read(file: Path) -> tuple[bytes, str]:
    try:
        with file.open("rb") as opened:
            data = opened.read(LONGEST_FILE + 1)
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > LONGEST_FILE:
        raise typer.BadParameter(f"{file} has more than {LONGEST_FILE} bytes")
    return data, "application/json" if file.suffix.lower() == ".json" else "text/csv"
