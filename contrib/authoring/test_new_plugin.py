"""The path of a plugin's author: a plugin is written, changed, checked, and used."""

import contextlib
import importlib
import io
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hookgate.commands import main
from hookgate.contract import families
from hookgate.contract.families import Family
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.gateway.configuration import load
from hookgate.testing import running
from hookgate_authoring.check import findings
from hookgate_authoring.names import Names
from hookgate_authoring.new import ENTRIES, rendered

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = {found.name: found for found in vars(families).values() if isinstance(found, Family)}
DOCUMENTED = sorted(FAMILIES.keys() - {"source", "secret", "command"})
"""Families whose plugins a document names in a section."""


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
def test_a_new_plugin_is_three_files_without_findings(family, tmp_path):
    written = hookgate("plugin", "new", family, "my-own", cwd=tmp_path)
    folder = tmp_path / f"hookgate-{family}-my-own"

    assert (written.returncode, written.stderr) == (0, "")
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == {
        "pyproject.toml",
        f"hookgate_{family}_my_own/__init__.py",
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
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100
    )

    assert tested.returncode == 0, tested.stdout
    passed = {line.partition("/")[0] for line in tested.stdout.splitlines() if " PASSED " in line}
    assert passed == FAMILIES.keys()


def test_every_new_plugin_is_in_the_style_of_the_house(tmp_path):
    for family in FAMILIES:
        write(tmp_path / family, family)

    for words in (("check",), ("format", "--check")):
        command = [sys.executable, "-m", "ruff", *words, "--config", ROOT / "pyproject.toml", "--no-cache", tmp_path]
        told = subprocess.run(command, capture_output=True, text=True)
        assert told.returncode == 0, told.stdout


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
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100).stdout

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

    assert new == ours


# --- plugin check ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "folder",
    [*sorted(ROOT.glob("plugins/*/*")), *sorted(ROOT.glob("contrib/example-*"))],
    ids=lambda folder: folder.name,
)
def test_our_own_plugins_have_no_findings(folder):
    assert [str(finding) for finding in findings(folder)] == []


MODULE = "hookgate_interceptor_say_hello/__init__.py"
PROJECT = "pyproject.toml"
MISTAKES = {
    "a class of another name": (
        MODULE,
        ("class SayHello(", "class HelloSayer("),
        f"{PROJECT}:10: hookgate_interceptor_say_hello has no class SayHello; it has HelloSayer",
    ),
    "an entry point to a class of another name": (
        PROJECT,
        (":SayHello", ":SayHelloOptions"),
        (
            f"{PROJECT}:10: the entry point leads to 'hookgate_interceptor_say_hello:SayHelloOptions'; "
            "'hookgate_interceptor_say_hello:SayHello' would be right"
        ),
        (
            f"{MODULE}:6: SayHelloOptions does not inherit from Interceptor; "
            "class SayHelloOptions(Interceptor[SayHelloOptionsOptions]) would be right"
        ),
    ),
    "an entry point of another name": (
        PROJECT,
        ("say-hello = ", "hello = "),
        f"{PROJECT}:10: the entry point is called 'hello'; 'say-hello' would be right",
    ),
    "a misspelt group": (
        PROJECT,
        ("hookgate.interceptors", "hookgate.interceptor"),
        f"{PROJECT}:9: no family has the entry-point group 'hookgate.interceptor'; did you mean 'hookgate.interceptors",
        (
            f'{PROJECT}:1: nobody finds the plugin: [project.entry-points."hookgate.interceptors"] with '
            'say-hello = "hookgate_interceptor_say_hello:SayHello" would be right'
        ),
    ),
    "a group of sections that are always there, for another name": (
        PROJECT,
        ("[build-system]", '[project.entry-points."hookgate.always"]\nhello = "elsewhere:Hello"\n\n[build-system]'),
        f"{PROJECT}:13: the entry point is called 'hello'; 'say-hello' would be right",
        f"{PROJECT}:13: the entry point leads to 'elsewhere:Hello'; 'hookgate_interceptor_say_hello:SayHelloSection' ",
    ),
    "a distribution of another name": (
        PROJECT,
        ('"hookgate-interceptor-say-hello"', '"acme-hello"'),
        f"{PROJECT}:2: the distribution is called 'acme-hello'; 'hookgate-interceptor-say-hello' would be right",
    ),
    "no dependency on core": (
        PROJECT,
        ('["hookgate-core"]', '["Hookgate_interceptor-cors>=1"]'),
        f'{PROJECT}:7: does not depend on core; dependencies = ["hookgate-core"] would be right',
        f"{PROJECT}:7: depends on hookgate-interceptor-cors; a plugin depends on hookgate-core and on no other plugin",
    ),
    "a project file that is not TOML": (PROJECT, ("[project]", "[project"), f"{PROJECT}:1: is not TOML: "),
    "a class without docstring": (
        MODULE,
        ('    """Sets the header `x-say-hello` on every response, whoever answered."""\n', ""),
        f"{MODULE}:13: the class SayHello has no docstring; say in it what the class is for",
    ),
    "a hook without docstring": (
        MODULE,
        ('        """Set the header."""\n', ""),
        f"{MODULE}:20: the hook SayHello.on_response has no docstring; say what it does and raises",
    ),
    "an option without docstring": (
        MODULE,
        ('    """What the header says."""\n', ""),
        f"{MODULE}:9: the option value has no docstring; put a string under it that says what it does, in which unit",
    ),
    "a misspelt hook": (
        MODULE,
        ("on_response", "on_respons"),
        f"{MODULE}:20: SayHello.on_respons is not a hook of this family; did you mean 'on_response'?",
    ),
    "async where nothing may wait": (
        MODULE,
        ("def on_response", "async def on_done"),
        (
            f"{MODULE}:20: SayHello.on_done is async def, but runs where nothing may wait: write def, "
            "and hand slow work to a task that startup began"
        ),
    ),
    "a misspelt word": (
        MODULE,
        ("response.headers", "response.header"),
        f"{MODULE}:17: SayHello.writes names 'response.header', which nobody knows; did you mean 'response.headers'?",
    ),
    "words that are no set": (
        MODULE,
        ('{"response.headers"}', '"response.headers"'),
        f'{MODULE}:17: SayHello.writes is no set; writes = {{"identity"}} would be right',
    ),
    "options that are no record": (
        MODULE,
        ("class SayHelloOptions(Options)", "class SayHelloOptions"),
        f"{MODULE}:6: SayHelloOptions is no record of options; class SayHelloOptions(Options) would be right",
    ),
    "options that take anything": (
        MODULE,
        ('    value: str = "hello"\n', '    model_config = {"extra": "allow"}\n    value: str = "hello"\n'),
        f"{MODULE}:9: SayHelloOptions undoes what Options sets; leave frozen=True and extra='forbid' as they are",
    ),
    "options that are not named": (
        MODULE,
        ("Interceptor[SayHelloOptions]", "Interceptor[Options]"),
        f"{MODULE}:13: SayHello does not name its options; SayHello(…[SayHelloOptions]) would be right",
    ),
    "options of another name": (
        MODULE,
        ("SayHelloOptions", "Settings"),
        f"{MODULE}:6: the options of SayHello are called Settings; SayHelloOptions would be right",
    ),
    "an import of what is not there": (
        MODULE,
        ("\n\nclass SayHelloOptions", "import nothing_like_it\n\nclass SayHelloOptions"),
        (
            f"{MODULE}:4: hookgate_interceptor_say_hello cannot be imported: "
            "ModuleNotFoundError: No module named 'nothing_like_it'"
        ),
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_what_would_be_right(mistake, tmp_path, monkeypatch):
    file, (right, wrong), *told = MISTAKES[mistake]
    changed = write(tmp_path) / file
    text = changed.read_text()
    assert right in text
    changed.write_text(text.replace(right, wrong))
    monkeypatch.chdir(tmp_path)

    found = [str(finding) for finding in findings(Path())]

    assert len(found) == len(told), found
    for line in told:
        assert any(each.startswith(line) for each in found), found


def test_what_is_not_python_is_told_with_its_line(tmp_path):
    (write(tmp_path) / MODULE).write_text('"""Fine."""\n\nclass SayHello(:\n')

    assert [str(finding) for finding in findings(tmp_path)] == [f"{tmp_path / MODULE}:3: is not Python: invalid syntax"]


def test_a_missing_test_is_told(tmp_path):
    (write(tmp_path) / "test_say_hello.py").unlink()

    assert [finding.message for finding in findings(tmp_path)] == [
        "there is no test; test_say_hello.py beside this file would be right"
    ]
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").touch()
    assert findings(tmp_path) == []


def test_a_folder_without_package_or_project_file_is_told(tmp_path):
    shutil.rmtree(write(tmp_path / "a") / "hookgate_interceptor_say_hello")

    assert "there is no package hookgate_interceptor_say_hello/__init__.py beside this file" in str(
        findings(tmp_path / "a")[0]
    )
    assert str(findings(tmp_path)[0]).startswith(f"{tmp_path}/pyproject.toml:1: cannot be read")


def test_checking_leaves_no_trace(tmp_path):
    modules, path = set(sys.modules), list(sys.path)
    findings(write(tmp_path))

    assert (set(sys.modules) - modules, sys.path) == (set(), path)
    assert not list(tmp_path.rglob("__pycache__"))


def test_the_copy_in_the_folder_is_checked_and_not_the_installed_one(tmp_path):
    installed = importlib.import_module("hookgate_interceptor_restrict_access")
    copy = shutil.copytree(ROOT / "plugins/interceptors/restrict-access", tmp_path / "copy")
    module = copy / "hookgate_interceptor_restrict_access" / "__init__.py"
    module.write_text(module.read_text().replace("def on_request", "def on_reqest"))

    assert [finding.file for finding in findings(copy)] == [module]
    assert findings(ROOT / "plugins/interceptors/restrict-access") == []
    assert sys.modules["hookgate_interceptor_restrict_access"] is installed


def test_the_exit_code_says_whether_there_are_findings(tmp_path):
    good = hookgate("plugin", "check", write(tmp_path), cwd=tmp_path)
    (tmp_path / "test_say_hello.py").unlink()
    bad = hookgate("plugin", "check", cwd=tmp_path)

    assert (good.returncode, good.stdout) == (0, f"{tmp_path}: good: hookgate-interceptor-say-hello\n")
    assert (bad.returncode, bad.stderr) == (1, "1 finding\n")
    assert bad.stdout == "pyproject.toml:1: there is no test; test_say_hello.py beside this file would be right\n"
