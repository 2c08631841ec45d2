"""The commands of the command line."""

from __future__ import annotations

import inspect

from generating.markdown import table
from hookgate.commands import app


def commands() -> str:
    """Tell the commands of the command line."""
    rows = []
    groups = [(group.typer_instance.info.name + " ", group.typer_instance) for group in app.registered_groups]
    for prefix, group in [("", app), *groups]:
        for command in group.registered_commands:
            said = inspect.cleandoc(command.callback.__doc__ or "").split("\n\n")[0]
            rows.append((f"`hookgate {prefix}{command.name}`", said))
    return table(("command", "what it does"), rows)
