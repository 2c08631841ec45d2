"""``hookgate check``: say what is wrong with a document."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from hookgate.commands.output import DocumentArgument, errors, out
from hookgate.gateway.configuration import Configuration
from hookgate.gateway.gateway import Gateway
from hookgate.server.settings import Settings
from hookgate.server.starting import gateway_as_set


def named_gateway(document: Path | None) -> Gateway:
    """Make the gateway of a document, or of what the source reads that the settings name.

    Raises:
        ConfigError: no source can read it.
    """
    try:
        return gateway_as_set(document)
    except LookupError as error:
        raise typer.BadParameter(str(error)) from None


def configuration(path: Path | None, *, secrets: bool = True) -> Configuration:
    """Read and validate a document as the gateway does, without starting anything but the secret providers it asks;
    without ``secrets`` not these either.

    Raises:
        ConfigError: everything that is wrong with it.
    """

    async def loaded() -> Configuration:
        return await named_gateway(path).check(secrets=secrets)

    return asyncio.run(loaded())


BAD_DOCUMENT = 2


def command(
    document: DocumentArgument = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 2 for warnings, too.")] = False,
    without_secrets: Annotated[
        bool,
        typer.Option("--without-secrets", help="Look up no secret: values that stand on them are not looked at."),
    ] = False,
) -> None:
    """Check a document and report every mistake at once, each with its place. Exit code 2 if there is any."""
    config = configuration(document, secrets=not without_secrets)
    for warning in config.warnings:
        errors.print(f"warning: {warning}", style="yellow")
    if strict and config.warnings:
        count = _count(len(config.warnings), "warning")
        errors.print(f"{count}; with --strict that is too many. Mend them, or accept them with a reason.")
        raise typer.Exit(BAD_DOCUMENT)
    routes, connections = len({route.name for route in config.routes}), len(config.connections)
    name = document or Settings().config or Settings().source
    if without_secrets:
        out.print(f"{name}: good, its secrets aside")
        return
    out.print(f"{name}: good: {_count(routes, 'route')}, {_count(connections, 'connection')}")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
