"""Cells that only lead on: where a workflow begins and ends, where ways meet, and comments."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hookgate import Options, hookimpl
from hookgate_workflows.family import Cell, Done, Node


class Start(Node[Options]):
    """Where every instance begins; a workflow has exactly one."""

    role = "start"

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Go on."""
        return Done()


class End(Node[Options]):
    """Where an instance is over. There may be several; the name of the cell then says which it was."""

    role = "end"
    outputs = ()

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Be over."""
        return Done("")


class OrOutputs(Node[Options]):
    """Goes on with the first of its inputs that comes; the others end here."""

    inputs = "any"

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Go on."""
        return Done()


class SyncOutputs(Node[Options]):
    """Goes on once all of its inputs have come."""

    inputs = "all"

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Go on."""
        return Done()


class GotoOptions(Options):
    """Parameters of `goto`."""

    target: Annotated[str, Field(min_length=1, max_length=100)]
    """The name of the cell that the instance goes on with."""


class Goto(Node[GotoOptions]):
    """Goes on with another cell, without a transition that would cross the drawing."""

    outputs = ()

    @property
    def goes_to(self) -> str:
        """The cell."""
        return self.options.target

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Go on."""
        return Done("")


class NoteOptions(Options):
    """Parameters of `note`."""

    text: Annotated[str, Field(max_length=10_000)] = ""
    """What is to be read."""


class Note(Node[NoteOptions]):
    """A comment in the drawing; it is never run."""

    role = "comment"
    outputs = ()

    @hookimpl
    async def run(self, cell: Cell) -> Done:
        """Be read."""
        return Done()
