"""``hookgate schema``: the JSON Schema of the document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hookgate.commands.output import errors
from hookgate.document.catalogue import Catalogue
from hookgate.document.schema import document_schema
from hookgate.exchange.errors import MachineError
from hookgate.server.settings import Settings


def command(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead of stdout.")] = None,
) -> None:
    """Print the JSON Schema of the document, with every plugin that is installed.

    An editor completes and checks a document with it when its first line says
    `# yaml-language-server: $schema=./hookgate.schema.json`.
    """
    text = json.dumps(document_schema(Catalogue(Settings().plugins_dir)), indent=2)
    if output is None:
        print(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot write {output}: {error.strerror}") from error
    errors.print(f"wrote {output}", highlight=False)
