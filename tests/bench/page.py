"""Puts a result into docs/performance.md, with the figure beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import figure, report

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "performance.md"
FIGURE = DOCS / "performance.svg"
MEASURED = re.compile(r"(?<=<!-- measured by tests/bench/compare\.py -->\n).*?(?=<!-- end of it -->)", re.DOTALL)


def write(result: Mapping[str, Any]) -> list[Path]:
    """Write figure and page anew, and return their paths.

    Raises:
        ValueError: the page has no place for it.
    """
    page = PAGE.read_text(encoding="utf-8")
    if not MEASURED.search(page):
        raise ValueError(f"{PAGE} has no place for what was measured")
    written = []
    shown = ""
    if figure.drawable(result):
        figure.draw(result, FIGURE)
        written.append(FIGURE)
        shown = f"![Requests per second in relation to nginx, with 95 % intervals]({FIGURE.name})\n\n"
    block = f"\n{shown}{report.text(result, '###')}\n"
    PAGE.write_text(MEASURED.sub(lambda _: block, page), encoding="utf-8")
    return [*written, PAGE]
