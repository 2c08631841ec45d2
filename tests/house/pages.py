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


def write_files(page: Path, folder: Path) -> list[Path]:
    """Write the blocks of a page that have a file name into a folder; return the files."""
    files = []
    for block in blocks(page):
        if block.title:
            file = folder / block.title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
            files.append(file)
    return files


def sections(page: Path) -> dict[tuple[str, str], str]:
    """What stands under each heading of the third level, by the heading above it and its own."""
    found: dict[tuple[str, str], str] = {}
    for chapter in re.split(r"^## ", text(page), flags=re.MULTILINE)[1:]:
        above, *parts = re.split(r"^### ", chapter, flags=re.MULTILINE)
        for part in parts:
            heading, _, body = part.partition("\n")
            found[above.partition("\n")[0].strip(), heading.strip()] = body
    return found
