"""Workflows: definitions, node types as plugins, and an engine with a journal.

These names are for those who write node types and executors.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hookgate_workflows.executors import EXECUTORS, Executor, JournalAway, Runner
from hookgate_workflows.family import NODES, Called, Cell, Done, Node, NodeFailed, Pause

if TYPE_CHECKING:
    from hookgate_workflows.templating import Template, Templated
    from hookgate_workflows.trial import TrialCell

_WHEN_NEEDED = {"Template": "templating", "Templated": "templating", "TrialCell": "trial"}
"""What needs Jinja2's sandbox: a gateway without workflows starts faster."""

__all__ = [
    "EXECUTORS",
    "NODES",
    "Called",
    "Cell",
    "Done",
    "Executor",
    "JournalAway",
    "Node",
    "NodeFailed",
    "Pause",
    "Runner",
    "Template",
    "Templated",
    "TrialCell",
]


def __getattr__(name: str) -> Any:
    if name not in _WHEN_NEEDED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHEN_NEEDED[name]}"), name)
