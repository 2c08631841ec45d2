"""What the checkout holds, for the tests of this folder: its files, its distributions and where each stands."""

import subprocess
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hookgate.contract import families
from hookgate.contract.families import Family

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {found.plural: found for found in vars(families).values() if isinstance(found, Family)}


@dataclass(frozen=True)
class Plugin:
    """A folder in `plugins/`; everything but the classes derives from its family and name."""

    folder: Path
    family: Family
    name: str

    @property
    def distribution(self) -> str:
        return f"hookgate-{self.family.name}-{self.name}"

    @property
    def package(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def class_name(self) -> str:
        return camel(self.name)

    def __str__(self) -> str:
        return f"{self.family.plural}/{self.name}"


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))


@cache
def files() -> tuple[Path, ...]:
    """Every file that is or would be committed, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    found = {Path(name) for name in listed.stdout.split("\0") if name}
    return tuple(sorted(path for path in found if (ROOT / path).is_file()))


def under(*start: str, suffix: str = ".py") -> list[Path]:
    """Files below a folder, with that ending, relative to the root."""
    return [path for path in files() if path.parts[: len(start)] == start and path.suffix == suffix]


@cache
def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text(encoding="utf-8"))


def plugins() -> list[Plugin]:
    """Every folder in `plugins/<plural>/`, whether it is complete or not."""
    folders = sorted({Path(*path.parts[:3]) for path in files() if path.parts[0] == "plugins" and len(path.parts) > 3})
    strangers = sorted({folder.parts[1] for folder in folders} - FAMILIES.keys())
    assert not strangers, f"folders of plugins/ that are no family's plural: {strangers}"
    return [Plugin(folder, FAMILIES[folder.parts[1]], folder.parts[2]) for folder in folders]


def contributions() -> list[Path]:
    """Every folder in `contrib/`."""
    return sorted({Path(*path.parts[:2]) for path in files() if path.parts[0] == "contrib" and len(path.parts) > 2})


def package(folder: Path) -> Path:
    """The package of a contribution: beside its tests, or below `hookgate` where it is a part of that package."""
    own = folder / "hookgate" / folder.name
    found = {path.parent for path in under(*folder.parts) if len(path.parts) == 4 and path.name == "__init__.py"}
    return own if (ROOT / own / "__init__.py").is_file() else found.pop()


def module(folder: Path) -> str:
    """What the package of a contribution is imported as."""
    return ".".join(package(folder).relative_to(folder).parts)


def members() -> list[Path]:
    """Every distribution but the bundle."""
    return [Path("core"), *(plugin.folder for plugin in plugins()), *contributions()]
