"""``hookgate workflow replay|skip|rollback|close|actions|approve``: what people do to instances that run somewhere."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from hookgate.commands import errors, say
from hookgate_management import ManagementOption, TokenOption, asked

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The number or GUID of a transaction.")]
TaskArgument = Annotated[
    int | None, typer.Argument(metavar="TASK", help="The number of the task; left out, the only one that offers it.")
]
ChildrenOption = Annotated[bool, typer.Option("--children", help="All sub-instances of it, and not itself.")]


def add_repairs(group: typer.Typer) -> None:
    """Add the commands."""
    for command in (replay, skip, rollback, close, actions, approve):
        group.command(command.__name__)(command)


def replay(
    instance: IdArgument,
    task: TaskArgument = None,
    children: ChildrenOption = False,
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Run a task again that has failed."""
    _repair("replay", instance, task, children, "", management, token_file)


def skip(
    instance: IdArgument,
    task: TaskArgument = None,
    children: ChildrenOption = False,
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Go on from the output `skip` of a task that has failed."""
    _repair("skip", instance, task, children, "", management, token_file)


def rollback(
    instance: IdArgument,
    task: TaskArgument = None,
    children: ChildrenOption = False,
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Go on from the output `rollback` of a task that has failed."""
    _repair("rollback", instance, task, children, "", management, token_file)


def close(
    instance: IdArgument,
    children: ChildrenOption = False,
    reason: Annotated[str, typer.Option(help="Why, for those who look at it later.")] = "",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Close an instance that is not over, and its sub-instances. This cannot be undone."""
    _repair("close", instance, None, children, reason, management, token_file)


def actions(management: ManagementOption = None, token_file: TokenOption = None) -> None:
    """List what instances ask people now."""
    for each in asked(management, token_file, lambda client: client.call("GET", "/actions"))["actions"]:
        say(f"{each['id']}  {each['title']}  [{', '.join(each['answers'])}]")


def approve(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="The id of an action, as `actions` lists it.")],
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse it.")] = False,
    answer: Annotated[str, typer.Option(help="Another answer that the action offers.")] = "",
    comment: Annotated[str, typer.Option(help="Why, for the workflow and the list of tasks.")] = "",
    management: ManagementOption = None,
    token_file: TokenOption = None,
) -> None:
    """Approve what an instance asks, or answer something else."""
    if refuse and answer:
        raise typer.BadParameter("write --refuse or --answer", param_hint="--answer")
    body = {"answer": answer or ("refused" if refuse else "approved"), "comment": comment}
    path = f"/actions/{quote(action, safe='')}"
    told = asked(management, token_file, lambda client: client.call("POST", path, body))
    say(f"{told['answer']}: transaction {told['transaction']}")


def _repair(
    action: str, instance: str, task: int | None, children: bool, reason: str, management: Any, token_file: Any
) -> None:
    body = {"action": action, "task": task, "children": children, "reason": reason}
    path = f"/transactions/{quote(instance, safe='')}/repairs"
    told = asked(management, token_file, lambda client: client.call("POST", path, body))
    if not children:
        say(f"{action}: transaction {told['id']}")
        return
    say(f"{action}: {len(told['done'])} sub-instances of transaction {told['id']}")
    for each in told["refused"]:
        errors.print(f"{each['id']}: {each['detail']}", markup=False, highlight=False)
    if told["more"]:
        errors.print("there are more: ask again", markup=False)
    if told["refused"] or told["more"]:
        raise typer.Exit(1)
