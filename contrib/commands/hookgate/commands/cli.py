"""The ``hookgate`` command. Exit codes: 0 done, 1 failed, 2 a bad document or usage, 3 what this machine refuses."""

from __future__ import annotations

import sys
from functools import cache
from typing import Annotated, Any

import typer
from rich.errors import MarkupError
from rich.markup import escape, render
from typer.core import TyperGroup

from hookgate import __version__
from hookgate.commands import authorize, check, reload, serve
from hookgate.commands.output import WIDE, errors
from hookgate.document.catalogue import Catalogue, PluginLookupError
from hookgate.exchange.errors import ConfigError, MachineError
from hookgate.server.settings import Settings

BAD_DOCUMENT = 2
MACHINE_REFUSES = 3


@cache
def _installed() -> Catalogue:
    """What is installed, read once for each process."""
    try:
        return Catalogue(Settings().plugins_dir)
    except LookupError as error:  # there is no such folder; what cannot do without it refuses to run
        errors.print(f"warning: {error}", style="yellow")
        return Catalogue()


@cache
def _plugin(word: str) -> Any:
    """Return the command of a plugin; one that says why, where the plugin cannot be used."""
    catalogue = _installed()
    try:
        return _made(word, catalogue.get("command", word))
    except PluginLookupError as error:
        why = str(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - another distribution's code may raise anything
        who = ", ".join(catalogue.providers("command", word))
        why = f"`hookgate {word}` cannot be used: {who}: {type(error).__name__}: {error}"

    def refuse() -> None:
        raise MachineError(" ".join(why.split()))

    anything = {"ignore_unknown_options": True, "allow_extra_args": True}
    said = f"Broken: {_literally(' '.join(why.split()))}"
    return typer.core.TyperCommand(word, help=said, callback=refuse, context_settings=anything, add_help_option=False)


def _made(word: str, cls: Any) -> Any:
    """Have a plugin add its command, and take that."""
    group = typer.Typer()
    group.callback()(lambda: None)  # so that a single command does not lose its name
    cls(cls.options_type()).add_commands(group)
    made: Any = typer.main.get_command(group)
    found = made.commands.get(word)
    if found is None:
        added = ", ".join(made.commands) or "none"
        raise TypeError(f"{cls.__name__}.add_commands adds a command {word!r}; it added {added}")
    try:
        render(found.help or "")
    except MarkupError:  # `hookgate --help` shows the texts of all
        found.help = _literally(found.help)
    return found


def _literally(text: str) -> str:
    """Write a text so that help shows it as it is."""
    return escape(text) if typer.core.HAS_RICH else text


class Commands(TyperGroup):
    """Core's own commands, and those that are installed: a class is imported when its command is typed.

    A word of core's own is core's. Two distributions with one word are refused when it is typed, and not before.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all, those of broken ones too."""
        own = super().list_commands(ctx)
        return [*own, *(name for name in _installed().names("command") if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find one by its name. One whose distribution is broken refuses to run, and its help says why."""
        found = super().get_command(ctx, cmd_name)
        if found is None and cmd_name in _installed().names("command"):
            return _plugin(cmd_name)
        return found

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find what was typed; say of a word that nobody knows what to install, or what may have been meant."""
        word = args[0]
        if not word.startswith("-") and self.get_command(ctx, word) is None and not ctx.resilient_parsing:
            hint = _installed().hint("command", word, super().list_commands(ctx))
            ctx.fail(f"No such command {word!r}{hint or '.'}{_installed().unread()}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="hookgate",
    cls=Commands,
    help="An API gateway made of plugins.",
    epilog="Exit codes: 0 done · 1 failed · 2 bad document or usage · 3 refused by this machine (a port in use).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (serve, check, reload, authorize):
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
    wide = {}
    if not (sys.stdout.isatty() and sys.stderr.isatty()):  # no frames, and nothing is broken to fit 80 columns
        typer.core.HAS_RICH, wide = False, {"terminal_width": WIDE}
    try:
        app(**wide)
    except ConfigError as error:
        for problem in error.problems:
            errors.print(str(problem), style="red")
        count = len(error.problems)
        errors.print(f"{count} problem{'s' if count != 1 else ''}; nothing was changed.")
        sys.exit(MACHINE_REFUSES if error.outside else BAD_DOCUMENT)
    except MachineError as error:
        errors.print(f"hookgate: {error}", style="red")
        sys.exit(MACHINE_REFUSES)
    except OSError as error:
        if error.filename is None:  # it is not about a file that somebody named
            raise
        errors.print(f"hookgate: {error.filename}: {error.strerror}", style="red")
        sys.exit(MACHINE_REFUSES)
