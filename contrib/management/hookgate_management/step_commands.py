"""``hookgate step``: the steps of a flow of a running gateway, placed by their position (FL-56)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from hookgate import Command, Options, hookimpl
from hookgate.commands import errors, out
from hookgate.document import parse
from hookgate_management.client import Written
from hookgate_management.commands import ManagementOption, TokenOption, asked
from hookgate_management.draft_commands import (
    DryRun,
    KindArgument,
    NameArgument,
    Wait,
    saved_told,
    switches,
    written_told,
)

StepArgument = Annotated[str, typer.Argument(metavar="STEP", help="Id of the step, as `hookgate step list` tells it.")]
FlowOption = Annotated[str, typer.Option("--flow", help="inbound, outbound or both.")]
ResourceOption = Annotated[str | None, typer.Option("--resource", help="Path of a resource. Default: the whole API.")]
OperationOption = Annotated[str | None, typer.Option("--operation", help="Method of an operation of the resource.")]
BreakOption = Annotated[bool, typer.Option("--break", help="Do it though it breaks the flow of a scope.")]
DraftOption = Annotated[bool, typer.Option("--draft", help="Change the draft, and nothing that is served.")]
PositionOption = Annotated[int, typer.Option("--position", min=0, help="From the client, counted from 0.")]


class StepCommands(Command[Options]):
    """Add, move and remove steps of the flows of a running gateway."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `step`."""
        group = typer.Typer(help="Add, move and remove steps of flows of a running gateway.", no_args_is_help=True)
        for word, run in (("list", listed), ("add", add), ("move", move), ("remove", remove)):
            group.command(word)(run)
        commands.add_typer(group, name="step")


def listed(
    kind: KindArgument,
    name: NameArgument,
    draft: Annotated[bool, typer.Option("--draft", help="Of the draft.")] = False,
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """List the steps of an API, a route or a plan, as drawn, the client on the left."""
    found = asked(management, token_file, lambda client: client.steps(kind, name, **switches(draft=draft)))
    for scope in found:
        out.print(scope["scope"] or name, style="bold")
        for flow in ("inbound", "outbound"):
            broken = ", broken" if scope[flow]["broken"] else ""
            out.print(f"  {flow}{broken}")
            for index, step in enumerate(scope[flow]["steps"]):
                above = f"  from {step['inherited_from']}" if step["inherited_from"] else ""
                out.print(f"    {index:>2} {step['id']}{above}")


def add(
    kind: KindArgument,
    name: NameArgument,
    step: Annotated[str, typer.Argument(metavar="STEP", help="The step as a document has it: `cors: {…}`.")],
    position: Annotated[int | None, typer.Option("--position", min=0, help="From the client, counted from 0.")] = None,
    flow: FlowOption = "both",
    resource: ResourceOption = None,
    operation: OperationOption = None,
    draft: DraftOption = False,
    breaking: BreakOption = False,
    dry_run: DryRun = False,
    wait: Wait = "live",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Add a step, at the end where no position is given. What changes and what breaks is told."""
    entry = parse(f"step: {step}\n".encode() if ":" not in step else f"step: {{{step}}}\n".encode(), "STEP.yaml").value
    place = {"step": entry["step"]} | ({} if position is None else {"position": position})
    query = switches(draft=draft, break_=breaking, dry_run=dry_run) | _waiting(wait)
    _done("add", kind, name, place | _where(flow, resource, operation), query, management, token_file)


def move(
    kind: KindArgument,
    name: NameArgument,
    step: StepArgument,
    position: PositionOption,
    flow: FlowOption = "both",
    resource: ResourceOption = None,
    operation: OperationOption = None,
    draft: DraftOption = False,
    breaking: BreakOption = False,
    dry_run: DryRun = False,
    wait: Wait = "live",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Move a step to another position, counted without it."""
    place = {"step": step, "position": position, **_where(flow, resource, operation)}
    query = switches(draft=draft, break_=breaking, dry_run=dry_run) | _waiting(wait)
    _done("move", kind, name, place, query, management, token_file)


def remove(
    kind: KindArgument,
    name: NameArgument,
    step: StepArgument,
    flow: FlowOption = "both",
    resource: ResourceOption = None,
    operation: OperationOption = None,
    draft: DraftOption = False,
    breaking: BreakOption = False,
    dry_run: DryRun = False,
    wait: Wait = "live",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Remove a step."""
    place = {"step": step, **_where(flow, resource, operation)}
    query = switches(draft=draft, break_=breaking, dry_run=dry_run) | _waiting(wait)
    _done("remove", kind, name, place, query, management, token_file)


def _where(flow: str, resource: str | None, operation: str | None) -> dict[str, str]:
    said = {"flow": flow, "resource": resource, "operation": operation}
    return {name: value for name, value in said.items() if value is not None}


def _waiting(wait: str) -> dict[str, str]:
    return {} if wait == "0" else {"wait": wait}


def _done(
    verb: str, kind: str, name: str, place: Mapping[str, Any], query: dict[str, str], management: Any, token_file: Any
) -> None:
    done = asked(management, token_file, lambda client: client.step(verb, kind, name, place, version=None, **query))
    _preview(done["preview"])
    if "saved" in done:
        saved_told(done, kind, name)
    else:
        written = Written(done["generation"], done["digest"], done["written"], done.get("live"), ())
        written_told(written)


def _preview(told: Iterable[Mapping[str, Any]]) -> None:
    for each in told:
        flow = "inbound" if each["direction"] == "request" else "outbound"
        changes = [f"+ {key}" for key in each["added"]] + [f"- {key}" for key in each["removed"]]
        changes += [f"order: {', '.join(each['order'])}"] if each["moved"] else []
        if changes:
            out.print(f"{each['scope']} {flow}: {', '.join(changes)}")
        if each["breaks_at"] is not None:
            errors.print(f"! {each['scope']} {flow} breaks at {each['breaks_at']}", style="red")
        if each["missed"]:
            errors.print(f"! {each['scope']} {flow} is broken, and does not get that", style="red")
