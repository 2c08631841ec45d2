"""The section ``bulk_actions``: what is done for each row, checked when a document is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from hookgate import Item, Problem, Section, Site, hookimpl
from hookgate_bulk.conversion import Row, Unreadable, told
from hookgate_bulk.records import BulkActionSection, BulkCallSection, read_rows
from hookgate_workflows import Graph, WorkflowSection, built, unheld

OWN_NAME = "call of "
"""What the workflow of a call is called, with the name of the action behind it."""


class BulkActions(Section[BulkActionSection]):
    """What can be done for each row of CSV or JSON, by name."""

    kind, plural = "bulk action", "bulk actions"

    def __init__(self, items: Sequence[Item[BulkActionSection]] = ()) -> None:
        super().__init__(items)
        self._problems: list[Problem] = []
        self._graphs: dict[str, Graph] = {}
        for item in self.items:
            if item.record.call is not None:
                self._make(item, item.record.call)
        self._problems += [each for item in self.items for each in _of_sample(item)]
        self.actions: Mapping[str, BulkActionSection] = {item.name: item.record for item in self.items}

    def graph(self, name: str, workflows: Any) -> Graph:
        """Return what a row of an action runs; ``workflows`` is the section of that name.

        Raises:
            LookupError: there is no such action.
        """
        workflow = self.actions[name].workflow
        found: Graph = self._graphs[name] if workflow is None else workflows.graphs[workflow]
        return found

    def _make(self, item: Item[BulkActionSection], call: BulkCallSection) -> None:
        section = WorkflowSection.model_validate(_definition(call))
        if found := built(section, (*item.path, "call")):
            for each in found:
                path = each.path[: len(item.path) + 1] + each.path[len(item.path) + 4 :]
                self._problems.append(Problem(path, each.message, at_key=each.at_key))
        else:
            self._graphs[item.name] = Graph(f"{OWN_NAME}{item.name}"[:200], section)

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Tell what is wrong with actions."""
        yield from self._problems
        yield from unheld(site, self.items, workflow="workflows")


def _definition(call: BulkCallSection) -> dict[str, Any]:
    params: dict[str, Any] = {
        "method": call.method,
        "url": call.url.compiled.source,
        "headers": {name: each.compiled.source for name, each in call.headers.items()},
        "timeout": call.timeout,
        "output_context_key": "*response*",
        "http_codes": ["2**"],
    }
    if call.connection is not None:
        params["connection"] = str(call.connection)
    if call.may_repeat is not None:
        params["may_repeat"] = call.may_repeat
    if call.body is not None:
        params["body"] = call.body.written
    elif call.method.upper() in ("POST", "PUT", "PATCH"):
        params["body"] = "{{ request.body }}"
    cells = {
        "start": {"original_name": "start"},
        "call": {"original_name": "http_call", "params": params},
        "end": {"original_name": "end"},
    }
    return {"cells": cells, "transitions": [["start.ok", "call"], ["call.2**", "end"]]}


def sample_of(record: BulkActionSection) -> tuple[bytes, bool] | None:
    """Return the example of an action, and whether it is CSV."""
    match record.sample_input:
        case None:
            return None
        case str() as text:
            return text.encode(), True
        case listed:
            return orjson.dumps(listed), False


def _of_sample(item: Item[BulkActionSection]) -> Iterator[Problem]:
    record, found = item.record, sample_of(item.record)
    if found is None:
        return
    content, is_csv = found
    try:
        rows: list[Row] = read_rows(content, record, record.validation_schema, is_csv=is_csv)
    except Unreadable as error:
        yield Problem((*item.path, "sample_input"), str(error))
        return
    for each in told(rows, 1):
        first = each["errors"][0]
        yield Problem((*item.path, "sample_input"), f"row {each['row']}: {first['pointer']} {first['detail']}".strip())
