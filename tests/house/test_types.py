"""What the pages tell authors to write, and what ships as plugins, passes mypy as strictly as core does."""

import re
import subprocess
import sys
from pathlib import Path

from .pages import blocks, pages

PAGES = [page for page in pages() if page.parts[1] == "plugin-guide" or page.name in ("first-plugin.md", "testing.md")]


def module_of(title: str) -> str:
    """Return the name under which a page imports a file of its own."""
    path = Path(title)
    return path.parent.name if path.name == "__init__.py" else path.stem


def written(page: Path, folder: Path) -> None:
    """Write the code of a page, so that lines are those of the page, and names of modules those of no other page."""
    own, loose = page.stem.replace("-", "_"), [""] * 5000
    files: dict[str, tuple[int, str]] = {}
    for block in blocks(page):
        if block.language != "python" or block.title.startswith("acme_"):  # a package of its own, which tox checks
            continue
        if block.title:
            files[module_of(block.title)] = block.line, block.text
        elif block.run:
            lines = block.text.splitlines()
            loose[block.line : block.line + len(lines)] = lines
    names = "|".join(files)
    for name, (line, code) in {**files, "page": (0, "\n".join(loose).rstrip() + "\n")}.items():
        if names:
            code = re.sub(rf"^(from|import) ({names})\b", rf"\1 {own}__\2", code, flags=re.MULTILINE)
        (folder / f"{own}__{name}.py").write_text("\n" * line + code, encoding="utf-8")


def test_the_code_of_the_guide_is_typed(tmp_path):
    folder = tmp_path / "pages"
    folder.mkdir()
    for page in PAGES:
        written(page, folder)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", sys.executable, "."]
    told = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)

    assert told.returncode == 0, told.stdout + told.stderr
