"""How commands speak: results on stdout, everything else on stderr."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from hookgate.commands.logs import Lines, Records
from hookgate.exchange.hiding import hide, printable
from hookgate.server.settings import Settings

Line = tuple[tuple[str, str], ...]
"""Parts with their styles: ``bold``, ``dim``, ``red`` and so on, or empty."""

WIDE = 100_000
"""Columns of what is no terminal: files and pipes are read by programs, so nothing is broken there."""


class Speaker(Console):
    """Prints texts as they are: a place in a file is no emoji (``:100:``), a name in brackets no style. What references
    of a document were resolved to is hidden (HC-7).
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, soft_wrap=True, emoji=False, markup=False, highlight=False)

    @property
    def options(self) -> ConsoleOptions:
        """As wide as the terminal, if there is one."""
        return super().options if self.file.isatty() else super().options.update(width=WIDE)

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return hide(super()._render_buffer(buffer))


out = Speaker()
"""What a command says: its results."""
errors = Speaker(stderr=True)
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


def say(line: str) -> None:
    """Print a line as it is, for people and for pipes: no colours, no marks, and not broken."""
    out.print(line, soft_wrap=True, highlight=False, markup=False, emoji=False)


def table(titles: Iterable[str], rows: Iterable[Iterable[str | Text]], *, whole: Iterable[str] = ()) -> Table:
    """Make a table. Columns whose titles are ``whole`` (ids, URLs, names) are not broken, however narrow it is."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2))
    kept, lines = set(whole), [[each if isinstance(each, Text) else Text(each) for each in row] for row in rows]
    for index, title in enumerate(titles):
        column = [Text(title), *(part for line in lines for part in line[index].split())] if title in kept else []
        longest = max((part.cell_len for part in column), default=None)
        drawn.add_column(title, overflow="fold", header_style="bold", min_width=longest)
    for line in lines:
        drawn.add_row(*line)
    return drawn


def start_logging(level: str | None = None) -> None:
    """Log to stderr, a line for each event; in the JSON form, what is said to people beside it is part of it."""
    settings, handler = Settings(), logging.StreamHandler()
    handler.setFormatter(Lines(as_json=settings.log_format == "json"))
    if settings.log_format == "json":
        errors.file = Records()
    logging.basicConfig(level=(level or settings.log_level).upper(), handlers=[handler])
    for noisy in ("httpx", "httpcore", "watchfiles"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
