"""Committed configurations with their blanks filled in: `@PORT@` in a file becomes the port."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

CONFIGURATIONS = Path(__file__).resolve().parent / "configurations"
BLANK = re.compile(r"@([A-Z][A-Z0-9_]+)@")


def fill(text: str, values: Mapping[str, object]) -> str:
    """Fill the blanks of a text.

    Raises:
        KeyError: there is no value for a blank.
    """
    return BLANK.sub(lambda match: str(values[match[1]]), text)


def render(name: str, folder: Path, values: Mapping[str, object]) -> list[Path]:
    """Write every file of `configurations/NAME` into a folder, filled in."""
    written = []
    for template in sorted((CONFIGURATIONS / name).iterdir()):
        if template.is_file():
            path = folder / template.name
            path.write_text(fill(template.read_text(encoding="utf-8"), values), encoding="utf-8")
            written.append(path)
    return written
