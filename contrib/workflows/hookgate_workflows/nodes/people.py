"""Cells that ask people: approvals, and actions that somebody does by hand (WF-1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from hookgate import Options, hookimpl
from hookgate_workflows.deciding import ACTION
from hookgate_workflows.family import STOPPED, Cell, Done, Node, NodeFailed, Pause
from hookgate_workflows.nodes.timing import seconds_of
from hookgate_workflows.records import CellName, OutputName
from hookgate_workflows.templating import Template

CANCELLED, TIMED_OUT = "cancelled", "timed_out"
LONGEST_TITLE, LONGEST_TEXT, MOST_PEOPLE = 200, 20_000, 100
People = Annotated[tuple[Template, ...], Field(max_length=MOST_PEOPLE)]


class AskingOptions(Options):
    """What all cells have that ask people."""

    title: Template
    """What is asked, in one line; a template."""
    text: Template | None = None
    """What whoever answers has to know; a template."""
    users: People = ()
    """Who may answer, by name; templates."""
    roles: People = ()
    """Who may answer, by role; templates. With neither `users` nor `roles` only operators may."""
    timeout: Template | None = None
    """How long it waits for an answer: `2 h`, `3 days`; then it goes on at `timed_out`. Left out, for ever."""
    output_context_key: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The key of the context that the answer is put under: `answer`, `by`, `comment`, `at` and `data`."""


class ApprovalOptions(AskingOptions):
    """Parameters of `user_approval`."""

    owner_may: bool = False
    """Whether who has started the instance may approve it."""


class ManualActionOptions(AskingOptions):
    """Parameters of `trigger_manual_action`."""

    owner_may: bool = True
    """Whether who has started the instance may do it."""
    actions: Annotated[tuple[OutputName, ...], Field(min_length=1, max_length=20)] = ("done",)
    """What may be answered; each is an output."""

    @model_validator(mode="after")
    def _right(self) -> Self:
        for each in self.actions:
            if each in (CANCELLED, TIMED_OUT, "error", "skip", "rollback"):
                raise ValueError(f"{each!r} is an output that the cell has anyway; call the action something else")
        if len(set(self.actions)) != len(self.actions):
            raise ValueError("an action is named twice")
        return self


async def _ask(cell: Cell, options: AskingOptions, answers: Sequence[str], *, owner_may: bool) -> Done | Pause:
    if cell.is_resumed:
        return _answered(cell, options)
    title = " ".join((await cell.text(options.title)).split())
    text = "" if options.text is None else await cell.text(options.text)
    if not title or len(title) > LONGEST_TITLE or len(text) > LONGEST_TEXT:
        raise NodeFailed(f"a title has 1 to {LONGEST_TITLE} characters, and a text at most {LONGEST_TEXT}")
    users = [await cell.text(each) for each in options.users]
    roles = [await cell.text(each) for each in options.roles]
    until = None
    if options.timeout is not None:
        try:
            until = cell.host.clock.wall() + seconds_of(await cell.text(options.timeout))
        except ValueError as error:
            raise NodeFailed(str(error)) from None
    asked: dict[str, Any] = {"title": title, "text": text, "users": users, "roles": roles, "answers": list(answers)}
    cell.given(**asked, until=until, owner_may=owner_may)
    return Pause(until, ACTION, f"asks: {title}")


def _answered(cell: Cell, options: AskingOptions) -> Done:
    if cell.resumed is None:
        return Done(TIMED_OUT)
    if cell.resumed == STOPPED:
        return Done(CANCELLED)
    if options.output_context_key is not None:
        cell.set(options.output_context_key, cell.resumed)
    return Done(cell.resumed["answer"])


class UserApproval(Node[ApprovalOptions]):
    """Waits until somebody approves or refuses."""

    pauses = True
    _answers = ("approved", "refused")

    @property
    def outputs(self) -> Sequence[str]:
        """What may be answered, and what becomes of it where nobody does."""
        return (*self._answers, *((TIMED_OUT,) if self.options.timeout is not None else ()), CANCELLED)

    @hookimpl
    async def run(self, cell: Cell) -> Done | Pause:
        """Ask."""
        return await _ask(cell, self.options, self._answers, owner_may=self.options.owner_may)


class TriggerManualAction(Node[ManualActionOptions]):
    """Waits until somebody has done something, and says so."""

    pauses = True

    @property
    def outputs(self) -> Sequence[str]:
        """What may be answered, and what becomes of it where nobody does."""
        return (*self.options.actions, *((TIMED_OUT,) if self.options.timeout is not None else ()), CANCELLED)

    @hookimpl
    async def run(self, cell: Cell) -> Done | Pause:
        """Ask."""
        return await _ask(cell, self.options, self.options.actions, owner_may=self.options.owner_may)


class CancelManualActionOptions(Options):
    """Parameters of `cancel_manual_action`."""

    action: CellName
    """The cell, a `trigger_manual_action` or a `user_approval`, whose question is withdrawn."""


class CancelManualAction(Node[CancelManualActionOptions]):
    """Withdraws what another cell asks, which then goes on at `cancelled`. Where it asks nothing, nothing is done."""

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Withdraw it."""
        if not cell.stop(self.options.action):
            cell.message(f"{self.options.action} asks nobody")
        return Done()
