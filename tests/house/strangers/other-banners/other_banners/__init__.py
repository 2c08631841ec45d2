"""The same section and the same command as those of another distribution."""

import typer

from hookgate import Command, Options, Section, hookimpl


class Banners(Section[Options]):
    """Takes the name that somebody has."""


class Tally(Command[Options]):
    """Takes the word that somebody has."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `tally`."""
        commands.command("tally", help="Count nothing.")(lambda: None)
