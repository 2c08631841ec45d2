"""The ``hookgate`` command. Exit codes: 0 done, 1 failed, 2 a bad document or usage, 3 what this machine refuses."""

from __future__ import annotations

import sys
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hookgate import __version__
from hookgate.commands import check, plugins, reload, routes, schema, serve
from hookgate.commands.output import errors
from hookgate.contract.plugin import Options
from hookgate.document.catalogue import Catalogue
from hookgate.exchange.errors import ConfigError, MachineError
from hookgate.server.settings import Settings

BAD_DOCUMENT = 2
MACHINE_REFUSES = 3


@cache
def _installed() -> Catalogue:
    """What is installed, read once for each process."""
    return Catalogue(Settings().plugins_dir)


class Commands(TyperGroup):
    """Core's own commands, and those that are installed: a class is imported when its command is typed.

    A word of core's own is core's. Two distributions with one word are refused when it is typed, and not before.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all, those of broken ones too."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in _installed().names("command") if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find one by its name.

        Raises:
            MachineError: its distribution is broken, or there are two; the text says what to do.
        """
        found = super().get_command(ctx, cmd_name)
        if found is not None or cmd_name not in _installed().names("command"):
            return found
        try:
            return _made(cmd_name, _installed().get("command", cmd_name))
        except Exception as error:
            why = str(error) if isinstance(error, LookupError) else f"{type(error).__name__}: {error}"
            if ctx.invoked_subcommand is None and not ctx.args and not ctx.protected_args:  # the list of all
                return typer.core.TyperCommand(cmd_name, help=f"Broken: {why}", callback=lambda: None)
            raise MachineError(f"`hookgate {cmd_name}` cannot be used: {why}") from error


def _made(name: str, cls: Any) -> Any:
    """Have a plugin add its command, and take that.

    Raises:
        LookupError: it added none of its name.
    """
    group = typer.Typer()
    group.callback()(lambda: None)  # so that a single command does not lose its name
    cls(Options()).add_commands(group)
    made: Any = typer.main.get_command(group)
    found = made.commands.get(name)
    if found is None:
        raise LookupError(f"{cls.__name__}.add_commands added no command of that name")
    return found


app = typer.Typer(
    name="hookgate",
    cls=Commands,
    help="An API gateway made of plugins.",
    epilog="Exit codes: 0 done · 1 failed · 2 bad document or usage · 3 refused by this machine (a port in use).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (serve, check, routes, plugins, schema, reload):
    app.command(module.__name__.rpartition(".")[2])(module.command)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"hookgate {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """An API gateway made of plugins."""


def main() -> None:
    """Run the command line; what is expected to go wrong ends in a message and an exit code, not in a stack trace."""
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            errors.print(str(problem), style="red", highlight=False, soft_wrap=True, markup=False)
        count = len(error.problems)
        errors.print(f"{count} problem{'s' if count != 1 else ''}; nothing was changed.", highlight=False)
        sys.exit(BAD_DOCUMENT)
    except MachineError as error:
        errors.print(f"hookgate: {error}", style="red", highlight=False, soft_wrap=True, markup=False)
        sys.exit(MACHINE_REFUSES)
