# ruff: noqa: INP001, S603, T201 - a script of this folder, which runs uv and prints
"""Build the bundle for machines without this checkout: ``./run build [FOLDER]``.

The folder, ``dist/wheelhouse`` unless another is named, then holds the wheel of every distribution that the bundle
needs, ours and those of others, for the Python and the kind of machine that this runs on, and ``requirements.txt`` with
the version and the digest of each. Nothing of it is for development.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    """Build; return the exit code."""
    if len(arguments) > 1 or any(each.startswith("-") for each in arguments):
        print("usage: ./run build [FOLDER]", file=sys.stderr)
        return 2
    out = Path(*arguments).resolve() if arguments else ROOT / "dist" / "wheelhouse"
    if out.exists() and any(path.suffix != ".whl" and path.name != "requirements.txt" for path in out.iterdir()):
        print(f"hookgate: {out} holds other things; name another folder", file=sys.stderr)
        return 3
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    export = ["uv", "export", "--quiet", "--project", ROOT, "--package", "hookgate", "--no-dev", "--no-header"]
    wanted = subprocess.run(
        [*export, "--no-hashes", "--no-annotate"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    ours = {_name(ROOT / line.removeprefix("-e ")) for line in wanted if line.startswith(("-e ", ".", "/"))}
    theirs = [line for line in wanted if line and not line.startswith(("-e ", ".", "/", "#"))]
    _run("uv", "build", "--quiet", "--all-packages", "--wheel", "--out-dir", str(out))
    for wheel in out.glob("*.whl"):
        if wheel.name.split("-")[0].replace("_", "-") not in ours:
            wheel.unlink()
    (out / ".gitignore").unlink(missing_ok=True)  # uv's, which would keep the folder out of images
    (out / "requirements.txt").write_text("\n".join(theirs) + "\n", encoding="utf-8")
    pip = ["uv", "run", "--quiet", "--no-project", "--python", sys.executable, "--with", "pip", "python", "-m", "pip"]
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    _run(*pip, "download", *options, "--dest", str(out), "--requirement", str(out / "requirements.txt"))
    wheels = sorted(out.glob("*.whl"))
    (out / "requirements.txt").write_text("".join(map(_pinned, wheels)), encoding="utf-8")
    version = ".".join(map(str, sys.version_info[:2]))
    size = sum(wheel.stat().st_size for wheel in wheels) / 1e6
    print(f"{out}: {len(wheels)} wheels for Python {version}, {size:.0f} MB; docs/install.md says how to install them")
    return 0


def _name(folder: Path) -> str:
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["name"])


def _pinned(wheel: Path) -> str:
    name, version = wheel.name.split("-")[:2]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version} --hash=sha256:{digest}\n"


def _run(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except subprocess.CalledProcessError as failed:
        print(failed.stderr or "", f"hookgate: {Path(failed.cmd[0]).name} failed", sep="", file=sys.stderr)
        sys.exit(3)
