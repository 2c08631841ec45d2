"""``hookgate openapi``: make a document of an OpenAPI description, and a description of an API in a document."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import configuration, document_path, errors
from hookgate.document import MAX_BYTES, Document, parse
from hookgate_openapi import Wishes, described, read
from hookgate_openapi.exporting import exported
from hookgate_openapi.importing import Checks
from hookgate_openapi.laying import Own
from hookgate_openapi.writing import contract_text, document_text, write_whole


class OpenApi(Command[Options]):
    """Make documents of OpenAPI descriptions, and descriptions of APIs."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `openapi import` and `openapi export`."""
        about = "Make documents of OpenAPI descriptions, and descriptions of APIs."
        group = typer.Typer(name="openapi", help=about, no_args_is_help=True)
        group.command("import")(command)
        group.command("export")(export)
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
    under: Annotated[
        Path | None,
        typer.Option(metavar="OWN", help="A document of your own that the import is laid under, by operation id."),
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
    for target in (output, contract):
        if target is not None and target.resolve() in (file.resolve(), under and under.resolve()):
            raise typer.BadParameter(f"{target} is what is read here; write somewhere else")
    if contract is None and output is not None:
        contract = output.with_name(f"{output.stem}.openapi.json")
    if contract is None and (mock or validate not in (None, "none")):
        raise typer.BadParameter("checks and mocks need a contract; say where it goes: --output or --contract")
    checks: Checks = validate or ("requests" if contract is not None else "none")
    wanted = contract is not None and (mock or checks != "none")
    description = read(file)
    wishes = Wishes(
        name, base_path, connection, server, checks, mock, _named(contract, output) if wanted and contract else ""
    )
    own = None if under is None else Own(_parsed(under))
    found = described(description, wishes if own is None else own.wishes(wishes))
    document, sources = found.document, file.name
    if own is not None and under is not None:
        if output is not None:
            own.stay_in(under.parent, output.parent)
        document, sources = own.over(found, file.name), f"{file.name} under {under.name}"
    text = document_text(document, f"Imported from {sources} by `hookgate openapi import`.")
    targets = [(contract, contract_text(found.contract))] if wanted and contract is not None else []
    if output is not None:
        targets.append((output, text))
    write_whole(targets, force=force)
    if output is None:
        print(text, end="")
    for target, _ in targets:
        errors.print(f"wrote {target}")
    for warning in found.warnings:
        errors.print(f"warning: {warning}", style="yellow")


def export(
    document: Annotated[
        Path | None, typer.Argument(metavar="DOCUMENT", help="The configuration. Default: $HOOKGATE_CONFIG.")
    ] = None,
    api: Annotated[
        str, typer.Option(metavar="NAME", help="Which API, with its version if there are several ('orders 1.2').")
    ] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write here instead of to stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write an API of a document as an OpenAPI 3.1 description: paths, methods, parameters and content types."""
    section: Any = configuration(document_path(document), secrets=False).sections.get("apis")
    items = () if section is None else section.items
    known = {f"{item.record.name} {item.record.version}".rstrip(): item.record for item in items}
    found = [record for name, record in known.items() if api in ("", name, record.name)]
    if len(found) != 1:
        names = ", ".join(known) or "none"
        wrong = f"there is no API {api!r}" if api and not found else "say which API with --api"
        raise typer.BadParameter(f"{wrong}; the document has {names}")
    warnings: list[str] = []
    text = document_text(exported(found[0], warnings), "Written by `hookgate openapi export`.")
    if output is None:
        print(text, end="")
    else:
        write_whole([(output, text)], force=force)
        errors.print(f"wrote {output}")
    for warning in warnings:
        errors.print(f"warning: {warning}", style="yellow")


def _parsed(under: Path) -> Document:
    try:
        with under.open("rb") as opened:
            return parse(opened.read(MAX_BYTES + 1), str(under))
    except OSError as error:
        raise MachineError(f"cannot read {under}: {error.strerror}") from error


def _named(contract: Path, document: Path | None) -> str:
    """Return the name by which a document refers to a contract: it counts from the folder of the document."""
    if document is None or contract.is_absolute():
        return contract.as_posix()
    return Path(os.path.relpath(contract, document.parent)).as_posix()
