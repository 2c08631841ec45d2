"""What docs/install.md shows is what lies in deploy/, and `./run` asks for no more than is needed.

Its lines are followed by `installing.py`, in `./run tox -e wheel`.
"""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from .workspace import ROOT

PAGE = ROOT / "docs" / "install.md"
UNIT = ROOT / "deploy" / "hookgate.service"


@pytest.mark.parametrize("name", ["hookgate.service", "hookgate.socket"])
def test_the_page_shows_the_files(name):
    shown = re.search(rf'```ini title="deploy/{re.escape(name)}"\n(.*?)```', PAGE.read_text(), re.DOTALL)
    lines = [line for line in (ROOT / "deploy" / name).read_text().splitlines() if not line.startswith("#")]

    assert shown[1].splitlines() == lines


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        (["hookgate", "check", "a b.yaml"], ["--no-dev", "hookgate", "check", "a b.yaml"]),
        (["hookgate"], ["--no-dev", "hookgate"]),
        (["tox", "-e", "lint"], ["tox", "-e", "lint"]),
        (["pytest", "hookgate"], ["pytest", "hookgate"]),
    ],
)
def test_only_what_tests_gets_what_is_for_tests(tmp_path, typed, asked):
    assert told(tmp_path, *typed) == ["run", "--project", str(ROOT), "--all-packages", *asked]


def test_wheels_are_built_without_an_environment_of_the_project(tmp_path):
    script = str(ROOT / "deploy" / "wheelhouse.py")

    assert told(tmp_path, "build", "out") == ["run", "--quiet", "--no-project", "python", script, "out"]


def told(folder: Path, *typed: str) -> list[str]:
    """What `./run` would have uv do."""
    uv = folder / "uv"
    uv.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    uv.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "UV_PYTHON": "python3"}
    run = [ROOT / "run", *typed]
    return subprocess.run(run, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()


def test_what_is_for_development_is_in_groups_and_nowhere_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = {re.split(r"[^\w-]", each)[0].lower() for each in project["dependency-groups"]["dev"]}

    assert {"pytest", "mypy", "tox", "ruff"} <= named
    assert not named & {re.split(r"[^\w-]", each)[0].lower() for each in project["project"]["dependencies"]}


def test_the_unit_starts_again_after_anything_but_a_bad_document():
    settings = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and line[0] != "#")

    assert settings["Restart"] == "on-failure"
    assert settings["RestartPreventExitStatus"].split() == ["2"], "3 may be over in a while"
    assert settings["StartLimitIntervalSec"] == "0", "else systemd gives up after five times"
    assert settings["Type"] == "notify"
    assert "ExecStartPre" not in settings, "a code of that is not looked at"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", ["hookgate.service", "hookgate.socket"])
def test_systemd_knows_every_word(tmp_path, name):
    for each in ("hookgate.service", "hookgate.socket"):
        text = (ROOT / "deploy" / each).read_text().replace("/opt/hookgate/bin/hookgate", "/bin/true")
        (tmp_path / each).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)],
        check=False,
        capture_output=True,
        text=True,
    )

    assert [line for line in done.stderr.splitlines() if "hookgate." in line] == []
