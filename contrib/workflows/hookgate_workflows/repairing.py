"""What people do to an instance: replay, skip or roll back a task that has failed, or close the instance (WF-2).

Who does it takes the instance first, in the database: of two that come at once, one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import orjson
from sqlalchemy import and_, or_, update

from hookgate_workflows.deciding import PERSON, Undecidable, decide
from hookgate_workflows.ending import close
from hookgate_workflows.family import BY_PEOPLE
from hookgate_workflows.graph import Graph
from hookgate_workflows.instance import READY, Instance, Token, dumped
from hookgate_workflows.journal import ACTIVE, ERRORS, waits
from hookgate_workflows.tables import instances

Action = Literal["replay", "skip", "rollback", "close"]
ACTIONS: tuple[str, ...] = get_args(Action)
MOST_CHILDREN = 1000
"""Instances that one call repairs."""
LONGEST_REASON = 1000


def offers(row: Mapping[str, Any], graph: Graph) -> dict[int, list[str]]:
    """Return what may be done to which tasks of an instance, by their number."""
    state = orjson.loads(row["state"])
    if row["status"] == ERRORS:
        tasks = [int(each) for each in state.get("failed", ())]
    elif row["status"] == ACTIVE and row["waits"]:
        tasks = [each["number"] for each in row["cells"] if each["key"] == PERSON]
    else:
        tasks = []
    cells = {each["number"]: each["cell"] for each in row["cells"]}
    return {each: _offered(graph, cells[each]) for each in tasks if each in cells}


def _offered(graph: Graph, cell: str) -> list[str]:
    return ["replay", *(output for output in BY_PEOPLE if output in graph.places[cell].leads)]


async def repair(engine: Any, row: Mapping[str, Any], action: Action, task: int | None, by: str, *, hold: bool) -> None:
    """Do something to a task of an instance, and have the instance go on. Whoever asks tells the executor.

    Raises:
        Undecidable: there is no such task, it does not offer that, or somebody else was faster; nothing was changed.
        StoreError: the journal is away.
    """
    await _refuse_handler(engine, row)
    try:
        graph = await engine.graph_of(row["workflow"], row["digest"])
    except LookupError as error:
        raise Undecidable(str(error)) from None
    number = _chosen(row, offers(row, graph), action, task)
    now = engine.host.clock.wall()
    free = or_(instances.c.lease.is_(None), instances.c.lease_until < now)
    closed = row["status"] == ERRORS
    instance = await engine.seize(row["id"], and_(instances.c.status == ERRORS, free) if closed else waits(now))
    if instance is None:
        raise Undecidable("somebody else has just taken it")
    try:
        if closed:
            reopen(engine, instance, number, action, by)
        else:
            replayed = action == "replay"
            decide(engine, instance, number, "repeat" if replayed else "done", "" if replayed else action, by)
            instance.waits, instance.reason, instance.wake = "", "", None
    finally:
        await engine.store(instance, hold=hold and instance.status == ACTIVE and not instance.waits)


def _chosen(row: Mapping[str, Any], found: Mapping[int, list[str]], action: str, task: int | None) -> int:
    """Return the number of the task that is meant: the one that is named, or the only one that offers the action.

    Raises:
        Undecidable: there is none, or more than one.
    """
    told = "; ".join(f"task {each} offers {', '.join(actions)}" for each, actions in found.items())
    told = told or f"it is {row['status']}, and no task of it has failed or waits for a person"
    fits = [each for each, actions in found.items() if action in actions and task in (None, each)]
    if len(fits) == 1:
        return fits[0]
    which = "more than one task of it offers" if fits else "no task of it offers"
    raise Undecidable(
        f"{which} {action}: {told}" if task is None else f"the task {task} does not offer {action}: {told}"
    )


def reopen(engine: Any, instance: Instance, number: int, action: str, by: str) -> None:
    """Have an instance that was closed in errors go on from a task that has failed. Where others have failed as well
    they still have, and it is closed again after this one.

    Raises:
        Undecidable: somebody else has just repaired the task.
    """
    if number not in instance.failed:
        raise Undecidable(f"somebody else has just repaired the task {number}")
    run, told = instance.runs[number], instance.failed.pop(number)
    if told["error"] in instance.errors:
        instance.errors.remove(told["error"])
    instance.errors = [each for each in instance.errors if each["cell"]]  # those of a handler, which may run again
    instance.status, instance.closed, instance.child, instance.handled = ACTIVE, None, None, False
    for each in instance.aside:
        other = instance.runs[each["number"]]
        other.token, other.until, other.kept = Token.of(each["token"]), each["until"], each["kept"]
        other.status, other.error, other.ended, other.dirty = each["status"], "", None, True
        instance.active[other.number] = other
    instance.aside = []
    run.token = Token.of(told["token"])
    run.messages.append(f"{by} has chosen: {action}")
    run.dirty = True
    if action == "replay":
        run.status, run.output, run.error, run.ended = READY, "", "", None
        run.attempt += 1
        run.is_resumed, run.resumed, run.kept, run.until, run.key = False, None, None, None, ""
        instance.active[run.number] = run
        return
    run.output = action
    engine.go_on(instance, run, instance.graph.places[run.token.cell], action)


async def _refuse_handler(engine: Any, row: Mapping[str, Any]) -> None:
    if row["parent"] is None:
        return
    parent = await engine.journal.read(row["parent"])
    if parent is not None and orjson.loads(parent["state"])["child"] == row["id"]:
        raise Undecidable(f"it is the handler for errors of the transaction {row['parent']}: repair that one")


async def close_now(engine: Any, row: Mapping[str, Any], by: str, reason: str) -> list[int]:
    """Close an instance, whoever runs it: nothing more of it is begun, and what it still does is not written down. A
    call that is under way is not taken back. Its sub-instances are closed as well. Return what was closed.

    Raises:
        Undecidable: it is over.
        StoreError: the journal is away.
    """
    why = f"{by} has closed it" + (f": {reason}" if reason else "")
    if row["status"] != ACTIVE or not await _closed(engine, row, why):
        raise Undecidable("it is over")
    closed = [row["id"]]
    for child in await engine.journal.children(row["id"]):
        found = await engine.journal.read(child)
        if found is not None and found["status"] == ACTIVE:
            closed += await close_now(engine, found, by, reason)
    return closed


async def _closed(engine: Any, row: Mapping[str, Any], why: str) -> bool:
    is_open, now = instances.c.status == ACTIVE, engine.host.clock.wall()
    error = {"cell": "", "node": "", "message": why}
    try:
        await engine.graph_of(row["workflow"], row["digest"])
    except LookupError:
        errors = dumped([*orjson.loads(row["errors"]), error])
        over: dict[str, Any] = {
            "status": ERRORS,
            "closed": now,
            "updated": now,
            "waits": "",
            "reason": "",
            "wake": None,
        }
        over |= {"errors": errors, "lease": None, "lease_until": None, "fence": instances.c.fence + 1}
        said = update(instances).where(instances.c.id == row["id"], is_open).values(**over)
        return bool((await engine.journal.write(lambda connection: connection.execute(said))).rowcount)
    instance = await engine.seize(row["id"], is_open)
    if instance is None:
        return False
    engine.held.pop(instance.id, None)
    instance.errors.append(error)
    instance.waits, instance.reason, instance.wake = "", "", None
    close(instance, now)
    instance.failed, instance.aside, instance.ready = {}, [], []
    await engine.save(instance)
    return True


async def children_of(engine: Any, row: Mapping[str, Any], action: Action) -> list[int]:
    """Return the sub-instances that an action is for: those that have failed or, to be closed, those that are not
    over. The handler for errors is none."""
    handler, wanted = orjson.loads(row["state"])["child"], ACTIVE if action == "close" else ERRORS
    page = await engine.journal.page({"parent": row["id"], "status": wanted}, None, MOST_CHILDREN + 1)
    return sorted(each["id"] for each in page if each["id"] != handler)
