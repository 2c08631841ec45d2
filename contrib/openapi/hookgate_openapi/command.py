"""``hookgate openapi import``: make a document of an OpenAPI description."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import errors
from hookgate_openapi import Wishes, described, read
from hookgate_openapi.importing import Checks
from hookgate_openapi.writing import contract_text, document_text


class OpenApi(Command[Options]):
    """Make documents of OpenAPI descriptions."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `openapi import`."""
        group = typer.Typer(name="openapi", help="Make documents of OpenAPI descriptions.", no_args_is_help=True)
        group.callback()(lambda: None)  # without it a single command would lose its name
        group.command("import")(command)
        commands.add_typer(group)


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The description: YAML or JSON, one file.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write the document here instead of to stdout, and the contract beside it."
        ),
    ] = None,
    contract: Annotated[
        Path | None,
        typer.Option(help="Where the contract goes, with every schema and example. Default: beside the document."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the API. Default: the title, in kebab-case.")] = "",
    base_path: Annotated[
        str | None, typer.Option(help="In front of every path. Default: the path of the server.")
    ] = None,
    connection: Annotated[str, typer.Option(help="Name of the connection. Default: the name of the API.")] = "",
    server: Annotated[str, typer.Option(metavar="URL", help="The backend, in the place of `servers`.")] = "",
    validate: Annotated[
        Checks | None,
        typer.Option(help="What is checked against the schemas. Default: requests, where there is a contract."),
    ] = None,
    mock: Annotated[bool, typer.Option("--mock", help="Answer with examples in the place of the backend.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Import an OpenAPI description (Swagger 2.0, OpenAPI 3.0 to 3.2) as an API with resources and operations.

    Steps that check and mock refer to a contract: one JSON file with every schema, beside the document. Nothing is
    fetched: a description in several files has to be bundled first. Exit code 2 if it is wrong, with every mistake.
    """
    if contract is None and output is not None:
        contract = output.with_name(f"{output.stem}.openapi.json")
    if contract is None and (mock or validate not in (None, "none")):
        raise typer.BadParameter("checks and mocks need a contract; say where it goes: --output or --contract")
    checks: Checks = validate or ("requests" if contract is not None else "none")
    wanted = contract is not None and (mock or checks != "none")
    description = read(file)
    wishes = Wishes(
        name, base_path, connection, server, checks, mock, contract.as_posix() if wanted and contract else ""
    )
    found = described(description, wishes)
    heading = f"Imported from {file.name} by `hookgate openapi import`."
    text = document_text(found.document, heading)
    targets = [(contract, contract_text(found.contract))] if wanted and contract is not None else []
    if output is not None:
        targets.append((output, text))
    _write(targets, force=force)
    if output is None:
        print(text, end="")
    for target, _ in targets:
        errors.print(f"wrote {target}", highlight=False, markup=False)
    for warning in found.warnings:
        errors.print(f"warning: {warning}", style="yellow", highlight=False, markup=False)


def _write(targets: list[tuple[Path, str]], *, force: bool) -> None:
    """Write files, each whole or not at all; with one that may not be written nothing is."""
    for target, _ in targets:
        if target.exists() and not force:
            raise MachineError(f"{target} is there already; --force writes over it")
    for target, text in targets:
        temporary = ""
        try:
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False
            ) as opened:
                temporary = opened.name
                opened.write(text)
            Path(temporary).chmod(0o644)
            os.replace(temporary, target)  # noqa: PTH105
        except OSError as error:
            with suppress(OSError):
                Path(temporary).unlink()
            raise MachineError(f"cannot write {target}: {error.strerror}") from error
