"""The section ``workflows``: definitions, which are checked when a document is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from hookgate import Item, Loaded, Problem, Section, Site, hookimpl
from hookgate.document import Catalogue, checked
from hookgate.exchange import Path, near
from hookgate_workflows.family import BY_PEOPLE, ERROR
from hookgate_workflows.graph import Graph, problems, warnings
from hookgate_workflows.records import WorkflowSection


class Workflows(Section[WorkflowSection]):
    """Workflows, by name: cells, and transitions between them."""

    def __init__(self, items: Sequence[Item[WorkflowSection]] = ()) -> None:
        super().__init__(items)
        self._problems = [each for item in self.items for each in problems(item.record, item.path)]
        if not self._problems:
            self._problems = list(_wrong_runs({item.name: item for item in self.items}))
        self.graphs: Mapping[str, Graph] = (
            {} if self._problems else {item.name: Graph(item.name, item.record) for item in self.items}
        )
        """What is run, by name."""

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Tell what is wrong with definitions."""
        yield from self._problems

    @hookimpl
    def review(self, configuration: Loaded) -> Iterator[Problem]:
        """Warn of what can be meant so, and seldom is."""
        for item in self.items:
            yield from warnings(item.record, item.path)


def _wrong_runs(items: Mapping[str, Item[WorkflowSection]]) -> Iterator[Problem]:
    """Tell of cells that run a workflow which is not there, or go on at an end which that one does not have."""
    for item in items.values():
        ran = {name: cell.node.runs for name, cell in item.record.cells.items() if cell.node.runs}
        for name, wanted in ran.items():
            if wanted not in items:
                message = f"there is no workflow {wanted!r}{near(wanted, items)}"
                yield Problem((*item.path, "cells", name, "params", "workflow"), message)
        for index, (source, _) in enumerate(item.record.transitions):
            name, _, output = source.rpartition(".")
            if ran.get(name) not in items or not item.record.cells[name].node.ends:
                continue
            cells = items[ran[name]].record.cells
            ends = [each for each, cell in cells.items() if cell.node.role == "end"]
            if output not in (*ends, ERROR, *BY_PEOPLE):
                message = f"the workflow {ran[name]!r} has no end {output!r}{near(output, ends, listed=False)}"
                yield Problem((*item.path, "transitions", index, 0), f"{message}; it has: {', '.join(ends)}")


def built(section: WorkflowSection, path: Path) -> list[Problem]:
    """Build the nodes of a definition where no document is loaded; return what is wrong with them."""
    found: list[Problem] = []
    catalogue = Catalogue()
    for name, cell in section.cells.items():
        at = (*path, "cells", name)
        try:
            cls: Any = catalogue.get("node", cell.original_name)
        except LookupError as error:
            found.append(Problem((*at, "original_name"), str(error)))
            continue
        options = checked(cls.options_type, cell.params, (*at, "params"), found)
        if options is not None:
            cell.take(cls(options))
    return found


def older(name: str, row: Mapping[str, Any]) -> Graph:
    """Build the graph of a definition that is not live any more.

    Raises:
        ValueError: it cannot be used any more.
    """
    found: list[Problem] = []
    section = checked(WorkflowSection, orjson.loads(row["body"]), (), found)
    if section is not None:
        found += built(section, ())
    if section is not None and not found:
        found += problems(section, ())
    if section is None or found:
        raise ValueError("; ".join(map(str, found)))
    return Graph(name, section)
