"""Markdown, from docstrings and rows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable


def prose(docstring: str | None) -> str:
    """Turn a docstring into Markdown: literals, references to code, lists, and what it raises."""
    text = inspect.cleandoc(docstring or "")
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    text = text.replace("``", "`").replace("::\n", ":\n")
    head, raises, rest = text.partition("Raises:\n")
    if raises:
        faults = inspect.cleandoc(rest)
        text = head + "Raises:\n\n" + re.sub(r"^(\w+): ", r"- `\1`: ", faults, flags=re.MULTILINE)
    return re.sub(r"^((?![*-] |\s).+)\n(?=[*-] )", r"\1\n\n", text, flags=re.MULTILINE)


def cell(text: object) -> str:
    """Put a text on one line, as a cell of a table wants it."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(titles: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a table."""
    lines = [list(titles), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines) + "\n"
