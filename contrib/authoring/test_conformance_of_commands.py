"""The conformance kit on commands: small ones with one seeded fault each, and good ones with none."""

import importlib
import sys

import pytest
import typer

from hookgate import Command, Options, hookimpl
from hookgate_authoring.conformance import Nonconforming, conformance


class Loudness(Options):
    """Has something to say."""

    loud: bool = False
    """How it is said."""


def broken(plugin):
    with pytest.raises(Nonconforming) as caught:
        conformance(plugin, examples=1)
    return caught.value


class Says(Command[Options]):
    """Says something."""

    @hookimpl
    def add_commands(self, commands):
        group = typer.Typer(name="says", help="Say something.")
        group.command("loudly")(self.loudly)
        commands.add_typer(group)

    def loudly(self) -> None:
        """Say it loudly."""


class Twice(Command[Options]):
    """Adds one more."""

    @hookimpl
    def add_commands(self, commands):
        commands.command("twice")(test_a_good_command_conforms)
        commands.command("more")(test_a_good_command_conforms)


class Otherwise(Command[Options]):
    """Adds another."""

    @hookimpl
    def add_commands(self, commands):
        commands.command("elsewhere")(test_a_good_command_conforms)


class Nothing(Command[Options]):
    """Adds nothing."""

    @hookimpl
    def add_commands(self, commands): ...


class Fails(Command[Options]):
    """Ends the process."""

    @hookimpl
    def add_commands(self, commands):
        raise SystemExit(5)


class OnlyOnce(Command[Options]):
    """Adds itself once."""

    def __init__(self, options):
        super().__init__(options)
        self.added = {"once": []}

    @hookimpl
    def add_commands(self, commands):
        self.added["once"].append(1)
        commands.command("only-once")(test_a_good_command_conforms)


class Silent(Command[Options]):
    """Adds a command that says nothing."""

    @hookimpl
    def add_commands(self, commands):
        group = typer.Typer(name="silent", help="Say nothing.")
        group.command("inside")(lambda: None)
        group.command("beside", help="Say nothing, too.")(lambda: None)
        commands.add_typer(group)


class Unreadable(Command[Options]):
    """Has a help that cannot be shown."""

    @hookimpl
    def add_commands(self, commands):
        commands.command("unreadable", help="Read [/this].")(lambda: None)


class WithOptions(Command[Loudness]):
    """Has options."""

    @hookimpl
    def add_commands(self, commands):
        commands.command("with-options")(test_a_good_command_conforms)


class Check(Command[Options]):
    """Takes a word of core's."""

    @hookimpl
    def add_commands(self, commands):
        commands.command("check")(test_a_good_command_conforms)


COMMANDS = [
    (Twice, "add_commands", "added 'twice', 'more'"),
    (Otherwise, "add_commands", "added 'elsewhere'"),
    (Nothing, "add_commands", "added nothing"),
    (Fails, "add_commands", "raised SystemExit: 5"),
    (OnlyOnce, "add_commands", "keeps state in self.added['once']"),
    (Silent, "silent inside", "says nothing in its help"),
    (Unreadable, "unreadable", "--help ends with exit code 1: MarkupError"),
    (WithOptions, "WithOptions", "has options, Loudness, which nobody gives it"),
    (Check, "Check", "is called 'check', as a command of core's own is"),
]


def test_a_good_command_conforms():
    """Nothing."""
    conformance(Says, examples=1)


@pytest.mark.parametrize(("command", "where", "seen"), COMMANDS, ids=lambda value: getattr(value, "__name__", None))
def test_a_seeded_fault_of_a_command_is_found(command, where, seen):
    found = broken(command)

    assert [violation.where for violation in found.violations] == [where], str(found)
    assert seen in found.violations[0].seen
    assert found.rules == {"contract"}


MODULE = """
from hookgate import Command, Options, hookimpl

class Imported(Command[Options]):
    '''Is imported.'''

    @hookimpl
    def add_commands(self, commands):
        commands.command("imported", help="Nothing.")(lambda: None)
"""


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (
            "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end:\n    pass\n",
            "s of computing to be imported",
        ),
        ("print('hello')\n", "prints 'hello' when it is imported"),
        (
            "import threading\nthreading.Thread(target=threading.Event().wait, args=(5,), daemon=True).start()\n",
            "starts a thread when",
        ),
        ("import sys\nassert 'pytest' in sys.modules\n", "cannot be imported by itself: AssertionError"),
        ("", ""),
    ],
    ids=["dear", "prints", "thread", "needs pytest", "good"],
)
def test_importing_a_command_is_cheap_and_does_nothing(text, seen, tmp_path, monkeypatch):
    (tmp_path / "acme_imported.py").write_text(text + MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "acme_imported", raising=False)
    command = importlib.import_module("acme_imported").Imported
    if not seen:
        conformance(command, examples=1)
        return

    (violation,) = broken(command).violations
    assert violation.where == "acme_imported"
    assert seen in violation.seen
