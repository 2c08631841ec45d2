"""One page for each plugin that ships, and the list of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from generating.markdown import prose, table
from generating.records import options
from generating.shipped import DOCS, FAMILIES, first_party, place, slug, spec_of, title, with_pages
from hookgate import Entry
from hookgate.contract.hooks import hooks_of
from hookgate.document.catalogue import Listed
from hookgate.document.inside import SIDES, misplaced

EXAMPLES = DOCS / "examples" / "plugins"
NOTE = "<!-- Written by docs/generate.py; change the plugin or its example, and run it with --write. -->"


def example_of(listed: Listed) -> Path:
    """Return where the document stands that shows a plugin at work."""
    return EXAMPLES / f"{slug(listed)}.yaml"


def summary(listed: Listed) -> str:
    """Return the first paragraph of what a plugin says of itself."""
    return prose(listed.plugin.__doc__).split("\n\n")[0].replace("\n", " ")


def plugin_page(listed: Listed) -> str:
    """Tell one plugin."""
    plugin: Any = listed.plugin
    example = example_of(listed).read_text(encoding="utf-8").strip()
    hooks = hooks_of(plugin, spec_of(listed.family))
    facts = {"distribution": [listed.distribution], "hooks": list(hooks)}
    if listed.family == "interceptor":
        facts |= {"category": [plugin.category], "may stand in": _lists(listed)}
    facts |= {"reads": sorted(plugin.reads), "writes": sorted(plugin.writes)}
    told = [f"- {name}: {', '.join(f'`{each}`' for each in facts[name])}" for name in facts if facts[name]]
    parts = [
        f"# {title(listed)}",
        NOTE,
        prose(plugin.__doc__),
        "## Options",
        options(plugin.options_type).strip(),
        "## Example",
        f"```yaml\n{example}\n```",
        "## Facts",
        "\n".join([f"- family: [{listed.family}](../hooks.md#{listed.family})", *told]),
    ]
    return "\n\n".join(parts) + "\n"


def _lists(listed: Listed) -> list[str]:
    """Return the lists of a flow in which a step has something to do."""
    step: Any = listed.plugin
    bare = step.__new__(step)
    bare.entry, bare.options = Entry("", listed.name, listed.family), step.options_type.model_construct()
    return [side for side in SIDES if not misplaced(bare, side)]


def plugin_list() -> str:
    """Tell every plugin in a line, by family."""
    found = first_party()
    parts = []
    for family in FAMILIES:
        rows = [(f"[{each.name}]({_link(each)})", summary(each)) for each in found if each.family == family.name]
        if rows:
            parts += [f"## {family.plural}", "", family.summary, "", table(("name", "what it does"), rows)]
    return "\n".join(parts)


def _link(listed: Listed) -> str:
    """Where a plugin is told of, from the list of all."""
    return os.path.relpath(place(listed), "plugins")


def missing() -> list[Path]:
    """Return the examples that somebody still has to write."""
    return [example_of(listed) for listed in with_pages() if not example_of(listed).exists()]
