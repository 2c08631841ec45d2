"""`hookgate plugin check`: a mistake is told with its place and what would be right."""

import importlib
import shutil
import sys
from pathlib import Path

import pytest

from hookgate_authoring.check import findings

from .author import ROOT, hookgate, write


@pytest.mark.parametrize(
    "folder",
    [*sorted(ROOT.glob("plugins/*/*")), *sorted(folder.parent for folder in ROOT.glob("contrib/example-*/hookgate_*"))],
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
        ('["hookgate-core>=0.1,<0.2"]', '["Hookgate_interceptor-cors>=1"]'),
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


def changed(folder, family, right, wrong):
    """Write a plugin, change its module, and return what is found."""
    module = write(folder, family) / f"hookgate_{family}_say_hello" / "__init__.py"
    text = module.read_text()
    assert right in text
    module.write_text(text.replace(right, wrong))
    return [finding.message for finding in findings(folder)]


def test_the_record_of_a_section_is_called_after_one_item(tmp_path):
    assert changed(tmp_path, "section", "SayHelloItem", "Greeting") == []


@pytest.mark.parametrize(
    ("family", "right", "wrong", "told"),
    [
        ("section", "def routes", "def route", "SayHello.route is not a hook of this family; did you mean 'routes'?"),
        (
            "section",
            "(Section[SayHelloItem])",
            "",
            "does not inherit from Section; class SayHello(Section[SayHelloItem])",
        ),
        (
            "command",
            "(Command[Options])",
            "",
            "does not inherit from Command; class SayHello(Command[Options]) would be",
        ),
        (
            "command",
            "Command[Options]",
            "Command[type('SayHelloOptions', (Options,), {})]",
            "no document gives a command its options; class SayHello(Command[Options]) would be right",
        ),
    ],
)
def test_a_mistake_in_a_section_or_a_command_is_told(tmp_path, family, right, wrong, told):
    (found,) = changed(tmp_path, family, right, wrong)

    assert told in found


def test_a_command_beside_a_plugin_has_a_module_of_its_own(tmp_path):
    folder = write(tmp_path)
    (folder / "hookgate_interceptor_say_hello" / "command.py").write_text(
        "from hookgate import Command, Options, hookimpl\n\n\n"
        'class SayHello(Command[Options]):\n    """Says hello."""\n\n    @hookimpl\n'
        '    def add_commands(self, commands):\n        """Add it."""\n'
    )
    project, points = folder / PROJECT, '\n[project.entry-points."hookgate.commands"]\nsay-hello = '
    text = project.read_text()
    project.write_text(text + points + '"hookgate_interceptor_say_hello.command:SayHello"\n')
    assert findings(folder) == []

    project.write_text(text + points + '"hookgate_interceptor_say_hello:SayHello"\n')
    assert (
        "the entry point leads to 'hookgate_interceptor_say_hello:SayHello'; "
        "'hookgate_interceptor_say_hello.command:SayHello' would be right"
    ) in [finding.message for finding in findings(folder)]


def test_a_command_of_a_word_that_is_cores_own_is_told(tmp_path):
    write(tmp_path, "command", "check")

    assert [finding.message for finding in findings(tmp_path)] == [
        "nobody finds the plugin: `hookgate check` is a command of core's own"
    ]
