# ruff: noqa: INP001 - found by its path, as pyproject.toml has it
"""The build backend of the bundle: uv's, which also lets ``pip install .`` work in a checkout.

The bundle is a list of distributions that stand in this checkout and on no index. uv knows that; pip does not, so it is
told where they are: their wheels are built first, into ``build/wheels``.
"""

import base64
import hashlib
import os
import re
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import uv_build
from uv_build import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

ROOT = Path(__file__).resolve().parents[1]
OF_PIP = "PIP_BUILD_TRACKER"
"""Set in the environment of a build that pip has begun."""


def build_wheel(folder: str, settings: Any = None, metadata: str | None = None) -> str:
    """Build the wheel of the bundle (PEP 517); for pip, with the places of its parts."""
    return _told(folder, uv_build.build_wheel(folder, settings, metadata))


def build_editable(folder: str, settings: Any = None, metadata: str | None = None) -> str:
    """Build an editable wheel of the bundle (PEP 660), which has nothing to edit."""
    return _told(folder, uv_build.build_editable(folder, settings, metadata))


def _told(folder: str, name: str) -> str:
    if OF_PIP in os.environ and (ROOT / "core").is_dir():
        wheel = Path(folder) / name
        with ZipFile(wheel) as old:
            files = {each: old.read(each) for each in old.namelist()}
        metadata = next(each for each in files if each.endswith(".dist-info/METADATA"))
        record = metadata.replace("METADATA", "RECORD")
        places = [f"Requires-Dist: {part} @ {path.as_uri()}" for part, path in _parts().items()]
        head, _, body = files[metadata].decode().partition("\n\n")
        kept = [line for line in head.splitlines() if not line.startswith("Requires-Dist:")]
        files[metadata] = "\n".join([*kept, *places, "", body]).encode()
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[metadata]).digest()).decode().rstrip("=")
        line = f"{metadata},sha256={digest},{len(files[metadata])}"
        files[record] = re.sub(
            rf"^{re.escape(metadata)},.*$", line, files[record].decode(), flags=re.MULTILINE
        ).encode()
        with ZipFile(wheel, "w", ZIP_DEFLATED) as new:
            for each, data in files.items():
                new.writestr(each, data)
    return name


def _parts() -> dict[str, Path]:
    """Build the wheel of every distribution that the bundle needs; return them by name."""
    folders = {
        tomllib.loads(path.read_text(encoding="utf-8"))["project"]["name"]: path.parent
        for glob in ("core", "plugins/*/*", "contrib/*")
        for path in ROOT.glob(f"{glob}/pyproject.toml")
    }
    out = ROOT / "build" / "wheels"
    out.mkdir(parents=True, exist_ok=True)
    built: dict[str, Path] = {}
    waiting, here = ["hookgate"], Path.cwd()
    try:
        while waiting:
            folder = folders.get(waiting.pop(), ROOT)
            wanted = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
            names = {re.split(r"[^A-Za-z0-9._-]", each)[0] for each in wanted}
            for name in sorted((names & folders.keys()) - built.keys()):
                os.chdir(folders[name])
                built[name] = out / uv_build.build_wheel(str(out))
                waiting.append(name)
    finally:
        os.chdir(here)
    return built
