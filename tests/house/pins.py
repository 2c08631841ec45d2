"""Pin every third-party package in pyproject.toml: `./run python tests/house/pins.py [--upgrade]`.

Without a word it pins what is new, drops what is no longer needed and leaves the rest as it is; with `--upgrade` it
takes the newest version of everything. The pins are `[tool.uv] constraint-dependencies`: a lock file would carry the
addresses of registries.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "pyproject.toml"
LIST = re.compile(r"(?<=constraint-dependencies = \[\n).*?(?=^\])", re.DOTALL | re.MULTILINE)
EXPORT = "export --frozen --all-packages --all-groups --no-emit-workspace --no-hashes --no-annotate --no-header"


def uv(command: str) -> str:
    return subprocess.run(["uv", *command.split()], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def replace(lines: str) -> None:
    PROJECT.write_text(LIST.sub(lines, PROJECT.read_text(encoding="utf-8"), count=1), encoding="utf-8")


def pins(exported: str) -> list[str]:
    """One line for each package, or one for each Python that gets a version of its own (Quart)."""
    by_name: dict[str, list[str]] = {}
    for line in exported.splitlines():
        by_name.setdefault(line.partition("==")[0], []).append(line)
    return [
        line.replace(" ;", ";") if len(lines) > 1 else line.partition(" ;")[0]
        for _, lines in sorted(by_name.items())
        for line in lines
    ]


def main() -> None:
    upgrade = sys.argv[1:] == ["--upgrade"]
    if sys.argv[1:] and not upgrade:
        sys.exit("usage: python tests/house/pins.py [--upgrade]")
    if upgrade:
        replace("")
    uv("lock --upgrade" if upgrade else "lock")
    replace("".join(f'    "{pin}",\n' for pin in pins(uv(EXPORT))))
    uv("lock")


if __name__ == "__main__":
    main()
