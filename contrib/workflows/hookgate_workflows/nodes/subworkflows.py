"""Cells that run other workflows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic import Field

from hookgate import Options, hookimpl
from hookgate_workflows.family import ERROR, Cell, Done, Node, NodeFailed, Pause, Sub
from hookgate_workflows.nodes.setting import ContextKey
from hookgate_workflows.subworkflows import KEY
from hookgate_workflows.templating import Template, Templated

LOOK = 60.0
"""Seconds after which a cell looks at the workflows that it waits for, should nobody tell it."""
MOST = 1000
Name = str


class MacroOptions(Options):
    """Parameters of `macro`."""

    workflow: Name = Field(min_length=1, max_length=200)
    """The workflow that is run."""
    request: Templated = Templated("{{ request }}")
    """What it sees as `request`. It sees the context of this instance as `parent_instance_context`."""
    label: Template = Template("")
    """What its instance is found by."""
    output_context_key: ContextKey | None = None
    """The key that its context is put under, once it is over."""


class Macro(Node[MacroOptions]):
    """Runs one other workflow, and goes on at the name of the end that it has reached. Where it fails, this cell fails;
    where it waits, this instance waits with it."""

    slow = True
    ends = True
    outputs = ()

    @property
    def runs(self) -> str:
        """The workflow."""
        return self.options.workflow

    @hookimpl
    async def run(self, cell: Cell) -> Done | Pause:
        """Run it.

        Raises:
            NodeFailed: it has failed.
        """
        options = self.options
        request = await cell.value(options.request)
        found = await cell.sub(0, options.workflow, request, await cell.text(options.label))
        cell.given(workflow=options.workflow, instance=found.id)
        if not found.is_over:
            return _waits(cell, [found])
        if options.output_context_key is not None:
            cell.set(options.output_context_key, found.context)
        if found.error:
            raise NodeFailed(f"the workflow {options.workflow} failed: {found.error}")
        return Done(found.end)


class TriggerSubworkflowsOptions(Options):
    """Parameters of `trigger_subworkflows`."""

    workflow: Name = Field(min_length=1, max_length=200)
    """The workflow that is run for each item."""
    items: Templated
    """A list; up to 1000 items."""
    request: Templated = Templated("{{ item }}")
    """What each sees as `request`; templates have `item` and `index`, from 0."""
    label: Template = Template("{{ index }}")
    """What the instance of each is found by; templates have `item` and `index`."""
    parallel_factor: int = Field(default=5, ge=1, le=100)
    """How many run at once at most."""
    sequential: bool = False
    """Run one after the other, and none more once one has failed."""
    skip_if_empty: bool = False
    """Go on where there are no items; otherwise the cell fails then."""
    output_context_key: ContextKey | None = None
    """The key that a list is put under: `id`, `guid`, `label`, `status`, `end`, `error` and `context` of each."""


class TriggerSubworkflows(Node[TriggerSubworkflowsOptions]):
    """Runs another workflow for each item of a list, several at once or one after the other. All are begun, unless they
    are `sequential`; where any has failed, the cell fails once the others are over."""

    slow = True
    outputs = ("ok", ERROR)

    @property
    def runs(self) -> str:
        """The workflow."""
        return self.options.workflow

    @hookimpl
    async def run(self, cell: Cell) -> Done | Pause:
        """Run them.

        Raises:
            NodeFailed: there is no list, or one has failed.
        """
        options = self.options
        kept = cell.kept if isinstance(cell.kept, dict) else None
        items = kept["items"] if kept is not None else await cell.value(options.items)
        if not isinstance(items, list) or len(items) > MOST:
            raise NodeFailed(f"items is no list of at most {MOST}")
        if not items:
            if options.skip_if_empty:
                if options.output_context_key is not None:
                    cell.set(options.output_context_key, [])
                return Done()
            raise NodeFailed("there are no items; say skip_if_empty if that is right")
        labels = [await cell.text(options.label, item=item, index=index) for index, item in enumerate(items)]
        found = await self._run_all(cell, items, labels)
        over = [each for each in found.values() if each.is_over]
        cell.given(workflow=options.workflow, items=len(items), over=len(over))
        if waiting := [each for each in found.values() if not each.is_over]:
            return _waits(cell, waiting, {"items": items})
        if options.output_context_key is not None:
            told = [_told(found[index], labels[index]) for index in sorted(found)]
            cell.set(options.output_context_key, told)
        if bad := [index for index in sorted(found) if found[index].error]:
            raise NodeFailed(f"{len(bad)} of {len(items)} failed, the first at item {bad[0]}: {found[bad[0]].error}")
        return Done()

    async def _run_all(self, cell: Cell, items: Sequence[Any], labels: Sequence[str]) -> dict[int, Sub]:
        """Run what may run now; those that wait keep their turn."""
        options, found = self.options, dict[int, Sub]()
        turns = 1 if options.sequential else options.parallel_factor
        pending = iter(range(len(items)))

        async def worker() -> None:
            for index in pending:
                request = await cell.value(options.request, item=items[index], index=index)
                each = found[index] = await cell.sub(index, options.workflow, request, labels[index])
                if not each.is_over or (options.sequential and each.error):
                    return

        workers = [asyncio.ensure_future(worker()) for _ in range(min(turns, len(items)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for each in workers:
                each.cancel()
        return found


def _told(found: Sub, label: str) -> dict[str, Any]:
    told = {"id": found.id, "guid": found.guid, "label": label, "status": found.status, "end": found.end}
    return {**told, "error": found.error or None, "context": dict(found.context)}


def _waits(cell: Cell, waiting: Sequence[Sub], keep: Any = None) -> Pause:
    first = waiting[0]
    reason = f"the instance {first.id} that it has started waits: {first.reason}"
    return Pause(cell.host.clock.wall() + LOOK, key=KEY, reason=reason[:1000], keep=keep)
