"""The command as a program; what its words do is tested in `tests/gateway`."""

import subprocess
import sys

import pytest

WITHOUT = """
import runpy, sys
sys.modules["hookgate.commands"] = None
runpy.run_module("hookgate", run_name="__main__")
"""


def run(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.parametrize("word", ["serve", "check", "reload"])
def test_its_words_say_what_they_do(word):
    done = run("-m", "hookgate", word, "--help")

    assert done.returncode == 0
    assert "Usage: " in done.stdout


def test_core_alone_says_what_to_install():
    done = run("-c", WITHOUT)

    assert done.returncode == 1
    assert done.stderr.endswith("pip install hookgate-commands\n")
    assert "Traceback" not in done.stderr
