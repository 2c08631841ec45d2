"""The section ``workflows``: definitions, which are checked when a document is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from hookgate import Item, Loaded, Problem, Section, Site, hookimpl
from hookgate.document import Catalogue, checked
from hookgate.exchange import Path
from hookgate_workflows.graph import Graph, problems, warnings
from hookgate_workflows.records import WorkflowSection


class Workflows(Section[WorkflowSection]):
    """Workflows, by name: cells, and transitions between them."""

    def __init__(self, items: Sequence[Item[WorkflowSection]] = ()) -> None:
        super().__init__(items)
        self._problems = [each for item in self.items for each in problems(item.record, item.path)]
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
