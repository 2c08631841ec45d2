"""What people decide of a cell that was under way when its process ended, and that may not simply be run again."""

from __future__ import annotations

from typing import Any, Literal

from hookgate_workflows.family import ERROR as ERROR_OUTPUT
from hookgate_workflows.instance import ERROR, OK, READY, Instance, Run

PERSON = "person"
"""The key of a run that waits for a person to decide."""
ACTION = "action"
"""The key of a run that asks people something."""
Verdict = Literal["repeat", "done", "failed"]


class Undecidable(Exception):
    """There is nothing to be decided; the text says why."""


def undecided(instance: Instance, number: int) -> Run:
    """Return the run of a cell that waits for a person.

    Raises:
        Undecidable: it does not.
    """
    run = instance.active.get(number)
    if run is None or run.key != PERSON:
        waiting = ", ".join(str(each.number) for each in instance.active.values() if each.key == PERSON) or "none"
        raise Undecidable(f"the task {number} waits for nobody; those that do: {waiting}")
    return run


def decide(engine: Any, instance: Instance, number: int, verdict: Verdict, output: str, by: str) -> None:
    """Have an instance go on with what somebody has decided.

    Raises:
        Undecidable: the task does not wait for that, or has no such output.
    """
    run = undecided(instance, number)
    place = instance.graph.places[run.token.cell]
    if verdict == "done":
        output = output or next(iter(place.leads), "")
        if output not in place.leads:
            raise Undecidable(f"the cell {place.name} leads nowhere from {output!r}; it has: {', '.join(place.leads)}")
    run.messages.append(f"{by} has decided: {verdict}")
    run.key, run.dirty = "", True
    if verdict == "repeat":
        run.status, run.attempt, run.error = READY, run.attempt + 1, ""
        return
    done = verdict == "done"
    run.status, run.output, run.ended = (
        OK if done else ERROR,
        output if done else ERROR_OUTPUT,
        engine.host.clock.wall(),
    )
    run.error = "" if done else "somebody has decided that it failed"
    del instance.active[number]
    engine.go_on(instance, run, place, run.output)
