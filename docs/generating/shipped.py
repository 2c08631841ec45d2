"""The families of core, and the plugins of this checkout."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from hookgate import Family
from hookgate.contract import families, hookspecs
from hookgate.contract.hooks import hooks_of
from hookgate.document.catalogue import Catalogue, Listed

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
FAMILIES = [found for found in vars(families).values() if isinstance(found, Family)]
TOLD_TOGETHER = {"section": "configuration.md", "command": "deploying.md"}
"""Families whose plugins have a chapter of one page in the place of a page each."""


@cache
def first_party() -> list[Listed]:
    """Return the plugins of this checkout that are installed, by family and name; not those that are examples, and not
    those of a family that a contribution brings, whose page tells of them."""
    families = {each.name for each in FAMILIES}
    folders = [ROOT / "core", *ROOT.glob("plugins/*/*"), *ROOT.glob("contrib/*")]
    ours = {
        tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
        for folder in folders
        if (folder / "pyproject.toml").exists() and not folder.name.startswith("example-")
    }
    return [each for each in Catalogue().listing() if each.distribution in ours and each.family in families]


def with_pages() -> list[Listed]:
    """Return those that have a page of their own."""
    return [listed for listed in first_party() if listed.family not in TOLD_TOGETHER]


def spec_of(family: str) -> type:
    """Return what specifies the hooks of a family."""
    return next(each.spec for each in FAMILIES if each.name == family)


def specified(spec: type) -> dict[str, Any]:
    """Return the hooks of a specification, in its order."""
    return {name: hook for name, hook in vars(spec).items() if hasattr(hook, f"{hookspecs.PROJECT}_spec")}


def users(family: str, hook: str) -> list[Listed]:
    """Return the shipped plugins that implement a hook; without a family, those of every family."""
    return [
        listed
        for listed in first_party()
        if family in ("", listed.family) and hook in hooks_of(listed.plugin, spec_of(listed.family))
    ]


def slug(listed: Listed) -> str:
    """Return what the page and the example of a plugin are called."""
    return f"{listed.family}-{listed.name}"


def place(listed: Listed) -> str:
    """Return where a plugin is told of, relative to the folder of the pages."""
    if listed.family == "section":
        return f"{TOLD_TOGETHER['section']}#{listed.name}"
    if listed.family == "command":
        return f"{TOLD_TOGETHER['command']}#commands"
    return f"plugins/{slug(listed)}.md"


def title(listed: Listed) -> str:
    """Return how people call a plugin."""
    return f"{listed.family} {listed.name}"
