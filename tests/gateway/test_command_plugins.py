"""Commands that others bring, as a person types them: out of a distribution, or out of a file of the site's folder."""

import json
import os
import subprocess
import sys

import pytest

SAY = """
import typer
from hookgate import Command, Options, hookimpl

class Say(Command[Options]):
    '''Says something.'''

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        @commands.command("say")
        def say(what: str = "nothing") -> None:
            '''Say something, and no more.'''
            print("acme says", what)
"""


@pytest.fixture
def hookgate(tmp_path):
    """Run the command line in a process of its own, in which more is installed than here."""
    folder = tmp_path / "installed"
    folder.mkdir()

    def run(*words, **environment):
        return subprocess.run(
            [sys.executable, "-m", "hookgate", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=240,
            env={
                **os.environ,
                "COLUMNS": "300",
                "NO_COLOR": "1",
                "PYTHONPATH": str(folder),
                "PYTHONDONTWRITEBYTECODE": "1",
                **environment,
            },
        )

    def install(distribution, text="", word="say", cls="Say", metadata=""):
        module = distribution.replace("-", "_")
        if text:
            (folder / f"{module}.py").write_text(text)
        info = folder / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n{metadata}")
        (info / "entry_points.txt").write_text(f"[hookgate.commands]\n{word} = {module}:{cls}\n" if word else "")

    run.install = install
    return run


def test_a_command_in_a_file_of_the_sites_folder_is_typed_shown_and_listed(hookgate, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "mine.py").write_text(SAY.replace("Say(", "SayHi(").replace('"say"', '"say-hi"'))
    environment = {"HOOKGATE_PLUGINS_DIR": str(site)}
    said = hookgate("say-hi", "--what", "hi", **environment)
    shown = hookgate("--help", **environment).stdout
    listed = json.loads(hookgate("plugins", "command/say-hi", "--json", **environment).stdout)

    assert (said.returncode, said.stdout, said.stderr) == (0, "acme says hi\n", "")
    assert "Say something, and no more." in shown
    assert [(line["distribution"], line["summary"]) for line in listed] == [(str(site / "mine.py"), "Says something.")]
    assert hookgate("say-hi").returncode == 2


def test_a_distribution_is_imported_when_its_command_is_typed_and_not_before(hookgate):
    hookgate.install("acme-say", f"print('imported')\n{SAY}")

    assert hookgate("say", "--what", "more").stdout == "imported\nacme says more\n"
    assert "imported" not in hookgate("check", "--help").stdout
    assert "imported" not in hookgate("--version").stdout


def test_a_word_of_cores_own_is_cores(hookgate):
    hookgate.install("acme-say", "print('imported')\n" + SAY.replace('"say"', '"check"'), word="check")
    shown = hookgate("--help")

    assert "Check a document and report" in hookgate("check", "--help").stdout
    assert (shown.returncode, shown.stdout.count(" check ")) == (0, 1)
    assert "imported" not in shown.stdout


def test_two_distributions_with_one_word_are_refused_when_it_is_typed_and_not_before(hookgate):
    hookgate.install("acme-say", SAY)
    hookgate.install("other-say", SAY)
    hookgate.install("acme-shout", SAY.replace('"say"', '"shout"'), word="shout")
    shown = hookgate("--help")
    refused = hookgate("say", "--what", "hi")

    reason = "the command 'say' is provided by acme-say and other-say; only one of them may stay"
    assert (refused.returncode, refused.stdout, refused.stderr) == (3, "", f"hookgate: {reason}\n")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"Broken: {reason}" in " ".join(shown.stdout.split())
    assert hookgate("shout").stdout == "acme says nothing\n"


BROKEN = {
    "acme-away": (
        "import nothing_like_it\n",
        "acme-away: acme_away:Say: ModuleNotFoundError: No module named 'nothing",
    ),
    "acme-exits": ("raise SystemExit(0)\n", "acme-exits: acme_exits:Say: SystemExit: 0"),
    "acme-markup": ("raise OSError('[/bold] is no tag')\n", "acme-markup: acme_markup:Say: OSError: [/bold] is no tag"),
    "acme-other": (SAY, "acme-other: TypeError: Say.add_commands adds a command 'acme-other'; it added say"),
    "acme-raises": (SAY.replace('"say"', "{}['say']"), "acme-raises: KeyError: 'say'"),
    "acme-silent": (SAY.replace("@commands", "@typer.Typer()"), "Say.add_commands adds a command 'acme-silent'"),
    "acme-hooks": (SAY.replace("@hookimpl", ""), "acme-hooks: Say.add_commands has the name of a hook; put @hookimpl"),
    "acme-plain": ("class Say: pass\n", "acme-plain: its class does not inherit from hookgate.Command"),
}


def test_a_broken_command_is_shown_as_broken_and_stops_no_other(hookgate):
    for distribution, (text, _) in BROKEN.items():
        hookgate.install(distribution, text, word=distribution)
    hookgate.install("acme-say", SAY)
    shown = hookgate("--help")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Run the gateway of a document" in shown.stdout
    assert "Say something, and no more." in shown.stdout
    for distribution, (_, reason) in BROKEN.items():
        assert reason in " ".join(
            next(line for line in shown.stdout.splitlines() if f" {distribution} " in line).split()
        )
    assert hookgate("say").stdout == "acme says nothing\n"


@pytest.mark.parametrize(
    ("distribution", "words"), [("acme-away", []), ("acme-exits", ["--help"]), ("acme-raises", ["show", "--what", "x"])]
)
def test_typing_a_broken_command_is_exit_code_3_and_says_whose_it_is_and_why(hookgate, distribution, words):
    text, reason = BROKEN[distribution]
    hookgate.install(distribution, text, word=distribution)
    refused = hookgate(distribution, *words)

    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("hookgate: ")
    assert f"{distribution}' cannot be used: {reason}" in refused.stderr.replace("`", "'")
    assert len(refused.stderr.splitlines()) == 1


def test_text_that_looks_like_markup_harms_nobody(hookgate):
    hookgate.install("acme-say", SAY.replace("Say something, and", "Say [/something], and"))
    shown = hookgate("--help")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Say [/something], and no more." in shown.stdout
    assert hookgate("say").returncode == 0
    assert "Say [/something], and no more." in hookgate("say", "--help").stdout


def test_a_word_that_nobody_knows_is_told_with_what_helps(hookgate, tmp_path):
    hookgate.install("acme-say", SAY)
    hookgate.install(
        "hookgate", word="", metadata="Requires-Dist: hookgate-tidy\nRequires-Dist: hookgate-interceptor-x\n"
    )
    (tmp_path / "broken.py").write_text("1 / 0\n")

    def told(word, **environment):
        refused = hookgate(word, **environment)
        assert (refused.returncode, refused.stdout) == (2, "")
        return " ".join(refused.stderr.replace("│", " ").split())

    assert "No such command 'tidy': pip install hookgate-tidy" in told("tidy")
    assert "No such command 'sya'; did you mean 'say'?" in told("sya")
    assert "No such command 'chekc'; did you mean 'check'?" in told("chekc")
    assert "No such command 'zzzzz'." in told("zzzzz")
    broken = told("zzzzz", HOOKGATE_PLUGINS_DIR=str(tmp_path))
    assert f"'zzzzz'.; {tmp_path / 'broken.py'} cannot be imported: ZeroDivisionError: division by zero" in broken


def test_a_folder_that_is_not_there_is_told_and_stops_no_command(hookgate, tmp_path):
    hookgate.install("acme-say", SAY)
    environment = {"HOOKGATE_PLUGINS_DIR": str(tmp_path / "nowhere")}
    warning = f"warning: there is no folder {tmp_path / 'nowhere'} to take plugins from\n"
    shown, said = hookgate("--help", **environment), hookgate("say", **environment)

    assert (shown.returncode, shown.stderr) == (0, warning)
    assert (said.returncode, said.stdout, said.stderr) == (0, "acme says nothing\n", warning)
