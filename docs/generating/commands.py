"""The commands of the command line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperGroup

from generating.markdown import table
from generating.shipped import first_party
from hookgate.commands import app


def commands() -> str:
    """Tell the commands of the command line: core's own, then those of distributions of ours."""
    group: Any = typer.main.get_command(app)
    own = [command.name for command in app.registered_commands]
    ours = [*own, *(listed.name for listed in first_party() if listed.family == "command")]
    context = group.context_class(group)
    rows = [row for name in ours for row in _told(f"hookgate {name}", group.get_command(context, name), context)]
    return table(("command", "what it does"), rows)


def _told(typed: str, command: Any, context: Any) -> Iterator[tuple[str, str]]:
    if isinstance(command, TyperGroup):
        for name in command.list_commands(context):
            yield from _told(f"{typed} {name}", command.get_command(context, name), context)
    else:
        yield f"`{typed}`", (command.help or "").split("\n\n")[0]
