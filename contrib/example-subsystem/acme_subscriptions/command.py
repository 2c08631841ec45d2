"""``hookgate used``."""

from typing import Annotated

import typer

from hookgate import Command, Options, hookimpl
from hookgate.commands import ask, print_line, refused

MISSING = "shows no subscriptions: write `management: {apps: [health, subscriptions]}`"


class ShowUsage(Command[Options]):
    """Show what the subscribers of a running gateway have used today."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `used`."""
        commands.command("used")(show)


def show(management: Annotated[str | None, typer.Option(help="URL of the management listener.")] = None) -> None:
    """Show what the subscribers of a running gateway have used today."""
    url, status, told = ask(management, "/-/subscriptions")
    if status != 200:
        refused(url, status, told, MISSING)
    for each in told["subscriptions"]:
        print_line(((each["subscriber"], "bold"), (f" ({each['plan']}): {each['used']} of {each['quota']}", "")))
