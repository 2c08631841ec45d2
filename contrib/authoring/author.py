"""What an author does: types commands, writes plugins, installs them."""

import contextlib
import io
import sys
import tomllib
from pathlib import Path

import pytest

from hookgate.commands import main
from hookgate.contract import families
from hookgate.contract.families import Family
from hookgate_authoring.names import Names
from hookgate_authoring.new import rendered

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {found.name: found for found in vars(families).values() if isinstance(found, Family)}


class Told:
    """What a command said, and how it ended."""

    def __init__(self, returncode, stdout, stderr):
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr


def hookgate(*words, cwd):
    """Run the command line as a person does, in this process: a new one for each would take minutes."""
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["hookgate", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Told(code, stdout.getvalue(), stderr.getvalue())


def write(folder, family="interceptor", name="say-hello"):
    """Write what `hookgate plugin new` would."""
    for file, text in rendered(Names(FAMILIES[family], name)).items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def register(folder):
    """Put the metadata of a plugin beside it, as an installer does."""
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points))
