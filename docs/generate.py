# ruff: noqa: INP001, T201 - a script of this folder, which prints
"""Write what the pages say about options, hooks, commands and plugins, from the code itself.

``python docs/generate.py --write`` renews the pages in ``docs/plugins/`` and, in other pages, what stands between
``<!-- generated: NAME -->`` and ``<!-- end -->``. Without ``--write`` nothing is changed, and the exit code is 1 if
something is stale. Every plugin needs an example in ``docs/examples/plugins/FAMILY-NAME.yaml``.
"""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hookgate import Entry, Family, families, hookspecs, sections
from hookgate.building import SIDES, HostOptions, misplaced
from hookgate.catalogue import Catalogue, Listed
from hookgate.commands import app
from hookgate.hooks import hooks_of
from hookgate.hookspecs import LifecycleSpec
from hookgate.settings import Settings

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
EXAMPLES = DOCS / "examples" / "plugins"
NOTE = "<!-- Written by docs/generate.py; change the plugin or its example, and run it with --write. -->"
BLOCK = re.compile(r"(?<=<!-- generated: )([a-z-]+)( -->\n).*?(?=<!-- end -->)", re.DOTALL)
FAMILIES = [found for found in vars(families).values() if isinstance(found, Family)]
SECTIONS = {
    "gateway": sections.GatewaySection,
    "gateway-limits": sections.LimitsSection,
    "management": sections.ManagementSection,
    "route": sections.RouteSection,
    "match": sections.MatchSection,
    "destination": sections.DestinationSection,
    "route-limits": sections.RouteLimitsSection,
    "connection": sections.ConnectionSection,
    "target": sections.TargetSection,
    "header-action": sections.HeaderActionSection,
    "timeouts": sections.TimeoutsSection,
    "pool": sections.PoolSection,
    "entry": HostOptions,
}
"""The records whose fields configuration.md lists, by the name of the block they stand in."""


# --- Markdown ---------------------------------------------------------------------------------------------------------


def prose(docstring: str | None) -> str:
    """Turn a docstring into Markdown: literals, references to code, lists, and what it raises."""
    text = inspect.cleandoc(docstring or "")
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    text = text.replace("``", "`").replace("::\n", ":\n")
    head, raises, rest = text.partition("Raises:\n")
    if raises:
        faults = inspect.cleandoc(rest)
        text = head + "Raises:\n\n" + re.sub(r"^(\w+): ", r"- `\1`: ", faults, flags=re.MULTILINE)
    return re.sub(r"^((?![*-] |\s).+)\n(?=[*-] )", r"\1\n\n", text, flags=re.MULTILINE)


def cell(text: object) -> str:
    """Put a text on one line, as a cell of a table wants it."""
    return " ".join(str(text).split()).replace("|", "\\|")


def table(titles: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a table."""
    lines = [list(titles), *(list(row) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines) + "\n"


# --- records ----------------------------------------------------------------------------------------------------------


def kind(field: Mapping[str, Any]) -> str:
    """Say in words what a field of a JSON Schema takes."""
    if "x-hookgate-family" in field:
        family = field["x-hookgate-family"]
        return f"{'an' if family[0] in 'aeiou' else 'a'} {family}"
    for choices in ("anyOf", "oneOf"):
        if choices in field:
            return " or ".join(dict.fromkeys(map(kind, field[choices])))
    if "allOf" in field:
        return kind(field["allOf"][0])
    if "enum" in field or "const" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        section = name.removesuffix("Section")  # those have a chapter of their own
        return f"`{name}`" if section == name else re.sub("(?<=[a-z])(?=[A-Z])", " ", section).lower()
    if field.get("type") == "array":
        items = kind(field.get("items", {}))
        return f"list of {re.sub('^an? ', '', items)}"
    if field.get("type") == "object":
        values = field.get("additionalProperties")
        return f"mapping to {kind(values)}" if isinstance(values, dict) and values else "mapping"
    if field.get("writeOnly"):
        return "secret"
    return {"ipvanynetwork": "network", "hookgate-expression": "expression", "file-path": "path"}.get(
        str(field.get("format")), str(field.get("format") or field.get("type") or "anything")
    )


def default(name: str, field: Mapping[str, Any], required: Iterable[str]) -> str:
    """Write a default as a document would; a record of defaults is told by its own table."""
    if name in required:
        return "**required**"
    value = field.get("default")
    if isinstance(value, dict) or (value is None and field.get("type") == "object"):
        return ""
    return f"`{_yaml(value)}`"


def _yaml(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_yaml, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return '""' if value == "" else str(value)


def fields(schema: Mapping[str, Any]) -> str:
    """Tell the fields of one record."""
    required = schema.get("required", ())
    return table(
        ("field", "type", "default", "meaning"),
        (
            (f"`{name}`", kind(field), default(name, field, required), prose(field.get("description")))
            for name, field in schema["properties"].items()
        ),
    )


def options(record: type[BaseModel]) -> str:
    """Tell the fields of a record, and those of the records inside it."""
    schema = record.model_json_schema(by_alias=True)
    if not schema.get("properties"):
        return "It has no options.\n"
    parts = [fields(schema)]
    for name, inner in schema.get("$defs", {}).items():
        if inner.get("properties"):
            parts.append(f"`{name}`: {prose(inner.get('description'))}\n\n{fields(inner)}")
    return "\n".join(parts)


def section(record: type[BaseModel]) -> str:
    """Tell the fields of one section; those inside it have blocks of their own."""
    return fields(record.model_json_schema(by_alias=True))


# --- plugins and hooks ------------------------------------------------------------------------------------------------


@cache
def first_party() -> list[Listed]:
    """Return the plugins of this checkout that are installed, by family and name."""
    ours = {
        tomllib.loads(path.read_text(encoding="utf-8"))["project"]["name"]
        for path in ROOT.glob("plugins/*/*/pyproject.toml")
    }
    return [listed for listed in Catalogue().listing() if listed.distribution in ours]


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


def signature(name: str, hook: Any) -> str:
    """Write a hook as the specification does, without ``self``."""
    found = inspect.signature(hook)
    arguments = ", ".join(f"{each}" for each in found.parameters.values() if each.name != "self").replace("'", "")
    says = "async def" if inspect.iscoroutinefunction(hook) else "def"
    return f"{says} {name}({arguments}) -> {str(found.return_annotation).strip(chr(39))}"


def hook_reference() -> str:
    """Tell every hook, family by family."""
    lines = ["## Lifecycle", "", *_hooks("", LifecycleSpec)]
    for family in FAMILIES:
        lines += [f"## {family.name}", "", *_hooks(family.name, family.spec)]
    return "\n".join(lines)


def _hooks(family: str, spec: type) -> Iterator[str]:
    yield from (prose(spec.__doc__), "")
    for each in FAMILIES:
        if each.name == family:
            yield from (f"Base class `hookgate.{each.base.__name__}`, entry-point group `{each.group}`.", "")
    for name, hook in specified(spec).items():
        found = ", ".join(f"[{_title(each)}](plugins/{_slug(each)}.md)" for each in users(family, name))
        yield from (f"### `{signature(name, hook)}`", "", prose(hook.__doc__), "")
        yield from (f"Implemented by: {found or 'no plugin that ships yet'}.", "")


def _slug(listed: Listed) -> str:
    return f"{listed.family}-{listed.name}"


def _title(listed: Listed) -> str:
    return f"{listed.family} {listed.name}"


def _example(listed: Listed) -> Path:
    return EXAMPLES / f"{_slug(listed)}.yaml"


def summary(listed: Listed) -> str:
    """Return the first paragraph of what a plugin says of itself."""
    return prose(listed.plugin.__doc__).split("\n\n")[0].replace("\n", " ")


def plugin_page(listed: Listed) -> str:
    """Tell one plugin."""
    plugin: Any = listed.plugin
    example = _example(listed).read_text(encoding="utf-8").strip()
    hooks = hooks_of(plugin, spec_of(listed.family))
    facts = {"distribution": [listed.distribution], "hooks": list(hooks)}
    if listed.family == "interceptor":
        facts |= {"category": [plugin.category], "may stand in": _lists(listed)}
    facts |= {"reads": sorted(plugin.reads), "writes": sorted(plugin.writes)}
    told = [f"- {name}: {', '.join(f'`{each}`' for each in facts[name])}" for name in facts if facts[name]]
    parts = [
        f"# {_title(listed)}",
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
    bare.entry = Entry("", listed.name, listed.family)
    return [side for side in SIDES if not misplaced(bare, side)]


def plugin_list() -> str:
    """Tell every plugin in a line, by family."""
    found = first_party()
    parts = []
    for family in FAMILIES:
        rows = [(f"[{each.name}]({_slug(each)}.md)", summary(each)) for each in found if each.family == family.name]
        if rows:
            parts += [f"## {family.plural}", "", family.summary, "", table(("name", "what it does"), rows)]
    return "\n".join(parts)


# --- the process ------------------------------------------------------------------------------------------------------


def commands() -> str:
    """Tell the commands of the command line."""
    rows = []
    groups = [(group.typer_instance.info.name + " ", group.typer_instance) for group in app.registered_groups]
    for prefix, group in [("", app), *groups]:
        for command in group.registered_commands:
            said = inspect.cleandoc(command.callback.__doc__ or "").split("\n\n")[0]
            rows.append((f"`hookgate {prefix}{command.name}`", said))
    return table(("command", "what it does"), rows)


def settings() -> str:
    """Tell the settings of the process."""
    rows = []
    for name, field in Settings.model_json_schema()["properties"].items():
        rows.append((f"`HOOKGATE_{name.upper()}`", kind(field), default(name, field, ()), prose(field["description"])))
    return table(("variable", "type", "default", "meaning"), rows)


# --- files ------------------------------------------------------------------------------------------------------------


def blocks() -> dict[str, Callable[[], str]]:
    """Return what may stand between markers, by name."""
    told: dict[str, Callable[[], str]] = {
        "hooks": hook_reference,
        "plugins": plugin_list,
        "commands": commands,
        "settings": settings,
    }
    for name, record in SECTIONS.items():
        told[name] = lambda record=record: section(record)
    return told


def pages() -> Iterator[tuple[Path, str]]:
    """Yield every generated page with what it should hold."""
    told = blocks()
    for path in sorted([*DOCS.glob("*.md"), DOCS / "plugins" / "index.md"]):
        if path.exists():
            before = path.read_text(encoding="utf-8")
            yield path, BLOCK.sub(lambda match: f"{match[1]}{match[2]}\n{told[match[1]]().strip()}\n\n", before)
    for listed in first_party():
        if _example(listed).exists():
            yield DOCS / "plugins" / f"{_slug(listed)}.md", plugin_page(listed)


def missing() -> list[Path]:
    """Return the examples that somebody still has to write."""
    return [_example(listed) for listed in first_party() if not _example(listed).exists()]


def main(arguments: list[str]) -> int:
    """Renew the pages, or say which are stale."""
    if arguments not in ([], ["--write"]):
        print("usage: python docs/generate.py [--write]", file=sys.stderr)
        return 2
    wanted = dict(pages())
    stale = [p for p, text in wanted.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    orphans = [p for p in (DOCS / "plugins").glob("*.md") if p not in wanted]
    for path in stale if arguments else ():
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    for path in orphans if arguments else ():
        path.unlink()
    for path in [*stale, *orphans]:
        print(f"{'wrote' if arguments else 'stale:'} {path.relative_to(ROOT)}")
    unwritten = missing()
    for path in unwritten:
        print(f"missing: {path.relative_to(ROOT)}, a document that shows the plugin at work")
    return 1 if unwritten or ((stale or orphans) and not arguments) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
