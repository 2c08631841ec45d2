"""How commands speak: results on stdout, everything else on stderr."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from hookgate.exchange.masking import printable
from hookgate.server.settings import Settings

Line = tuple[tuple[str, str], ...]
"""Parts with their styles: ``bold``, ``dim``, ``red`` and so on, or empty."""

out = Console(soft_wrap=True)
"""What a command says: its results."""
errors = Console(stderr=True, soft_wrap=True)
"""What is said beside the results: progress, warnings, refusals."""

DocumentArgument = Annotated[
    Path | None,
    typer.Argument(metavar="DOCUMENT", help="The configuration: YAML, TOML or JSON. Default: $HOOKGATE_CONFIG."),
]


def document_path(given: Path | None) -> Path:
    """Return the document to use, from the command line or the environment."""
    path = given or Settings().config
    if path is None:
        raise typer.BadParameter("name a document, or set HOOKGATE_CONFIG to one")
    return path


def print_line(line: Line) -> None:
    """Print the parts of a line in their styles, without what a terminal would take for commands."""
    out.print(Text.assemble(*((printable(text), style) for text, style in line)))


def start_logging(level: str | None = None) -> None:
    """Log to stderr, a line for each event."""
    logging.basicConfig(
        level=(level or Settings().log_level).upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    for noisy in ("httpx", "httpcore", "watchfiles"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
