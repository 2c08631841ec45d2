"""``hookgate check``: say what is wrong with a document."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hookgate.commands.output import DocumentArgument, document_path, out
from hookgate.config import Configuration, load
from hookgate.gateway import read
from hookgate.server.app import gateway_for
from hookgate.settings import Settings


def configuration(path: Path) -> Configuration:
    """Read and validate a document as the gateway does, without starting anything.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    gateway = gateway_for(path, Settings().plugins_dir)

    async def loaded() -> Configuration:
        return await load(await read(gateway.source), gateway.catalogue)

    return asyncio.run(loaded())


def command(document: DocumentArgument = None) -> None:
    """Check a document and report every mistake at once, each with its place. Exit code 2 if there is any."""
    path = document_path(document)
    config = configuration(path)
    routes, connections = len(config.routes), len(config.connections)
    out.print(f"{path}: good: {_count(routes, 'route')}, {_count(connections, 'connection')}", highlight=False)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
