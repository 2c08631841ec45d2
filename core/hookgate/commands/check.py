"""``hookgate check``: say what is wrong with a document."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from hookgate.commands.output import DocumentArgument, document_path, errors, out
from hookgate.gateway.configuration import Configuration
from hookgate.server.app import gateway_for
from hookgate.server.settings import Settings


def configuration(path: Path) -> Configuration:
    """Read and validate a document as the gateway does, without starting anything but the secret providers it asks.

    Raises:
        ConfigError: everything that is wrong with it.
    """

    async def loaded() -> Configuration:
        return await gateway_for(path, Settings().plugins_dir).check()

    return asyncio.run(loaded())


BAD_DOCUMENT = 2


def command(
    document: DocumentArgument = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 2 for warnings, too.")] = False,
) -> None:
    """Check a document and report every mistake at once, each with its place. Exit code 2 if there is any."""
    path = document_path(document)
    config = configuration(path)
    for warning in config.warnings:
        errors.print(f"warning: {warning}", style="yellow", highlight=False, markup=False)
    if strict and config.warnings:
        count = _count(len(config.warnings), "warning")
        errors.print(f"{count}; with --strict that is too many. Mend them, or accept them with a reason.")
        raise typer.Exit(BAD_DOCUMENT)
    routes, connections = len(config.routes), len(config.connections)
    out.print(f"{path}: good: {_count(routes, 'route')}, {_count(connections, 'connection')}", highlight=False)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
