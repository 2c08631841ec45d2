"""Packages of npm, each in a folder of its own in the user's cache, installed once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

MINUTES = 5
"""How long npm may take for one package."""


def installed(package: str) -> Path:
    """Return the `node_modules` that holds `NAME@VERSION` and what it needs, and install it there if it is not.

    Scripts of packages are not run. Nothing of it is ever inside the checkout.

    Raises:
        OSError: there is no npm, or the cache cannot be written.
        subprocess.SubprocessError: npm failed or took too long.
    """
    name, _, version = package.rpartition("@")
    home = user_cache_path("hookgate-bench") / "npm"
    modules = home / package / "node_modules"
    if holds(modules, name, version):
        return modules
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("there is no `npm`")
    print(f"installing {package} (once) in {home}", file=sys.stderr, flush=True)
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as folder:  # so that a broken install is never taken for a whole one
        quiet = [
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--loglevel=error",
            "--fetch-retries=1",
        ]
        subprocess.run(
            [npm, "install", "--prefix", folder, *quiet, package],
            check=True,
            timeout=MINUTES * 60,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "NO_UPDATE_NOTIFIER": "1"},
        )
        shutil.rmtree(home / package, ignore_errors=True)
        (home / package).mkdir(parents=True)
        (Path(folder) / "node_modules").rename(modules)
    return modules


def holds(modules: Path, name: str, version: str) -> bool:
    """Whether a folder of packages holds one in that version."""
    try:
        return bool(json.loads((modules / name / "package.json").read_text(encoding="utf-8"))["version"] == version)
    except FileNotFoundError:
        return False
