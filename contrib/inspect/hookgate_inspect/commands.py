"""``hookgate plugins``, ``hookgate routes`` and ``hookgate schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import errors
from hookgate.document import Catalogue
from hookgate.server import Settings
from hookgate_inspect import plugins, routes
from hookgate_inspect.schema import document_schema


class Plugins(Command[Options]):
    """List what is installed, or show one plugin."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `plugins`."""
        commands.command("plugins")(plugins.command)


class Routes(Command[Options]):
    """Show every route with its steps."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `routes`."""
        commands.command("routes")(routes.command)


class Schema(Command[Options]):
    """Print the JSON Schema of the document."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `schema`."""
        commands.command("schema")(command)


def command(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead of stdout.")] = None,
) -> None:
    """Print the JSON Schema of the document, with every plugin that is installed.

    An editor completes and checks a document with it when its first line says
    `# yaml-language-server: $schema=./hookgate.schema.json`.
    """
    text = json.dumps(document_schema(Catalogue(Settings().plugins_dir)), indent=2)
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot write {output}: {error.strerror}") from error
    errors.print(f"wrote {output}")
