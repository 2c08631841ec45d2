import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hookgate
import hookgate.jose
import hookgate.testing
import hookgate.workshop

from .workspace import ROOT, plugins, project, under

THIRD_PARTY = {
    "exchange": set(),
    "expressions": {"pydantic", "pydantic_core", "simpleeval"},
    "contract": {"pluggy", "pydantic", "pydantic_core"},
    "http": {"httptools", "pydantic"},
    "flow": {"pydantic"},
    "document": {"pydantic", "pydantic_core", "yaml"},
    "connections": {"pydantic"},
    "gateway": {"pydantic"},
    "server": {"h11", "h2", "hypercorn", "pydantic_settings", "quart", "uvloop", "wsproto"},
    "__main__": set(),
    "__init__": set(),
}
"""What each package of core may import from outside, as docs/architecture.md says it."""

PROMISED_BESIDE = {
    "hookgate.commands": {"ask", "errors", "out", "print_line", "refused", "table"},
    "hookgate.document": {"MAX_BYTES", "Document", "parse"},
    "hookgate.client": {"UpstreamPool"},
    "hookgate.client.keeper": {"Turns"},
    "hookgate.client.refusing": {"connected_late", "refuses"},
    "hookgate.http.tls": {"UpstreamTls"},
    "hookgate.jose": set(hookgate.jose.__all__),
    "hookgate.workshop": set(hookgate.workshop.__all__),
}
"""What plugins may use beside the public names; not in `hookgate` itself, which would then import yaml and typer."""

PROMISED_TO_TESTS = {
    "hookgate.testing": set(hookgate.testing.__all__),
    "hookgate_authoring.conformance": {"Nonconforming", "conformance"},
    "hookgate_simulation.testing": {"simulate"},
}
"""What tests beside plugins may use as well."""


def floors() -> dict[str, int]:
    """Package of core -> its floor, read from the contract that lint-imports checks."""
    contract = configparser.ConfigParser()
    contract.read(ROOT / ".importlinter", encoding="utf-8")
    lines = contract["importlinter:contract:floors"]["layers"].strip().splitlines()
    assert not any(":" in line for line in lines), "packages of one floor would be free to know each other: write |"
    return {name.strip(): floor for floor, line in enumerate(reversed(lines), 1) for name in line.split("|")}


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


def test_imports_go_down_only_and_only_the_test_kit_knows_httpx():
    """The contracts themselves stand in `.importlinter`."""
    command = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_the_page_on_architecture_shows_the_same_floors_and_libraries():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| `(\w+)(?:/|\.py)` \| [^|]+ \| ([^|]+) \|$", page, flags=re.MULTILINE)
    libraries = {package: set(re.findall(r"`(\w+)`", named)) for _, package, named in rows}

    assert {package: int(floor) for floor, package, _ in rows} == floors()
    assert libraries == {package: named for package, named in THIRD_PARTY.items() if package != "__init__"}


@pytest.mark.parametrize("path", under("core", "hookgate"), ids=lambda path: str(path.relative_to("core/hookgate")))
def test_a_package_imports_only_the_libraries_it_may(path):
    package = path.relative_to("core/hookgate").parts[0].removesuffix(".py")
    roots = {module.partition(".")[0] for module, _ in imports(path) if not module.startswith(".")}

    assert roots - sys.stdlib_module_names - {"hookgate"} <= THIRD_PARTY[package]


def test_no_package_may_import_a_library_that_it_does_not_use():
    used = {package: set() for package in THIRD_PARTY}
    for path in under("core", "hookgate"):
        package = path.relative_to("core/hookgate").parts[0].removesuffix(".py")
        used[package] |= {module.partition(".")[0] for module, _ in imports(path)}

    assert {package: may - used[package] for package, may in THIRD_PARTY.items() if may - used[package]} == {}


def test_core_names_no_distribution():
    for path in under("core", "hookgate"):
        named = {module for module, _ in imports(path) if module.startswith("hookgate_")}
        assert not named, f"{path}: core would not run without {named}"
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
            elif module in PROMISED_TO_TESTS:
                assert is_test, f"{place} is for tests"
                assert name in PROMISED_TO_TESTS[module], f"{place} is not for plugins"
            elif top.startswith("hookgate"):
                assert top == plugin.package, f"{place} is not for plugins"
            elif top == "httpx" and plugin.distribution != "hookgate-transport-httpx":
                assert is_test, f"{place}: use host.http, or hookgate.client.UpstreamPool in a transport"
