"""``hookgate plugin``: for authors of plugins."""

from __future__ import annotations

import typer

from hookgate import Command, Options, hookimpl
from hookgate_authoring import check, new


class PluginCommands(Command[Options]):
    """For authors of plugins: write one that works, and find what is wrong with it."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `plugin new` and `plugin check`."""
        group = typer.Typer(name="plugin", help="For authors of plugins.", no_args_is_help=True)
        group.command("new")(new.command)
        group.command("check")(check.command)
        commands.add_typer(group)
