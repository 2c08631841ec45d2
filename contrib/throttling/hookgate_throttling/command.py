"""``hookgate tiers``: which tiers there are, who may choose them, and what others would do to recorded calls."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import DocumentArgument, ask, configuration, document_path, errors, management_url, out, refused
from hookgate.commands import table as drawn
from hookgate.exchange import near, printable
from hookgate_throttling.records import LEVELS, Level
from hookgate_throttling.tiers import Tiers
from hookgate_throttling.trying import Report, UnknownTiers, traces_in, tried

LARGEST = 512 * 1024 * 1024
"""Bytes of a file of traces."""
PAGES = 200
"""Pages of 500 traces that a gateway is asked for."""
MISSING = "does not show its traces: write `gateway: {observers: [trace]}` and `management: {apps: [health, trace]}`"

app = typer.Typer(name="tiers", help="Show tiers, and try others on recorded calls.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class TierCommands(Command[Options]):
    """Show tiers and who may choose them, and try other tiers on recorded calls."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add the group `tiers`."""
        commands.add_typer(app)


def _tiers(document: Path | None) -> Tiers:
    return cast("Tiers", configuration(document_path(document)).sections["tiers"])


@app.command("list")
def listing(
    document: DocumentArgument = None,
    role: Annotated[
        list[str] | None, typer.Option("--role", help="Only what somebody with this role may choose; several together.")
    ] = None,
    level: Annotated[str | None, typer.Option("--level", help=f"Only what is for it: {', '.join(LEVELS)}.")] = None,
    json: AsJson = False,
) -> None:
    """Show the tiers of a document, those of its preset included, and with --role what such a person may choose."""
    if level is not None and level not in get_args(Level):
        raise typer.BadParameter(f"there is no level {level!r}{near(level, LEVELS)}")
    tiers = _tiers(document)
    shown = {
        name: tier
        for name, tier in tiers.tiers.items()
        if (level is None or level in tier.levels) and (role is None or tier.may_be_chosen(tuple(role)))
    }
    if json:
        out.print_json(data={name: _data(tier) for name, tier in shown.items()})
        return
    rows = []
    for name, tier in shown.items():
        burst = "" if tier.burst is None else f"{tier.burst.limit} a {tier.burst.window}"
        limit = "unlimited" if tier.limit == "unlimited" else f"{tier.limit} a {tier.window}"
        who = f"not {', '.join(tier.deny)}" if tier.deny else ", ".join(tier.allow or ())
        rows.append((name, limit, burst, " ".join(each for each in LEVELS if each in tier.levels), who))
    out.print(drawn(("tier", "calls", "burst", "for", "roles"), rows, whole=("tier",)))


def _data(tier: Any) -> dict[str, Any]:
    said: dict[str, Any] = tier.model_dump(mode="json", exclude={"preset", "enabled"})
    return {**said, "levels": [each for each in LEVELS if each in tier.levels]}


@app.command("try")
def trying(
    document: Annotated[Path, typer.Argument(metavar="DOCUMENT", help="The document with the tiers to try.")],
    traces: Annotated[
        Path | None,
        typer.Argument(
            metavar="TRACES",
            help="File of `hookgate trace --json --full`; - for the standard input. Default: ask a running gateway.",
        ),
    ] = None,
    move: Annotated[
        list[str] | None, typer.Option("--move", help="OLD=NEW: who had the tier OLD has NEW. Several together.")
    ] = None,
    json: AsJson = False,
    management: Annotated[
        str | None,
        typer.Option("--management", help="URL of the management listener. Default: $HOOKGATE_MANAGEMENT_URL."),
    ] = None,
) -> None:
    """Count recorded calls again by the tiers of another document, and say who would have been refused.

    Traces tell which limits a call has met and by whom; calls are taken in the order of their times. It is as exact as
    the traces are whole: have every call traced for as long as you look at. Exit code 2 for tiers that are not there.
    """
    moved = dict(_pair(each) for each in move or ())
    tiers = _tiers(document)
    try:
        found = list(_asked(management) if traces is None else traces_in(_read(traces)))
        report = tried(found, tiers, moved)
    except UnknownTiers as error:
        raise typer.BadParameter(f"{document} has no tier {error}; write it there, or --move it to another") from None
    except RecursionError:
        raise typer.BadParameter(f"{traces}: it is nested too deeply") from None
    except ValueError as error:
        raise typer.BadParameter(f"{traces}: {error}") from None
    except LookupError as error:
        raise MachineError(f"nothing counts limits here: {error}; pip install hookgate-counters-local") from None
    if json:
        out.print_json(data=report.as_data())
    else:
        _print(report)


def _pair(written: str) -> tuple[str, str]:
    old, equals, new = written.partition("=")
    if not (old and equals and new):
        raise typer.BadParameter(f"{written!r} moves nothing: write --move Gold=Silver")
    return old, new


def _read(path: Path) -> str:
    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if str(path) == "-" else _file(path)
    except OSError as error:
        raise MachineError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise typer.BadParameter(f"{path} has more than {LARGEST // 1024 // 1024} MiB: export fewer traces at a time")
    return data.decode("utf-8", "replace")


def _file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LARGEST + 1)


def _asked(management: str | None) -> Iterator[Mapping[str, Any]]:
    """Ask a gateway for all traces that it keeps, page by page."""
    url, before = management_url(management), ""
    for _ in range(PAGES):
        query = [("full", "true"), ("limit", "500"), *([("before", before)] if before else [])]
        _, status, page = ask(url, "/-/traces", query)
        if status != 200 or page is None:
            refused(url, status, page, MISSING)
        yield from (each["trace"] for each in page["traces"] if each.get("trace"))
        if page["next"] is None:
            return
        before = str(page["next"])
    errors.print(f"there are more traces; the newest {PAGES * 500} are counted")


def _print(report: Report) -> None:
    rows = []
    for line in report.as_data()["limits"]:
        first = "" if line["first"] is None else datetime.fromtimestamp(line["first"], UTC).strftime("%m-%d %H:%M:%S")
        cells = (line["level"], line["who"], line["tier"], str(line["calls"]), str(line["refused"]), first)
        rows.append([printable(cell) for cell in cells])
    if rows:
        out.print(drawn(("level", "who", "tier", "calls", "refused", "first at"), rows, whole=("level", "who", "tier")))
    without = f" {report.unknown} of them met no limit." if report.unknown else ""
    out.print(f"{report.traces} calls: {report.before} were refused, {report.now} would be.{without}", highlight=False)
