"""``hookgate plugins``: what is installed, and what one plugin offers."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer
from rich.text import Text

from hookgate import Interceptor, Plugin
from hookgate.commands import errors, out, table
from hookgate.contract import hooks_of
from hookgate.document import Catalogue
from hookgate.server import Settings


def command(
    name: Annotated[str | None, typer.Argument(help="A plugin, to see its options: cors, or auth/basic.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the installed plugins, or show one with its options and hooks. A broken one is listed with the reason."""
    catalogue = Catalogue(Settings().plugins_dir)
    listing = catalogue.listing()
    if name is not None:
        family, _, wanted = name.rpartition("/")
        listing = [entry for entry in listing if entry.name == wanted and family in ("", entry.family)]
        if not listing:
            errors.print(f"no plugin is installed under the name {name!r}; `hookgate plugins` lists them")
            raise typer.Exit(1)
    if json:
        out.print_json(data=[_facts(catalogue, entry) for entry in listing])
    elif name is None:
        _table(listing)
    else:
        for entry in listing:
            _details(_facts(catalogue, entry))


def _table(listing: list[Any]) -> None:
    rows = [
        (
            entry.family,
            entry.name,
            entry.version,
            Text(f"broken: {entry.reason}", style="red") if entry.plugin is None else _summary(entry.plugin),
        )
        for entry in listing
    ]
    out.print(table(("family", "name", "version", "what it does"), rows, whole=("family", "name", "version")))


def _summary(plugin: type[Plugin[Any]]) -> str:
    module = inspect.getmodule(plugin)
    text = inspect.getdoc(plugin) or (module.__doc__ if module else "") or ""
    return text.strip().split("\n\n")[0].replace("\n", " ")


def _facts(catalogue: Catalogue, entry: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "family": entry.family,
        "name": entry.name,
        "distribution": entry.distribution,
        "version": entry.version,
    }
    if entry.plugin is None:
        return {**facts, "broken": entry.reason}
    spec = catalogue.families[entry.family].spec
    return {
        **facts,
        "summary": _summary(entry.plugin),
        "description": inspect.getdoc(entry.plugin) or "",
        **_placement(entry.plugin),
        "hooks": list(hooks_of(entry.plugin, spec)),
        "reads": sorted(entry.plugin.reads),
        "writes": sorted(entry.plugin.writes),
        "options": entry.plugin.options_type.model_json_schema(),
    }


def _placement(plugin: type[Plugin[Any]]) -> dict[str, Any]:
    """Say of a step what it is and where it may stand (FL-7, FL-10, FL-11); nothing of other plugins."""
    if not issubclass(plugin, Interceptor):
        return {}
    return {"category": plugin.category, "sides": sorted(plugin.sides), "scopes": sorted(plugin.scopes)}


def _details(facts: dict[str, Any]) -> None:
    out.print(
        Text.assemble((facts["name"], "bold"), f"  {facts['family']}, {facts['distribution']} {facts['version']}")
    )
    if "broken" in facts:
        out.print(Text(f"broken: {facts['broken']}", style="red"))
        return
    out.print(Text(facts["description"]))
    out.print()
    if "category" in facts:
        out.print(Text(f"category: {facts['category']}"))
    out.print(Text(f"hooks: {', '.join(facts['hooks'])}"))
    for title in ("reads", "writes"):
        if facts[title]:
            out.print(Text(f"{title}: {', '.join(facts[title])}"))
    schema = facts["options"]
    if not schema.get("properties"):
        out.print(Text("\nIt has no options."))
        return
    required = schema.get("required", [])
    rows = [
        (
            name,
            _type(field),
            "required" if name in required else repr(field.get("default")),
            " ".join(field.get("description", "").split()),
        )
        for name, field in schema["properties"].items()
    ]
    out.print()
    out.print(table(("option", "type", "default", "meaning"), rows, whole=("option",)))


def _type(field: dict[str, Any]) -> str:
    if "x-hookgate-family" in field:
        return f"{field['x-hookgate-family']} plugin"
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    if "anyOf" in field:
        return " | ".join(dict.fromkeys(_type(each) for each in field["anyOf"]))
    if field.get("type") == "array":
        return f"list of {_type(field.get('items', {}))}"
    if "$ref" in field:
        return str(field["$ref"].rsplit("/", 1)[-1])
    return "secret" if field.get("writeOnly") else str(field.get("format") or field.get("type") or "anything")
