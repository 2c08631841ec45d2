"""The record of a definition: cells and transitions, as the seed has them in JSON, and likewise in YAML (CR-21)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from hookgate import Options
from hookgate.contract import Described
from hookgate_workflows.family import BY_PEOPLE, ERROR, Node

MOST_CELLS = 1000
MOST_TRANSITIONS = 10_000
CellName = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f](.{0,98}[^\s\x00-\x1f])?$", max_length=100)]
OutputName = Annotated[str, Field(pattern=r"^[^.\x00-\x1f]{1,100}$")]


class CellSection(Options):
    """One cell: what it does, with which parameters, and the outputs that it has."""

    original_name: Annotated[str, Field(min_length=1, max_length=100)]
    """The type of its node, such as `http_call`."""
    params: dict[str, Any] = Field(default_factory=dict, json_schema_extra={"x-hookgate-options-of": "node"})
    """The parameters of the node; most of them may hold templates."""
    outputs: tuple[OutputName, ...] | None = Field(default=None, max_length=100)
    """The outputs that transitions may lead from. Left out, they are all that the node has."""
    description: str = Field(default="", max_length=1000)
    """What it is for."""
    x: float | None = None
    """Where an editor draws it."""
    y: float | None = None
    """Where an editor draws it."""
    color: str = Field(default="", max_length=50)
    """How an editor draws it."""
    _node: Node[Any] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _built(self, info: ValidationInfo) -> Self:
        builder = (info.context or {}).get("builder")
        if builder is None:
            return self
        try:
            self._node = builder.nested("node", {self.original_name: self.params})
        except PydanticCustomError as error:
            found = (error.context or {}).get("problems")
            if found is not None:  # told at the parameters, which is where they stand
                name = self.original_name
                found[:] = [each if each.path[:1] != (name,) else _moved(each, name) for each in found]
            raise
        return self

    @property
    def node(self) -> Node[Any]:
        """What it does; there once a document has been loaded."""
        assert self._node is not None
        return self._node

    def take(self, node: Node[Any]) -> None:
        """Take what it does, where no document is loaded."""
        self._node = node

    @property
    def offered(self) -> tuple[str, ...]:
        """The outputs that transitions may lead from."""
        return tuple(self.node.outputs) if self.outputs is None else self.outputs

    @property
    def possible(self) -> tuple[str, ...]:
        """The outputs that its node can have."""
        return (*self.node.outputs, ERROR, *BY_PEOPLE)


def _moved(problem: Any, name: str) -> Any:
    if len(problem.path) == 1 and problem.at_key:
        return type(problem)(("original_name",), problem.message)
    return type(problem)(("params", *problem.path[1:]), problem.message, at_key=problem.at_key)


Transition = tuple[str, str]


class WorkflowSection(Described):
    """A workflow: cells, and transitions from the output of one to another."""

    description: str = Field(default="", max_length=4000)
    """What it is for."""
    cells: dict[CellName, CellSection] = Field(max_length=MOST_CELLS)
    """Its cells, by name. One is a `start`, one at least an `end`."""
    transitions: tuple[Transition, ...] = Field(default=(), max_length=MOST_TRANSITIONS)
    """`["cell.output", "cell"]`: where an instance goes on when a cell ends with an output."""

    @field_validator("transitions")
    @classmethod
    def _with_outputs(cls, transitions: tuple[Transition, ...]) -> tuple[Transition, ...]:
        for source, _ in transitions:
            cell, dot, output = source.rpartition(".")
            if not (cell and dot and output):
                raise ValueError(f"{source!r} leads from no output: write \"cell.output\", as in 'start.ok'")
        return transitions

    def body(self) -> dict[str, Any]:
        """Return it as plain values, without what only an editor needs."""
        cells: dict[str, Any] = {}
        for name, cell in self.cells.items():
            told: dict[str, Any] = {"original_name": cell.original_name}
            if cell.params:
                told["params"] = cell.params
            if cell.outputs is not None:
                told["outputs"] = list(cell.outputs)
            cells[name] = told
        return {"cells": cells, "transitions": [list(each) for each in self.transitions]}


def digest_of(body: Mapping[str, Any]) -> str:
    """Return what tells one definition from another."""
    return hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()


Method = Literal["get", "post", "put", "delete", "patch", "head", "options"]
