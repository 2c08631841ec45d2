"""What the pages in docs/ hold, for the test of them: fenced blocks, links and headings."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .workspace import ROOT, under

FENCE = re.compile(
    r"^(?P<note><!-- not run: [^\n]+ -->\n)?```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block; `run` is false below the comment `<!-- not run: why -->`."""

    page: Path
    line: int
    language: str
    title: str
    text: str
    run: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page of the documentation, relative to the root."""
    return under("docs", suffix=".md")


@cache
def text(page: Path) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    return [
        Block(
            page,
            text(page).count("\n", 0, match.start()) + 1,
            match["language"],
            match["title"] or "",
            match["text"],
            match["note"] is None,
        )
        for match in FENCE.finditer(text(page))
    ]


def every(language: str) -> list[Block]:
    return [block for page in pages() for block in blocks(page) if block.language == language]


def without_blocks(page: Path) -> str:
    return FENCE.sub("", text(page))


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(without_blocks(page)) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """The names that headings can be linked by, as both the site and code forges make them."""
    heads = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(without_blocks(page)))
    return {head.strip().replace(" ", "-") for head in heads}
