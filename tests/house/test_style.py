import re
import subprocess

from .workspace import ROOT, files, under

LONGEST = 450
"""Lines a file of core may have; one that passes 300 asks for a second look."""
MOST = 21_500
"""Lines that core may have in all. What grows past it belongs into a plugin or a contribution."""
EMPTY_NAMES = {"utils", "common", "helpers", "base"}
LOCKS = {"uv.lock", "poetry.lock", "Pipfile.lock", "pylock.toml", "package-lock.json", "yarn.lock", "pnpm-lock.yaml"}
# By their shape, so that this file names no registry and no machine itself.
HOSTS = re.compile(r"https?://\S*(?:/simple\b|\.whl\b|\.tgz\b|\.deb\b)|\b(?:index|registry)[-_]url\s*[=:]\s*\S*//")
PATHS = re.compile(r"(?<![\w.}/-])/(?:root|work|home/\w+|Users/\w+)/")


def texts():
    """Every file that is text, with its content."""
    for path in files():
        try:
            yield path, (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_every_file_has_a_name_that_says_what_it_holds():
    assert not [path for path in files() if path.stem.removeprefix("test_") in EMPTY_NAMES]


def test_files_of_core_stay_small():
    lengths = {path: (ROOT / path).read_text(encoding="utf-8").count("\n") for path in under("core")}

    assert not {path: length for path, length in lengths.items() if length > LONGEST}


def test_core_stays_small():
    assert sum((ROOT / path).read_text(encoding="utf-8").count("\n") for path in under("core")) < MOST


def test_no_lock_file_is_committed():
    assert not [path for path in files() if path.name in LOCKS]


def test_nothing_of_ours_is_hidden_by_gitignore():
    """It would be there in this checkout and missing in every other."""
    command = "git ls-files -z --others --ignored --exclude-standard core plugins contrib tests"
    hidden = subprocess.run(command.split(), cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    leavings = re.compile(r"(^|/)(__pycache__|\.[a-z_]+)/")  # of Python, pytest and the like

    assert not [name for name in hidden if name and not leavings.search(name)]


def test_no_file_names_a_package_registry_or_a_path_of_one_machine():
    found = [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if HOSTS.search(line) or PATHS.search(line)
    ]

    assert not found
