"""Try the distributions as users get them: `python tests/house/wheels.py FOLDER`, run by `./run tox -e wheel`.

Installs the wheels of the folder into the environment it runs in, which holds nothing else, lists the plugins, and
serves one call from a folder far from the checkout. It finds what editable installs hide: files that are missing from a
wheel, dependencies nobody declared, entry points that lead nowhere.
"""

import contextlib
import json
import re
import subprocess
import sys
import tempfile
import threading
import tomllib
from pathlib import Path
from typing import Any
from urllib.request import urlopen

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
    flow: [request-id, {respond: {body: hello}}]
"""


def distributions() -> list[dict[str, Any]]:
    """The `[project]` tables of the whole workspace."""
    found = [path for glob in ("core", "plugins/*/*", "contrib/*") for path in ROOT.glob(f"{glob}/pyproject.toml")]
    return [tomllib.loads(path.read_text(encoding="utf-8"))["project"] for path in [ROOT / "pyproject.toml", *found]]


def installed(folder: Path) -> list[dict[str, Any]]:
    """Install every wheel of the folder, and nothing of ours from anywhere else."""
    projects = distributions()
    wheels = sorted(folder.glob("*.whl"))
    names = {tuple(wheel.name.split("-")[:2]) for wheel in wheels}
    expected = {(project["name"].replace("-", "_"), project["version"]) for project in projects}
    assert names == expected, f"wheels that are missing or too many: {names ^ expected}"
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", sys.executable, *wheels], cwd=ROOT, check=True)
    return projects


def offered(projects: list[dict[str, Any]]) -> set[str]:
    """The plugins that the project files promise, as `distribution:name`."""
    return {
        f"{project['name']}:{name}"
        for project in projects
        for group, points in project.get("entry-points", {}).items()
        if group not in {"hookgate.families", "hookgate.defaults"}
        for name in points
    }


def listed() -> set[str]:
    """The plugins that the command finds and can import."""
    said = subprocess.run([HOOKGATE, "plugins", "--json"], check=True, stdout=subprocess.PIPE, text=True).stdout
    entries = json.loads(said)
    broken = [entry for entry in entries if "broken" in entry]
    assert not broken, f"plugins that cannot be used once installed: {broken}"
    return {f"{entry['distribution']}:{entry['name']}" for entry in entries}


def served() -> str:
    """Start the gateway, call it once, stop it."""
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
            body = answer.read().decode()
        gateway.terminate()
        rest = gateway.stderr.read()
        watchdog.cancel()
    assert gateway.returncode == 0, f"the gateway stopped with {gateway.returncode}:\n{said}{rest}"
    return body


def main() -> None:
    projects = installed(Path(sys.argv[1]).resolve())
    assert listed() == offered(projects), f"not as the project files say: {listed() ^ offered(projects)}"
    with tempfile.TemporaryDirectory() as elsewhere, contextlib.chdir(elsewhere):
        subprocess.run([HOOKGATE, "plugins"], check=True)
        assert served() == "hello"
    print(f"{len(projects)} wheels: installed, listed and called")


if __name__ == "__main__":
    main()
