"""``hookgate workflow``: draws a definition, and tries templates."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from hookgate import Command, ConfigError, Options, Problem, hookimpl
from hookgate.commands import errors, say
from hookgate.document import checked, parse
from hookgate.exchange import Path as Place
from hookgate.exchange import near
from hookgate_workflows.definitions import built
from hookgate_workflows.diagram import lines
from hookgate_workflows.drawing import svg
from hookgate_workflows.graph import Graph, problems, warnings
from hookgate_workflows.records import WorkflowSection
from hookgate_workflows.repaircommands import add_repairs
from hookgate_workflows.templating import LONGEST_TEMPLATE, TemplateFailed, as_written, compiled

GROUP = "hookgate.workflow_commands"
"""Entry points: functions that add commands of other distributions to the group."""
LONGEST_FILE = 16 * 1024 * 1024


class WorkflowCommands(Command[Options]):
    """Draw a workflow, and try templates."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `workflow`."""
        group = typer.Typer(no_args_is_help=True, help="Draw workflows, try templates, and repair transactions.")
        group.command("show")(show)
        group.command("render")(render)
        points: Any = sorted(entry_points(group=GROUP), key=lambda point: point.name)
        for point in points:
            point.load()(group)
        add_repairs(group)
        commands.add_typer(group, name="workflow")


def show(
    file: Annotated[Path, typer.Argument(help="A document, or a definition with `cells` and `transitions`.")],
    name: Annotated[str, typer.Argument(help="Which workflow of the document; left out, all of them.")] = "",
    as_svg: Annotated[bool, typer.Option("--svg", help="Write SVG instead, for a page or a picture.")] = False,
) -> None:
    """Draw a workflow as text, and say what is wrong with it."""
    document = parse(_read(file), file.name)
    alone = "cells" in document.value
    found: dict[str, Any] = {file.stem: document.value} if alone else dict(document.value.get("workflows") or {})
    if name and name not in found:
        raise typer.BadParameter(f"there is no workflow {name!r}{near(name, found)}", param_hint="NAME")
    if as_svg and not name and len(found) != 1:
        raise typer.BadParameter(f"one drawing has one workflow: name one of {', '.join(found)}", param_hint="NAME")
    wrong: list[Problem] = []
    for each, written in found.items():
        if name in ("", each):
            wrong += _drawn(each, written, () if alone else ("workflows", each), as_svg=as_svg)
    if wrong:
        raise ConfigError([document.locate(each) for each in wrong])


def _drawn(name: str, written: Any, at: Place, *, as_svg: bool) -> list[Problem]:
    found: list[Problem] = []
    section = checked(WorkflowSection, written, at, found)
    if section is not None:
        found += built(section, at)
    if section is None or found:
        return found
    found += problems(section, at)
    if not found:
        graph = Graph(name, section)
        if as_svg:
            say(svg(graph).rstrip())
        else:
            say(name)
            for line in lines(graph):
                say(f"  {line}")
        for each in warnings(section, at):
            errors.print(f"warning: {each}", soft_wrap=True, highlight=False, markup=False)
    return found


def render(
    template: Annotated[str, typer.Argument(help="The template, such as `{{ request.body.name | upper }}`.")],
    values: Annotated[
        Path | None, typer.Option("--with", help="A JSON file with `request`, `context` and others.")
    ] = None,
) -> None:
    """Render a template with values, as a cell would, and print what it gives."""
    if len(template) > LONGEST_TEMPLATE:
        raise typer.BadParameter(f"a template has at most {LONGEST_TEMPLATE} characters")
    try:
        given = {} if values is None else orjson.loads(_read(values))
        if not isinstance(given, dict):
            raise TypeError
    except (ValueError, TypeError):
        raise typer.BadParameter("write a JSON object there", param_hint="--with") from None
    try:
        say(as_written(compiled(template).render({"request": None, "context": {}, **given})))
    except (TemplateFailed, ValueError) as error:
        raise typer.BadParameter(str(error), param_hint="TEMPLATE") from None


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(LONGEST_FILE + 1)
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > LONGEST_FILE:
        raise typer.BadParameter(f"{file} has more than {LONGEST_FILE} bytes")
    return data
