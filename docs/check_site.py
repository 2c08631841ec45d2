# ruff: noqa: INP001, T201 - a script of this folder, which prints
"""Check the built site: ``python docs/check_site.py site`` fails if a page fetches anything from elsewhere."""

import sys
from html.parser import HTMLParser
from pathlib import Path

LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src"}
"""What makes a browser fetch something, and the attribute that says from where."""


class Page(HTMLParser):
    """Notes what a page fetches from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one tag."""
        address = dict(attrs).get(LOADING.get(tag, "")) or ""
        if address.lower().startswith(("http:", "https:", "//")):
            self.foreign.append(f"<{tag}> {address}")


def main(folder: Path) -> int:
    """Read every page and style sheet; return 1 if one of them is not on its own."""
    pages = sorted(folder.rglob("*.html"))
    found = []
    for path in pages:
        page = Page()
        page.feed(path.read_text(encoding="utf-8"))
        found += [f"{path}: {what}" for what in page.foreign]
    for path in sorted(folder.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        found += [f"{path}: {word}" for word in ("url(http", "url(//", "@import") if word in text]
    print("\n".join(found) or f"{len(pages)} pages, nothing from elsewhere")
    return 1 if found or not pages else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
