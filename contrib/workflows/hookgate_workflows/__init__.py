"""Workflows: definitions, node types as plugins, and an engine with a journal.

These names are for those who write node types and executors, and for distributions that start instances or watch them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hookgate_workflows.executors import EXECUTORS, Executor, JournalAway, Runner
from hookgate_workflows.family import NODES, Called, Cell, Done, Node, NodeFailed, Pause

if TYPE_CHECKING:
    from hookgate_workflows.definitions import Workflows, built, older
    from hookgate_workflows.filters import pattern
    from hookgate_workflows.graph import Graph
    from hookgate_workflows.instance import Instance
    from hookgate_workflows.journal import ACTIVE, ERRORS, SUCCESS, Fenced
    from hookgate_workflows.pages import OPERATE, TRANSACTIONS
    from hookgate_workflows.records import WorkflowSection
    from hookgate_workflows.referring import unheld
    from hookgate_workflows.requests import is_json, request_of
    from hookgate_workflows.routerecord import WorkflowName
    from hookgate_workflows.schemas import Schema
    from hookgate_workflows.section import WorkflowEngine
    from hookgate_workflows.step import RunWorkflowOptions, WorkflowStep
    from hookgate_workflows.tables import instances
    from hookgate_workflows.templating import Template, Templated
    from hookgate_workflows.trial import TrialCell
    from hookgate_workflows.watching import Also

_WHEN_NEEDED = {
    name: module
    for module, names in {
        "definitions": "Workflows built older",
        "filters": "pattern",
        "graph": "Graph",
        "instance": "Instance",
        "journal": "ACTIVE ERRORS SUCCESS Fenced",
        "pages": "OPERATE TRANSACTIONS",
        "records": "WorkflowSection",
        "requests": "is_json request_of",
        "referring": "unheld",
        "routerecord": "WorkflowName",
        "schemas": "Schema",
        "section": "WorkflowEngine",
        "step": "RunWorkflowOptions WorkflowStep",
        "tables": "instances",
        "templating": "Template Templated",
        "trial": "TrialCell",
        "watching": "Also",
    }.items()
    for name in names.split()
}
"""What needs a store or Jinja2's sandbox: a gateway without workflows starts faster."""

__all__ = [
    "ACTIVE",
    "ERRORS",
    "EXECUTORS",
    "NODES",
    "OPERATE",
    "SUCCESS",
    "TRANSACTIONS",
    "Also",
    "Called",
    "Cell",
    "Done",
    "Executor",
    "Fenced",
    "Graph",
    "Instance",
    "JournalAway",
    "Node",
    "NodeFailed",
    "Pause",
    "RunWorkflowOptions",
    "Runner",
    "Schema",
    "Template",
    "Templated",
    "TrialCell",
    "WorkflowEngine",
    "WorkflowName",
    "WorkflowSection",
    "WorkflowStep",
    "Workflows",
    "built",
    "instances",
    "is_json",
    "older",
    "pattern",
    "request_of",
    "unheld",
]


def __getattr__(name: str) -> Any:
    if name not in _WHEN_NEEDED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHEN_NEEDED[name]}"), name)
