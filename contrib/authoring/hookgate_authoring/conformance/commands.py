"""The checks of commands: what is added, whether its help can be read, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import typer
from typer.testing import CliRunner

from hookgate import Options, Plugin
from hookgate.commands import app
from hookgate_authoring.conformance import bench
from hookgate_authoring.conformance.report import Report
from hookgate_authoring.conformance.state import changed, held

DEAR = 0.3
"""Seconds of computing that importing a command may take, beyond what the command line has imported anyway."""
IMPORT = """
import importlib.util, json, sys, threading, time
words = json.loads(sys.argv[1])
sys.path[:] = words["path"]
import hookgate.commands
told = {}
try:
    known = importlib.util.find_spec(words["module"]) is not None
except ImportError:
    known = False
if known:
    threads, before = threading.active_count(), time.process_time()
    importlib.import_module(words["module"])
    told = {"took": time.process_time() - before, "threads": threading.active_count() - threads}
print("\\n" + json.dumps(told))
"""
TRIES = 3
"""How often importing may turn out too dear before it counts."""


def check(cls: type[Plugin[Any]], report: Report) -> None:
    """Run every check of commands."""
    word = bench.installed_as(cls)
    if cls.options_type is not Options:
        seen = f"has options, {cls.options_type.__name__}, which nobody gives it"
        report.add("contract", cls.__name__, seen, f"class {cls.__name__}(Command[Options])")
        return
    if word in [command.name for command in app.registered_commands]:
        report.add("contract", cls.__name__, f"is called {word!r}, as a command of core's own is", "a word of its own")
    first, plugin = bench.construct(cls, {}), bench.construct(cls, {})
    _added(first, word, report)
    before = held(plugin)
    command = _added(plugin, word, report)
    again = _added(plugin, word, report)
    if way := changed(before, held(plugin)):
        report.add("contract", "add_commands", f"keeps state in {way}", "add to what is given, and keep nothing")
    if command is not None and again is not None:
        _check_help(command, word, report)
    _check_import(cls, report)


def _added(plugin: Any, word: str, report: Report) -> typer.Typer | None:
    """Have a command added to nothing, as the command line does; ``None`` where it is not as it should be."""
    group = typer.Typer(callback=lambda: None)
    right = f"add one command or one group, called {word!r} as the entry point is"
    try:
        plugin.add_commands(group)
        made: Any = typer.main.get_command(group)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the plugin's own
        report.add("contract", "add_commands", f"raised {type(error).__name__}: {error}", right)
        return None
    if list(made.commands) != [word]:
        seen = f"added {', '.join(map(repr, made.commands)) or 'nothing'}"
        report.add("contract", "add_commands", seen, right)
        return None
    return group


def _check_help(group: typer.Typer, word: str, report: Report) -> None:
    """Every command in it says what it is for, and its help can be shown."""
    made: Any = typer.main.get_command(group)
    for words, command in _all(made.commands[word], (word,)):
        where = " ".join(words)
        if not (command.help or "").strip():
            report.add("contract", where, "says nothing in its help", "a docstring under the function, or help=")
        told = CliRunner().invoke(group, [*words, "--help"])
        if told.exit_code != 0 or not told.output.strip():
            why = f": {type(told.exception).__name__}: {told.exception}" if told.exception else ""
            seen = f"--help ends with exit code {told.exit_code}{why}"
            report.add("contract", where, seen, "a help that can be shown; markup in it is closed")


def _check_import(cls: type[Plugin[Any]], report: Report) -> None:
    """Importing it is cheap and does nothing: `hookgate --help` imports the commands of everybody."""
    module = cls.__module__
    if module.rpartition(".")[2].startswith("test_"):
        return
    took, printed, threads = DEAR, "", 0
    for _ in range(TRIES):
        words = json.dumps({"path": sys.path, "module": module})
        done = subprocess.run(  # noqa: S603 - this interpreter
            [sys.executable, "-c", IMPORT, words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            report.add("contract", module, f"cannot be imported by itself: {why}", "a module that needs no other")
            return
        printed, _, last = done.stdout.strip().rpartition("\n")
        told = json.loads(last)
        if not told:  # a class that is no module's, as in a console
            return
        printed, threads, took = (printed + done.stderr).strip(), told["threads"], told["took"]
        if took < DEAR:
            break
    if took >= DEAR:
        seen = f"takes {took:.1f} s of computing to be imported"
        report.add("contract", module, seen, "import what is dear inside the function that needs it")
    if printed or threads:
        seen = f"prints {printed!r:.100}" if printed else "starts a thread"
        report.add(
            "contract", module, f"{seen} when it is imported", "nothing outside of functions that does something"
        )


def _all(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _all(inner, (*words, name))
