"""``hookgate reload``: have a running gateway read its document again."""

from __future__ import annotations

from typing import Annotated

import typer

from hookgate.commands.output import errors, out
from hookgate.commands.remote import ask
from hookgate.exchange.errors import MachineError

ManagementOption = Annotated[
    str | None,
    typer.Option("--management", help="URL of the management listener. Default: $HOOKGATE_MANAGEMENT_URL."),
]


def command(management: ManagementOption = None) -> None:
    """Have a running gateway read its document again. Exit code 2 if that is refused, 3 if what it names is away."""
    url, status, told = ask(management, "/-/reload", method="POST")
    if not isinstance(told, dict):
        raise MachineError(f"{url} answered {status} and is not a hookgate management listener")
    if status == 200:
        out.print(f"generation {told['generation']} is live")
        return
    for problem in told.get("problems", [told.get("detail", f"status {status}")]):
        errors.print(problem, style="red")
    errors.print(f"refused; generation {told.get('generation')} stays")
    raise typer.Exit(3 if status == 503 else 2)
