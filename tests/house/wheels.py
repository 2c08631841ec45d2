"""Try the distributions as users get them: `python tests/house/wheels.py FOLDER`, run by `./run tox -e wheel`.

Installs the wheels of the folder into the environment it runs in, which holds nothing else, lists the plugins, and
serves one call from a folder far from the checkout. It finds what editable installs hide: files that are missing from a
wheel, dependencies nobody declared, entry points that lead nowhere. The example plugin of `contrib`,
which is not in the bundle, takes part as a stranger's would.
"""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import threading
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[2]
HOOKGATE = Path(sys.executable).with_name("hookgate")
PATIENCE = 60
"""Seconds after which a gateway that does not come up is killed."""
DOCUMENT = """
gateway: {listen: ["127.0.0.1:0"]}
management: {listen: ["127.0.0.1:0"]}
routes:
  - name: hello
    match: {path: /hello}
    flow: [request-id, greeting, {respond: {body: hello}}]
"""


def distributions() -> dict[Path, dict[str, Any]]:
    """Folder -> `[project]` table, over the whole workspace."""
    found = [path for glob in ("core", "plugins/*/*", "contrib/*") for path in ROOT.glob(f"{glob}/pyproject.toml")]
    return {
        path.parent: tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        for path in [ROOT / "pyproject.toml", *found]
    }


def complete(wheel: Path, folder: Path) -> None:
    """Check that a wheel holds every file of the packages in its folder."""
    written = {
        path.relative_to(folder).as_posix()
        for package in folder.glob("*/__init__.py")
        for path in package.parent.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    missing = written - set(ZipFile(wheel).namelist())
    assert not missing, f"files that {wheel.name} lacks: {missing}"


def install(wheels: Path, projects: dict[Path, dict[str, Any]]) -> None:
    """Install every wheel, and nothing of ours from anywhere else."""
    found = {tuple(wheel.name.split("-")[:2]): wheel for wheel in wheels.glob("*.whl")}
    expected = {(project["name"].replace("-", "_"), project["version"]): folder for folder, project in projects.items()}
    assert found.keys() == expected.keys(), f"wheels that are missing or too many: {found.keys() ^ expected.keys()}"
    for name, folder in expected.items():
        complete(found[name], folder)
    command = ["uv", "pip", "install", "--quiet", "--python", sys.executable, *found.values()]
    subprocess.run(command, cwd=ROOT, check=True)


def offered(projects: Iterable[dict[str, Any]]) -> set[str]:
    """The plugins that the project files promise, as `distribution:name`."""
    return {
        f"{project['name']}:{name}"
        for project in projects
        for group, points in project.get("entry-points", {}).items()
        if group.startswith("hookgate.") and group not in {"hookgate.families", "hookgate.defaults"}
        for name in points
    }


def listed() -> set[str]:
    """The plugins that the command finds and can import."""
    said = subprocess.run([HOOKGATE, "plugins", "--json"], check=True, stdout=subprocess.PIPE, text=True).stdout
    entries = json.loads(said)
    broken = [entry for entry in entries if "broken" in entry]
    assert not broken, f"plugins that cannot be used once installed: {broken}"
    return {f"{entry['distribution']}:{entry['name']}" for entry in entries}


def served() -> tuple[str, str]:
    """Start the gateway, call it once, stop it; return the body and what the example plugin says."""
    Path("gateway.yaml").write_text(DOCUMENT, encoding="utf-8")
    subprocess.run([HOOKGATE, "check", "gateway.yaml"], check=True)
    with subprocess.Popen([HOOKGATE, "serve", "gateway.yaml"], stderr=subprocess.PIPE, text=True) as gateway:
        watchdog = threading.Timer(PATIENCE, gateway.kill)
        watchdog.start()
        assert gateway.stderr is not None
        said = ""
        while not (url := re.search(r"hookgate serves (\S+)", said)):
            line = gateway.stderr.readline()
            assert line, f"the gateway ended before it listened:\n{said}"
            said += line
        with urlopen(f"{url[1]}/hello", timeout=10) as answer:
            told = answer.read().decode(), answer.headers["x-greeting"]
        gateway.terminate()
        rest = gateway.stderr.read()
        watchdog.cancel()
    assert gateway.returncode == 0, f"the gateway stopped with {gateway.returncode}:\n{said}{rest}"
    return told


def main() -> None:
    projects = distributions()
    install(Path(sys.argv[1]), projects)
    found, promised = listed(), offered(projects.values())
    assert found == promised, f"not as the project files say: {found ^ promised}"
    with tempfile.TemporaryDirectory() as elsewhere, contextlib.chdir(elsewhere):
        subprocess.run([HOOKGATE, "plugins"], check=True)
        assert served() == ("hello", "Hello, stranger")
    print(f"{len(projects)} wheels: installed, listed and called")


if __name__ == "__main__":
    main()
