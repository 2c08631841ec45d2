"""``hookgate workflow schedule``: what is due when, and a start now."""

from __future__ import annotations

import time
from typing import Annotated
from urllib.parse import quote

import typer

from hookgate.commands import say
from hookgate_management import ManagementOption, TokenOption, asked


def add_schedule(group: typer.Typer) -> None:
    """Add `schedule`."""
    made = typer.Typer(no_args_is_help=True, help="What is started by the clock.")
    made.command("next")(following)
    made.command("list")(listing)
    made.command("run")(run)
    group.add_typer(made, name="schedule")


def following(
    cron: Annotated[str, typer.Argument(help="Such as `30 2 * * MON-FRI`.")],
    zone: Annotated[str, typer.Option("--time-zone", help="Such as Europe/Vienna.")] = "UTC",
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="How many times.")] = 5,
    since: Annotated[float | None, typer.Option("--since", help="Unix time to begin at; now if left out.")] = None,
) -> None:
    """Print when a cron is due next, in its time zone."""
    from hookgate_schedules.times import Times

    try:
        times = Times(cron, zone)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    for due in times.after(time.time() if since is None else since, count):
        say(times.shown(due))


def listing(management: ManagementOption = None, token_file: TokenOption = None) -> None:
    """List the schedules of a running gateway with when each is due next."""
    for each in asked(management, token_file, lambda client: client.call("GET", "/schedules"))["schedules"]:
        when = each["next"][0] if each["next"] else "switched off"
        last = "" if each["last"] is None else f", last {each['last']['due']} as {each['last']['instance']}"
        say(f"{each['name']}: {each['workflow']} at {each['cron']} {each['time_zone']}, next {when}{last}")


def run(
    name: Annotated[str, typer.Argument(help="The schedule.")],
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Start what a schedule starts, now, and print the number of its instance."""
    path = f"/schedules/{quote(name, safe='')}/runs"
    told = asked(management, token_file, lambda client: client.call("POST", path))
    say(f"instance {told['id']} ({told['guid']})")
