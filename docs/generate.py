# ruff: noqa: INP001, T201 - a script of this folder, which prints
"""Write what the pages say about options, hooks, commands and plugins, from the code itself.

``python docs/generate.py --write`` renews the pages in ``docs/plugins/`` and, in other pages, what stands between
``<!-- generated: NAME -->`` and ``<!-- end -->``. Without ``--write`` nothing is changed, and the exit code is 1 if
something is stale. Every plugin that is no section and no command needs an example in
``docs/examples/plugins/FAMILY-NAME.yaml``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from generating.api_page import api
from generating.commands import commands
from generating.hooks_page import hook_reference
from generating.plugin_pages import example_of, missing, plugin_list, plugin_page
from generating.records import records, section, settings
from generating.shipped import DOCS, ROOT, slug, with_pages

BLOCK = re.compile(r"(?<=<!-- generated: )([a-z_-]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)


def blocks() -> dict[str, Callable[[], str]]:
    """Return what may stand between markers, by name."""
    told: dict[str, Callable[[], str]] = {
        "api": api,
        "hooks": hook_reference,
        "list-of-plugins": plugin_list,
        "commands": commands,
        "settings": settings,
    }
    for name, record in records().items():
        told[name] = lambda record=record: section(record)
    return told


def pages() -> Iterator[tuple[Path, str]]:
    """Yield every generated page with what it should hold."""
    told = blocks()
    for path in sorted([*DOCS.glob("*.md"), DOCS / "plugins" / "index.md"]):
        if path.exists():
            before = path.read_text(encoding="utf-8")
            yield path, BLOCK.sub(lambda match: f"{match[1]}{match[2]}\n{told[match[1]]().strip()}\n\n", before)
    for listed in with_pages():
        if example_of(listed).exists():
            yield DOCS / "plugins" / f"{slug(listed)}.md", plugin_page(listed)


def untold() -> list[str]:
    """Return the blocks that stand on no page: records of sections that nobody can read about."""
    shown = {match[1] for path in DOCS.glob("**/*.md") for match in BLOCK.finditer(path.read_text(encoding="utf-8"))}
    return sorted(blocks().keys() - shown)


def main(arguments: list[str]) -> int:
    """Renew the pages, or say which are stale."""
    if arguments not in ([], ["--write"]):
        print("usage: python docs/generate.py [--write]", file=sys.stderr)
        return 2
    wanted = dict(pages())
    stale = [p for p, text in wanted.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    orphans = [p for p in (DOCS / "plugins").glob("*.md") if p not in wanted]
    for path in stale if arguments else ():
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    for path in orphans if arguments else ():
        path.unlink()
    for path in [*stale, *orphans]:
        print(f"{'wrote' if arguments else 'stale:'} {path.relative_to(ROOT)}")
    unwritten = missing()
    for path in unwritten:
        print(f"missing: {path.relative_to(ROOT)}, a document that shows the plugin at work")
    for name in untold():
        print(f"missing: <!-- generated: {name} --> on a page")
    return 1 if unwritten or untold() or ((stale or orphans) and not arguments) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
