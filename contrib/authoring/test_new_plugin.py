"""The path of a plugin's author: a plugin is written, changed, checked, and used."""

import os
import subprocess
import sys
import tomllib

import pytest

from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.gateway.configuration import load
from hookgate.testing import running
from hookgate_authoring.check import findings
from hookgate_authoring.conformance import conformance
from hookgate_authoring.names import Names
from hookgate_authoring.new import ENTRIES, rendered

from .author import FAMILIES, ROOT, hookgate, register, write

DOCUMENTED = sorted(FAMILIES.keys() - {"source", "secret", "command"})
"""Families whose plugins a document names in a section."""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Have new plugins on the path as an installer leaves them: a package, and metadata beside it."""
    site = tmp_path / "site-packages"
    monkeypatch.syspath_prepend(str(site))
    before = set(sys.modules)

    yield lambda family, name="say-hello": register(write(site, family, name))
    for added in set(sys.modules) - before:
        if str(getattr(sys.modules[added], "__file__", None)).startswith(str(site)):
            del sys.modules[added]


def test_there_is_a_template_for_every_family_of_core():
    assert ENTRIES.keys() == FAMILIES.keys()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_plugin_is_four_files_without_findings(family, tmp_path):
    written = hookgate("plugin", "new", family, "my-own", cwd=tmp_path)
    folder = tmp_path / f"hookgate-{family}-my-own"

    assert (written.returncode, written.stderr) == (0, "")
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "pyproject.toml",
        f"hookgate_{family}_my_own/__init__.py",
        f"hookgate_{family}_my_own/py.typed",
        "test_my_own.py",
    }
    assert findings(folder) == []


def test_every_new_plugin_passes_its_own_test(tmp_path):
    for family in FAMILIES:
        register(write(tmp_path / family, family, f"my-{family}"))
    folders = os.pathsep.join(str(tmp_path / family) for family in FAMILIES)
    # without the settings of this repository: an author elsewhere has none of them
    words = ["-m", "pytest", "-v", "-W", "error", "-p", "no:cacheprovider"]
    words += ["-o", "asyncio_default_fixture_loop_scope=function"]
    environment = {**os.environ, "PYTHONPATH": folders, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
    tested = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
    )

    assert tested.returncode == 0, tested.stdout
    passed = {line.partition("/")[0] for line in tested.stdout.splitlines() if " PASSED " in line}
    assert passed == FAMILIES.keys()


def test_every_new_plugin_is_typed(tmp_path):
    packages = []
    for family in FAMILIES:
        folder = write(tmp_path / family, family, "say-hello")
        (test,) = folder.glob("test_*.py")
        packages += [folder / f"hookgate_{family}_say_hello", test.rename(test.with_stem(f"test_{family}"))]
    words = ["--strict", "--python-executable", sys.executable]
    command = [sys.executable, "-m", "mypy", *words, "--cache-dir", tmp_path / "cache", *packages]
    folders = os.pathsep.join(str(folder) for folder in tmp_path.iterdir())
    environment = {**os.environ, "MYPYPATH": folders}
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)

    assert told.returncode == 0, told.stdout


def test_every_new_plugin_is_in_the_style_of_the_house(tmp_path):
    for family in FAMILIES:
        write(tmp_path / family, family)

    for words in (("check",), ("format", "--check")):
        command = [sys.executable, "-m", "ruff", *words, "--config", ROOT / "pyproject.toml", "--no-cache", tmp_path]
        told = subprocess.run(command, capture_output=True, text=True)
        assert told.returncode == 0, told.stdout


OPTIONS = {
    "auth": {"token": "token-of-ann"},
    "credential": {"token": "token-of-ann"},
    "discovery": {"hosts": ["one.test"]},
    "section": {"path": "/hello"},
    "source": {"path": "nowhere.json"},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_new_plugin_conforms(family, installed):
    installed(family)

    conformance(Catalogue().get(family, "say-hello"), options=OPTIONS.get(family), examples=5)


@pytest.mark.parametrize("family", DOCUMENTED)
async def test_a_document_takes_a_new_plugin_as_the_command_says(family, installed, monkeypatch):
    installed(family)
    monkeypatch.setenv("TOKEN", "s3cret")
    entry = ENTRIES[family].replace("$name", "say-hello").replace("$$", "$").replace("URL", "http://127.0.0.1:9")
    if family in {"interceptor", "auth"}:
        entry = f"gateway: {{{entry}}}"
    elif family == "balancer":
        entry = entry.replace("9}", "8}", 1)

    config = await load(parse(entry.encode(), "gateway.yaml"), Catalogue())

    assert "say-hello" in {plugin.entry.name for plugin in config.instances.values()}


async def test_a_document_takes_secrets_from_a_new_plugin(installed, tmp_path):
    installed("secret")
    (tmp_path / "crm-key").write_text("s3cret\n")
    document = {
        "secrets": {"say-hello": {"folder": str(tmp_path)}},
        "gateway": {"flow": [{"respond": {"body": "${say-hello:crm-key}"}}]},
    }

    config = await load(document, Catalogue())

    assert config.flow.flow[0].options.body == "s3cret"


def test_a_new_command_is_typed_and_helps(tmp_path):
    register(write(tmp_path, "command"))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}

    def typed(*words):
        command = [sys.executable, "-m", "hookgate", *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240).stdout

    assert typed("say-hello", "Ann") == "Hello, Ann\n"
    assert "Say hello to somebody." in typed("--help")


def test_a_gateway_runs_a_new_interceptor(installed):
    installed("interceptor")
    route = {
        "name": "hello",
        "match": {"path": "/hello"},
        "flow": [{"say-hello": {"value": "good morning"}}, {"respond": {"body": "hello"}}],
    }
    with running({"routes": [route]}, catalogue=Catalogue()) as gate:
        response = gate.request("GET", "/hello")

    assert (response.status_code, response.headers["x-say-hello"]) == (200, "good morning")


# --- what `plugin new` refuses --------------------------------------------------------------------------------------


def test_what_to_do_next_is_printed(tmp_path):
    written = hookgate("plugin", "new", "interceptor", "say-hello", cwd=tmp_path)

    folder = "hookgate-interceptor-say-hello"
    assert written.stdout.splitlines() == [
        f"wrote {folder}",
        f"  install it:      pip install -e {folder} pytest",
        f"  run its test:    pytest {folder}",
        "  in a document:   flow: [say-hello]",
        f"  before others:   hookgate plugin check {folder}",
    ]


def test_nothing_is_overwritten(tmp_path):
    folder = tmp_path / "hookgate-interceptor-say-hello"
    folder.mkdir()
    (folder / "test_say_hello.py").write_text("mine")
    refused = hookgate("plugin", "new", "interceptor", "say-hello", "--directory", tmp_path, cwd=ROOT)

    assert refused.returncode == 2
    assert refused.stderr.startswith(f"{folder}/test_say_hello.py: exists already; choose another name")
    assert "pyproject.toml" not in refused.stderr
    assert [path.name for path in folder.iterdir()] == ["test_say_hello.py"]
    assert (folder / "test_say_hello.py").read_text() == "mine"


@pytest.mark.parametrize(
    ("family", "name", "why"),
    [
        ("interceptors", "x", "there is no family of plugins named 'interceptors'; did you mean 'interceptor'?"),
        (
            "interceptor",
            "SayHello",
            "a plugin cannot be called 'SayHello': write small letters, digits and single hyphens",
        ),
        ("interceptor", "say--hello", "a plugin cannot be called 'say--hello'"),
        ("interceptor", "../up", "a plugin cannot be called '../up'"),
        (
            "section",
            "secrets",
            "a plugin of this family cannot be called 'secrets': what stands under 'secrets' at the top",
        ),
        ("section", "x-files", "a plugin of this family cannot be called 'x-files'"),
        (
            "command",
            "check",
            "a plugin of this family cannot be called 'check': `hookgate check` is a command of core's",
        ),
        ("interceptor", "none", "a plugin of this family cannot be called 'none'"),
        ("monitor", "health", "a plugin of this family cannot be called 'health': the word Health is taken"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, family, name, why):
    refused = hookgate("plugin", "new", family, name, cwd=tmp_path)

    assert (refused.returncode, list(tmp_path.iterdir())) == (2, [])
    assert refused.stderr.startswith(why)


def test_a_name_that_is_installed_already_is_warned_of(tmp_path):
    written = hookgate("plugin", "new", "interceptor", "cors", cwd=tmp_path)

    assert written.returncode == 0
    assert (
        written.stderr
        == "warning: the interceptor 'cors' is installed already, and a gateway takes one of that name only\n"
    )


# --- a workspace ----------------------------------------------------------------------------------------------------

WORKSPACE = """\
# What ships.
[project]
name = "bundle"
version = "1"
dependencies = [
    "hookgate-core",
    "hookgate-app-health",  # first
    "hookgate-interceptor-when",
]

[tool.uv.workspace]
members = ["core", "plugins/*/*"]

[tool.uv.sources]
hookgate-core = { workspace = true }
hookgate-app-health = { workspace = true }
hookgate-interceptor-when = { workspace = true }

[tool.other]  # stays
"""


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "pyproject.toml").write_text(WORKSPACE)
    (tmp_path / "deep" / "down").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("family", "name", "before"),
    [
        ("app", "a", "hookgate-app-health"),
        ("interceptor", "say-hello", "hookgate-interceptor-when"),
        ("transport", "say-hello", None),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_in_a_workspace_a_plugin_is_entered_in_order_and_all_else_stays(workspace, family, name, before, newline):
    text = WORKSPACE.replace("\n", newline)
    (workspace / "pyproject.toml").write_bytes(text.encode())
    written = hookgate("plugin", "new", family, name, cwd=workspace / "deep" / "down")

    assert written.returncode == 0, written.stderr
    assert (workspace / "plugins" / FAMILIES[family].plural / name / "pyproject.toml").is_file()
    new = f"hookgate-{family}-{name}"
    dependency, source = f'    "{new}",{newline}', f"{new} = {{ workspace = true }}{newline}"
    if before is None:
        expected = text.replace(f"]{newline}{newline}[tool.uv.w", f"{dependency}]{newline}{newline}[tool.uv.w")
        expected = expected.replace(f"{newline}[tool.other]", f"{source}{newline}[tool.other]")
    else:
        expected = text.replace(f'    "{before}"', f'{dependency}    "{before}"')
        expected = expected.replace(f"{newline}{before} =", f"{newline}{source}{before} =")
    assert (workspace / "pyproject.toml").read_bytes().decode() == expected
    assert tomllib.loads(expected)["tool"]["uv"]["sources"][new] == {"workspace": True}


def test_a_workspace_without_place_is_refused_and_nothing_is_written(workspace):
    text = WORKSPACE.replace('[\n    "hookgate-core",\n', '["hookgate-core",\n')
    (workspace / "pyproject.toml").write_text(text)
    refused = hookgate("plugin", "new", "app", "a", cwd=workspace)

    assert refused.returncode == 2
    assert "pyproject.toml: finds no place for hookgate-app-a" in refused.stderr
    assert (workspace / "pyproject.toml").read_text() == text
    assert not (workspace / "plugins").exists()


def test_a_workspace_that_has_no_place_for_plugins_is_none(workspace):
    (workspace / "pyproject.toml").write_text(WORKSPACE.replace("plugins/*/*", "packages/*"))

    assert hookgate("plugin", "new", "app", "a", cwd=workspace).returncode == 0
    assert (workspace / "hookgate-app-a").is_dir()


def test_the_project_file_of_a_new_plugin_is_as_ours_are():
    names = Names(FAMILIES["interceptor"], "restrict-access")
    ours = tomllib.loads((ROOT / "plugins/interceptors/restrict-access/pyproject.toml").read_text())
    new = tomllib.loads(rendered(names)["pyproject.toml"])
    assert new["project"].pop("description").endswith(".")
    del ours["project"]["description"]
    assert new["project"]["dependencies"] == ["hookgate-core>=0.1,<0.2"]
    new["project"]["dependencies"] = ["hookgate-core"]  # ours go together, and others' say which core they are for

    assert new == ours
