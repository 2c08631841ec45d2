"""Try the distributions as users get them: `python tests/house/wheels.py FOLDER`, run by `./run tox -e wheel`.

Installs the wheels of the folder into the environment it runs in, which holds nothing else, lists the plugins, and
serves one call from a folder far from the checkout. It finds what editable installs hide: files that are missing from a
wheel, dependencies nobody declared, entry points that lead nowhere. The examples of `contrib`, which are not in the
bundle, take part as a stranger's would; then strangers come (`guests.py`), and every distribution of `contrib` goes.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen
from zipfile import ZipFile

import guests
from installation import got, pip, refused, serving, together, typed

ROOT = Path(__file__).resolve().parents[2]
GREETING = guests.PORTS + "routes: [{name: hello, match: {path: /hello}, flow: [greeting, respond: {body: hello}]}]\n"
SUBSCRIBED = (
    guests.PORTS
    + """\
subscriptions: {ann: {key: a-key, quota: 1}}
routes: [{name: hello, match: {path: /hello}, flow: [subscriber, respond: {body: hello}]}]
"""
)
POINTS = "entry-points"
NO_PLUGINS = {
    "hookgate.families",
    "hookgate.defaults",
    "hookgate.always",
    "hookgate.parts",
    "hookgate.formats",
    "hookgate.migrations",
    "hookgate.pages",
    "hookgate.pruning",
    "hookgate.workflow_commands",
    "hookgate.workflow_watchers",
    "pytest11",
}
"""Groups of entry points that say something of what stands in others."""
MOVED = {"hookgate-authoring": "conformance", "hookgate-simulation": "simulate"}
"""What `hookgate.testing` had in earlier versions, by the distribution that has it now."""


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
        for glob in ("*/__init__.py", "hookgate/*/__init__.py")
        for package in folder.glob(glob)
        for path in package.parent.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    missing = written - set(ZipFile(wheel).namelist())
    assert not missing, f"files that {wheel.name} lacks: {missing}"


def install(wheels: Path, projects: dict[Path, dict[str, Any]]) -> dict[str, Path]:
    """Install every wheel, and nothing of ours from anywhere else; return them by the names of distributions."""
    found = {tuple(wheel.name.split("-")[:2]): wheel for wheel in wheels.glob("*.whl")}
    expected = {(project["name"].replace("-", "_"), project["version"]): folder for folder, project in projects.items()}
    assert found.keys() == expected.keys(), f"wheels that are missing or too many: {found.keys() ^ expected.keys()}"
    for name, folder in expected.items():
        complete(found[name], folder)
    command = ["uv", "pip", "install", "--quiet", "--python", sys.executable, *found.values()]
    subprocess.run(command, cwd=ROOT, check=True)
    return {projects[folder]["name"]: found[name].resolve() for name, folder in expected.items()}


def offered(projects: Iterable[dict[str, Any]]) -> set[str]:
    """The plugins that the project files promise, as `distribution: family/name`."""
    from hookgate.document import Catalogue  # installed a moment ago, with families of contributions

    by_group = {family.group: family.name for family in Catalogue().families.values()}
    return {
        f"{project['name']}: {by_group[group]}/{name}"
        for project in projects
        for group, points in project.get(POINTS, {}).items()
        if group.startswith("hookgate.") and group not in NO_PLUGINS
        for name in points
    }


def listed() -> set[str]:
    """The plugins that the command finds and can import."""
    entries = json.loads(typed("plugins", "--json"))
    broken = [entry for entry in entries if "broken" in entry]
    assert not broken, f"plugins that cannot be used once installed: {broken}"
    return {f"{entry['distribution']}: {entry['family']}/{entry['name']}" for entry in entries}


def greeted() -> None:
    """The example plugin takes part in a call."""
    with serving(GREETING, "greeting.yaml") as url:
        body, headers = got(f"{url}/hello")
    assert (body, headers["x-greeting"]) == ("hello", "Hello, stranger")


def subscribed() -> None:
    """The example subsystem lets one call in, and none after a restart: what it has counted lasts."""
    found = []
    for _ in range(2):
        with serving(SUBSCRIBED, "subscribed.yaml") as url:
            try:
                with urlopen(Request(f"{url}/hello", headers={"X-Subscription-Key": "a-key"}), timeout=10) as answer:
                    found.append(answer.status)
            except HTTPError as refused:
                found.append(refused.code)
    assert found == [200, 429]


def leaving(project: dict[str, Any], others: Iterable[dict[str, Any]]) -> list[Callable[[], object]]:
    """What has to hold while a distribution is not there: everything else works, and what is missing is said."""
    name = project["name"]
    sections = list(project[POINTS].get("hookgate.sections", ()))
    words = list(project[POINTS].get("hookgate.commands", ()))
    suffixes = list(project[POINTS].get("hookgate.formats", ()))
    needing = [
        word
        for other in others
        if name in other.get("dependencies", ())
        for word in other[POINTS].get("hookgate.commands", ())
    ]

    def served() -> None:
        with serving(guests.HELLO, f"{name}.yaml") as url:
            assert got(f"{url}/hello")[0] == "hello"

    def helped() -> None:
        said = typed("--help").splitlines()
        assert any(line.startswith("serve Run the gateway") for line in said)
        assert not [line for line in said if line.split(" ")[0] in words]
        broken = {line.split(" ")[0]: line for line in said if " Broken: " in line}
        # Some need it for what they do only, and import it when they are typed.
        assert broken.keys() <= set(needing), f"commands that are broken without {name}: {broken}"
        assert all(f"pip install {name}" in line for line in broken.values())

    def said() -> None:
        told = refused("".join(f"{section}: {{}}\n" for section in sections), f"{name}-missing.yaml").splitlines()
        for number, section in enumerate(sections, 1):
            hint = f": pip install {name}" if name == f"hookgate-{section}" else ""
            start = f"{name}-missing.yaml:{number}:1: {section}: there is no section {section!r}{hint}"
            assert told[number - 1].startswith(start), told

    def unknown(word: str) -> None:
        hint = f": pip install {name}" if name == f"hookgate-{word}" else ""
        assert f"No such command {word!r}{hint}" in typed(word, code=2)

    def moved() -> None:
        command = [sys.executable, "-c", f"from hookgate.testing import {MOVED[name]}"]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stderr.splitlines()[-1]
        assert told.startswith(f"ImportError: hookgate.testing.{MOVED[name]} has moved; write: from {name[:8]}_"), told
        assert told.endswith(f"(pip install {name})"), told

    def unread() -> None:
        for suffix in suffixes:
            told = refused("", f"{name}.{suffix}")
            assert "the name of a document ends in one of .yaml, .yml, .json; that says what it is" in told, told
            assert f"pip install {name}" in told, told

    jobs = [
        served,
        helped,
        *([said] if sections else []),
        *([unread] if suffixes else []),
        *([moved] if name in MOVED else []),
    ]
    tried = [word for word in words if name == f"hookgate-{word}"] or words[:1]
    return [*jobs, *(lambda word=word: unknown(word) for word in tried)]


def each_leaves(projects: dict[Path, dict[str, Any]], wheels: dict[str, Path]) -> None:
    """Uninstall every distribution of `contrib`, one after the other, those first on which no other depends; then all.

    A gateway goes on serving without each of them (KC-1). What plugins require stays with them.
    """
    plugins = [project for folder, project in projects.items() if folder.parts[-3:-2] == ("plugins",)]
    required = {"hookgate-commands", *(name for project in plugins for name in project["dependencies"])}
    contributed = [project for folder, project in projects.items() if folder.parent.name == "contrib"]
    contributed = [project for project in contributed if project["name"] not in required]
    assert contributed
    names = [project["name"] for project in contributed]
    contributed.sort(key=lambda project: sum(project["name"] in other["dependencies"] for other in contributed))
    for project in contributed:
        pip("uninstall", project["name"])
        together(*leaving(project, contributed))
        pip("install", "--no-deps", wheels[project["name"]])
    pip("uninstall", *names)
    nothing = {"name": "hookgate", POINTS: {}}
    together(*leaving(nothing, []))


def main() -> None:
    began = time.monotonic()
    projects = distributions()
    wheels = install(Path(sys.argv[1]), projects)
    with tempfile.TemporaryDirectory() as elsewhere, contextlib.chdir(elsewhere):
        found, promised = listed(), offered(projects.values())
        assert found == promised, f"not as the project files say: {found ^ promised}"
        greeted()
        subscribed()
        print(f"{len(projects)} wheels: installed, listed and called ({time.monotonic() - began:.0f} s)")
        for trial in (guests.a_section_and_a_command, guests.two_of_one_name, guests.a_broken_one, guests.a_site):
            trial()
            print(f"{trial.__doc__} ({time.monotonic() - began:.0f} s)")
        each_leaves(projects, wheels)
        print(f"Without any distribution of contrib a gateway serves ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
