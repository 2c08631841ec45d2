import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hookgate
import hookgate.testing

from .workspace import ROOT, plugins, project, under

THIRD_PARTY = {
    0: set(),
    1: {"pluggy", "pydantic", "pydantic_core", "simpleeval"},
    2: {"pydantic", "pydantic_core", "yaml"},
    3: {"httpx"},
    4: {"pydantic"},
    5: {"h11", "httptools", "hypercorn", "pydantic", "pydantic_settings", "quart", "rich", "typer", "uvloop", "wsproto"}
    | {"yaml"},
}
"""What each floor may import from outside, as docs/architecture.md says it."""

PROMISED_BESIDE = {
    "hookgate.client": {"HttpxPool"},
    "hookgate.document": {"MAX_BYTES", "parse"},
    "hookgate.http.pool": {"UpstreamPool"},
    "hookgate.tracing": {"as_lines"},
    "hookgate.waiting": {"Signal"},
}
"""What plugins may use beside the public names; not in `hookgate` itself, which would then import httpx and yaml."""


def floors() -> dict[str, int]:
    """Module of core -> its floor, read from the contract that lint-imports checks."""
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter", encoding="utf-8")
    lines = contract["importlinter:contract:floors"]["layers"].strip().splitlines()
    return {name.strip(" ()"): floor for floor, line in enumerate(reversed(lines)) for name in line.split(":")}


def imports(path: Path) -> list[tuple[str, str | None]]:
    """Every import of a file, wherever it stands: (module, name or None)."""
    found: list[tuple[str, str | None]] = []
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found += [(alias.name, None) for alias in names if alias.name != "hookgate"]
            case ast.ImportFrom(module=module, names=names, level=level):
                found += [("." * level + (module or ""), alias.name) for alias in names]
            case ast.Attribute(value=ast.Name(id="hookgate"), attr=name):
                found.append(("hookgate", name))  # what a plain `import hookgate` is used for
    return found


def test_imports_go_down_only_and_one_module_knows_httpx():
    """The contracts themselves stand in `.importlinter`."""
    command = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_the_page_on_architecture_shows_the_same_floors():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \w+ \| ([^|]+) \|", page, flags=re.MULTILINE)
    shown = {module.rstrip("/"): int(floor) for floor, modules in rows for module in re.findall(r"`([^`]+)`", modules)}

    assert shown == {module: floor for module, floor in floors().items() if module != "__main__"}


@pytest.mark.parametrize("path", under("core", "hookgate"), ids=lambda path: str(path.relative_to("core/hookgate")))
def test_a_floor_imports_only_the_libraries_it_may(path):
    floor = {**floors(), "__init__": 1}[path.relative_to("core/hookgate").parts[0].removesuffix(".py")]
    roots = {module.partition(".")[0] for module, _ in imports(path) if not module.startswith(".")}
    foreign = roots - sys.stdlib_module_names - {"hookgate"}

    allowed = THIRD_PARTY[floor] | ({"pytest"} if path.name == "fixtures.py" else set())  # only pytest imports that one

    assert foreign <= allowed


def test_core_names_no_plugin():
    packages = {plugin.package for plugin in plugins()}
    for path in under("core"):
        assert not {module for module, _ in imports(path) if module.partition(".")[0] in packages}, path
    depends = project(Path("core"))["project"]["dependencies"]

    assert not [requirement for requirement in depends if requirement.startswith("hookgate")]


@pytest.mark.parametrize("plugin", plugins(), ids=str)
def test_a_plugin_imports_only_what_hookgate_promises_and_no_other_plugin(plugin):
    for path in under(*plugin.folder.parts):
        is_test = path.parent == plugin.folder  # the package stands in a folder of its own
        for module, name in imports(path):
            place = f"{path}: {module} {name or ''}"
            top = module.partition(".")[0]
            if module == "hookgate":
                assert name in hookgate.__all__, f"{place} is no public name of hookgate"
            elif module in PROMISED_BESIDE:
                assert name in PROMISED_BESIDE[module], f"{place} is not for plugins"
            elif module == "hookgate.testing":
                assert is_test, f"{place} is for tests"
                assert name in hookgate.testing.__all__, f"{place} is no public name of hookgate.testing"
            elif top.startswith("hookgate"):
                assert top == plugin.package, f"{place} is not for plugins"
            elif top == "httpx":
                assert is_test, f"{place}: use host.http, or hookgate.http.pool.UpstreamPool in a transport"
