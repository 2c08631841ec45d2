"""How many routes a document has."""

from pathlib import Path

import typer

from hookgate import Command, Options, hookimpl
from hookgate.commands import configuration


class Tally(Command[Options]):
    """Counts the routes of a document."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `tally`."""
        commands.command("tally")(tally)


def tally(document: Path) -> None:
    """Count the routes of a document."""
    for route in configuration(document).routes:
        typer.echo(route.name)
