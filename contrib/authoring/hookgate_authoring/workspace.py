"""A uv workspace with a place for plugins, as this project's own: where it is, and how a plugin is entered there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from hookgate import ConfigError, Problem
from hookgate_authoring.names import normalised

MEMBERS = "plugins/*/*"
"""What the members of such a workspace hold."""
CORE = "hookgate-core"

_DEPENDENCIES = re.compile(r"^dependencies\s*=\s*\[[ \t]*(?:#.*)?\r?\n", re.MULTILINE)
_SOURCES = re.compile(r"^\[tool\.uv\.sources\][ \t]*(?:#.*)?\r?\n", re.MULTILINE)
_NAME = re.compile(r'\s*"?(hookgate-[A-Za-z0-9._-]+)')


def workspace_above(folder: Path) -> Path | None:
    """Return the project file of the workspace that a folder is in, if it has a place for plugins.

    Raises:
        ConfigError: a project file on the way up is not TOML.
    """
    for above in (folder.resolve(), *folder.resolve().parents):
        file = above / "pyproject.toml"
        if file.is_file() and MEMBERS in _table(_parsed(file), "tool", "uv", "workspace").get("members", ()):
            return file
    return None


def with_member(file: Path, distribution: str) -> bytes:
    """Return the text of a workspace's project file with a plugin added to its dependencies and sources.

    Both lists stay sorted; every other byte stays as it is.

    Raises:
        ConfigError: the lists are not written one entry a line, so that there is no place for another.
    """
    text = file.read_bytes().decode()
    metadata = _parsed(file)
    if distribution not in map(normalised, _table(metadata, "project").get("dependencies", ())):
        text = _with_line(text, _DEPENDENCIES, distribution, f'    "{distribution}",')
    if distribution not in _table(metadata, "tool", "uv", "sources"):
        text = _with_line(text, _SOURCES, distribution, f"{distribution} = {{ workspace = true }}")
    try:
        entered = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        entered = {}
    dependencies = _table(entered, "project").get("dependencies", ())
    if distribution not in dependencies or distribution not in _table(entered, "tool", "uv", "sources"):
        message = (
            f"finds no place for {distribution}: write dependencies and [tool.uv.sources] with one entry a line, "
            "or add it there yourself"
        )
        raise ConfigError([Problem((), message, str(file))])
    return text.encode()


def _with_line(text: str, header: re.Pattern[str], name: str, line: str) -> str:
    """Put a line into the block behind a header, before the first name that comes after it; core stays in front."""
    start = header.search(text)
    if start is None:
        return text
    end = "\r\n" if start[0].endswith("\r\n") else "\n"
    at = place = start.end()
    for each in text[at:].splitlines(keepends=True):
        if each.lstrip().startswith(("]", "[")) or not each.strip():
            break
        at += len(each)
        listed = _NAME.match(each)
        if listed is not None:
            if listed[1] != CORE and listed[1] > name:
                break
            place = at
    return text[:place] + line + end + text[place:]


def _parsed(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Problem((), f"is not TOML: {error}", str(file))]) from None


def _table(document: Any, *keys: str) -> dict[str, Any]:
    for key in keys:
        document = document.get(key, {}) if isinstance(document, dict) else {}
    return document if isinstance(document, dict) else {}
