"""``hookgate wsdl``: make a document of a WSDL file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import errors
from hookgate_openapi import document_text, write_whole
from hookgate_wsdl import Wishes, imported, parsed
from hookgate_wsdl.reading import LARGEST


class Wsdl(Command[Options]):
    """Make documents of WSDL files."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `wsdl import`."""
        group = typer.Typer(name="wsdl", help="Make documents of WSDL files.", no_args_is_help=True)
        group.callback()(_group)
        group.command("import")(command)
        commands.add_typer(group)


def _group() -> None:
    """Make documents of WSDL files."""


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The description: WSDL 1.1, one file.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the document here instead of to stdout.")
    ] = None,
    service: Annotated[str, typer.Option(help="Which service, if there are several.")] = "",
    name: Annotated[str, typer.Option(help="Name of the API. Default: that of the service, in kebab-case.")] = "",
    base_path: Annotated[str, typer.Option(help="In front of every path. Default: the name of the API.")] = "",
    connection: Annotated[str, typer.Option(help="Name of the connection. Default: the name of the API.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Import a WSDL 1.1 file with bindings of SOAP 1.1 and 1.2 as an API whose calls are passed through.

    Nothing is fetched: what stands in several files has to be put into one first. A file with a DOCTYPE is refused.
    Exit code 2 if it is wrong, with every mistake.
    """
    if output is not None and output.resolve() == file.resolve():
        raise typer.BadParameter(f"{output} is what is read here; write somewhere else")
    try:
        with file.open("rb") as opened:
            data = opened.read(LARGEST + 1)
    except OSError as error:
        raise MachineError(f"cannot read {file}: {error.strerror}") from error
    found = imported(parsed(data, str(file), service), Wishes(name, base_path, connection))
    text = document_text(found.document, f"Imported from {file.name} by `hookgate wsdl import`.")
    if output is None:
        print(text, end="")
    else:
        write_whole([(output, text)], force=force)
        errors.print(f"wrote {output}")
    for warning in found.warnings:
        errors.print(f"warning: {warning}", style="yellow", markup=False)
