"""Workflows that a cell runs: instances with a parent, which any process may go on with, as with any other."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from hookgate_workflows.family import NodeFailed, Sub
from hookgate_workflows.instance import Instance, Run, Token
from hookgate_workflows.journal import ACTIVE
from hookgate_workflows.resuming import resume

METHOD = "SUBWORKFLOW"
"""The method of an instance that a cell has started, which tells it from the handler for errors of its parent."""
KEY = "subworkflow"
"""The key of runs that wait for such an instance."""
DEEPEST = 10


async def run_sub(engine: Any, parent: Instance, run: Run, index: int, workflow: str, request: Any, label: str) -> Sub:
    """Run a workflow for a run of a cell, or look how it is; each ``index`` is run once, whoever asks again.

    Raises:
        NodeFailed: there is no such workflow, or workflows run each other without an end.
    """
    if parent.depth >= DEEPEST:
        raise NodeFailed(f"workflows run each other {DEEPEST} deep; an end is missing")
    begun = parent.subs.setdefault(str(run.number), {})
    number, row = begun.get(str(index)), None
    if number is None:
        number = begun[str(index)] = await engine.journal.number()
        await engine.save(parent)  # whoever takes the parent over finds it
    else:
        row = await engine.journal.read(number)
    if row is None:
        try:
            graph = engine.graph(workflow)
        except LookupError:
            raise NodeFailed(f"there is no workflow {workflow!r}") from None
        child = Instance(number, graph, request, parent=parent.id, owner=parent.owner, route=parent.route)
        child.method, child.label, child.depth = METHOD, label[:200], parent.depth + 1
        child.parent_context, child.created = dict(parent.context), engine.host.clock.wall()
        child.ready = [Token(graph.start)]
    elif row["status"] != ACTIVE:
        return _closed(row, orjson.loads(row["context"]), orjson.loads(row["errors"]), row["state"])
    elif row["waits"] or (child := await engine.claim(number)) is None:
        return Sub(number, row["guid"], row["status"], "", {}, "", row["reason"] or "it is under way")
    child.awaited = True
    await asyncio.shield(engine.go(child))
    child.awaited = False
    if child.status == ACTIVE:
        return Sub(number, child.guid, child.status, "", {}, "", child.reason or "it is under way")
    return Sub(number, child.guid, child.status, child.ended_at, dict(child.context), _why(child.errors))


def _closed(row: Any, context: Any, errors: Any, state: str) -> Sub:
    return Sub(row["id"], row["guid"], row["status"], orjson.loads(state)["ended_at"], context, _why(errors))


def _why(errors: Any) -> str:
    return f"{errors[0]['cell']}: {errors[0]['message']}" if errors else ""


async def tell_parent(engine: Any, child: Instance) -> None:
    """Have the parent of an instance that is over look at it, where it was put down meanwhile."""
    if child.parent is not None and child.method == METHOD and not child.awaited:
        await resume(engine, child.parent, key=KEY)
