"""How an instance comes to its end: failures, the handler for them, and what is left when nothing is to be run."""

from __future__ import annotations

from typing import Any

import orjson

from hookgate_workflows.instance import ERROR, Instance, Run
from hookgate_workflows.journal import ACTIVE, ERRORS, SUCCESS

MOVED_KEYS = ("*response*", "*cb_response*")
"""Keys of the context that a handler for errors hands to the instance it was called for (CR-12)."""


def fail(instance: Instance, run: Run | None, cell: str, why: str) -> None:
    """Note a failure that leads nowhere: nothing more of the instance is begun."""
    error = {"cell": cell, "node": "" if run is None else run.node, "message": why}
    instance.errors.append(error)
    if run is not None:
        instance.failed[run.number] = {"token": run.token.told(), "error": error}


async def handle(engine: Any, instance: Instance) -> None:
    """Run the handler for errors, and take over what it answers (CR-9 to CR-12)."""
    if not instance.handler or instance.parent is not None:
        return
    child: Instance | None = None
    if instance.child is None:
        try:
            graph = engine.graph(instance.handler)
        except LookupError:
            instance.errors.append({"cell": "", "node": "", "message": f"there is no workflow {instance.handler}"})
            return
        request = {
            "instance": instance.told,
            "context": instance.context,
            "request": instance.request,
            "errors": instance.errors,
        }
        more = {"route": instance.route, "method": instance.method, "session": instance.session}
        child = await engine.make(graph, request, parent=instance.id, owner=instance.owner, **more)
        instance.child = child.id
        await engine.save(instance)  # whoever takes it over knows what has failed, and goes on with the handler
    else:
        child = await engine.claim(instance.child)
    if child is not None:
        await engine.go(child)
        context, status = child.context, child.status
        if child.waits:
            instance.waits, instance.wake = child.waits, child.wake
            instance.reason = f"its handler for errors waits: {child.reason}"
            return
    else:
        row = await engine.journal.read(instance.child)
        if row is None or row["status"] == ACTIVE:  # another process holds it, or has held it a moment ago
            instance.waits, instance.wake = "time", engine.host.clock.wall() + 1
            instance.reason = "its handler for errors is under way"
            return
        context, status = orjson.loads(row["context"]), row["status"]
    if status == SUCCESS:
        instance.handled = True
        for key in MOVED_KEYS:
            if key in context:
                instance.context[key] = context[key]


def close(instance: Instance, now: float) -> None:
    """Close an instance of which nothing is left to be run."""
    if not instance.errors and not instance.ended_at:
        missing = ", ".join(sorted(instance.joined))
        why = f"{missing} waits for inputs that never come" if missing else "no end was reached"
        fail(instance, None, missing, why)
    instance.status = ERRORS if instance.errors else SUCCESS
    instance.closed = now
    if instance.errors:  # somebody may repair it, and then it goes on from here
        instance.aside = [each.state() for each in instance.active.values()]
    else:
        instance.ready.clear()
    for run in instance.active.values():
        run.status, run.dirty = ERROR, True
        run.error = run.error or "the instance was closed while it waited"
    instance.active.clear()
