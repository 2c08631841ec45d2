"""``hookgate promote``: what one environment's gateway has stored, as a plan for another's."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from hookgate import Command, ConfigError, MachineError, Options, Problem, hookimpl
from hookgate.commands import errors
from hookgate_management.client import ApiError, Client, Planned, Unreachable
from hookgate_management.commands import (
    DIFFERENCES,
    FAILED,
    FORM,
    MISTAKES,
    ExitCodeOption,
    print_differences,
    tell_written,
    write_file,
)
from hookgate_management.promoting import OWNER, promote

SOURCE_TOKEN, TARGET_TOKEN = "HOOKGATE_FROM_TOKEN", "HOOKGATE_TO_TOKEN"


class Promotion(Command[Options]):
    """Bring what one environment has stored to another."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `promote`."""
        commands.command("promote")(promotion)


def promotion(
    source: Annotated[str, typer.Option("--from", help="URL of the management listener that has the objects.")],
    target: Annotated[str, typer.Option("--to", help="URL of the management listener that gets them.")],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Only objects of this KIND/NAME, such as 'routes/shop*'; several times for more."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the plan, for `hookgate apply`, and change nothing.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    owner: Annotated[str, typer.Option("--owner", help="Who owns it in the store that gets it.")] = OWNER,
    comment: Annotated[str, typer.Option("--comment", help="What the ledger says about it.")] = "",
    wait: Annotated[str, typer.Option("--wait", help="How long gateways have to serve it; 0 for not at all.")] = "live",
    from_token: Annotated[
        Path | None, typer.Option("--from-token-file", help=f"File with a token for --from. Default: ${SOURCE_TOKEN}.")
    ] = None,
    to_token: Annotated[
        Path | None, typer.Option("--to-token-file", help=f"File with a token for --to. Default: ${TARGET_TOKEN}.")
    ] = None,
    exit_code: ExitCodeOption = False,
) -> None:
    """Bring what one environment has stored to another: everything but `variables`, which belong to an environment.
    Secrets do not travel; write them as variables. Where a variable or a secret is missing, nothing is changed.
    """
    query = ({"comment": comment} if comment else {}) | ({"wait": wait} if wait != "0" else {})
    try:
        with (
            Client(source, _token(from_token, SOURCE_TOKEN)) as one,
            Client(target, _token(to_token, TARGET_TOKEN)) as two,
        ):
            made, _ = promote(one, two, only or (), owner)
            print_differences(made.differences)
            if output is not None:
                write_file(output, _written(made))
                errors.print(f"wrote {output}, for generation {made.generation} of {target}")
            if not made.differences:
                errors.print("nothing differs")
            done = None if output is not None or dry_run else two.apply(made.plan, **query)
    except LookupError as error:
        raise ConfigError([Problem((), str(error.args[0]), "--only")]) from None
    except Unreachable as error:
        raise MachineError(str(error)) from None
    except ApiError as error:
        if error.status >= 500:
            raise MachineError(str(error)) from None
        errors.print(str(error), style="red")
        for each in error.errors:
            errors.print(f"  {each.get('object', '')}{each.get('pointer', '')}: {each['detail']}", style="red")
        raise typer.Exit(FAILED if error.kind in ("moved", "under-way", "busy") else MISTAKES) from None
    if done is not None:
        tell_written(done)
    if exit_code and made.differences:
        raise typer.Exit(DIFFERENCES)


def _written(made: Planned) -> str:
    told = {"hookgate-plan": FORM, "generation": made.generation, "owner": made.owner}
    return json.dumps({**told, "differences": made.differences, "plan": made.plan}, indent=2, ensure_ascii=False)


def _token(file: Path | None, name: str) -> str:
    try:
        token = file.read_text("utf-8").strip() if file else os.environ.get(name, "")
    except (OSError, UnicodeDecodeError) as error:
        raise MachineError(f"cannot read {file}: {error}") from None
    if not token.isascii() or not token.isprintable() or not token:
        raise typer.BadParameter(
            f"show the token of a caller: --{'from' if name == SOURCE_TOKEN else 'to'}-token-file, or {name}"
        )
    return token
