"""How people ask for a repair, by whichever door they come: what they may write, what is done, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookgate import Host
from hookgate_people import By, people_of
from hookgate_storage import StoreError
from hookgate_workflows.deciding import Undecidable
from hookgate_workflows.repairing import (
    ACTIONS,
    LONGEST_REASON,
    MOST_CHILDREN,
    children_of,
    close_now,
    repair,
)

LONGEST_BODY = 16 * 1024
MEMBERS = ("action", "task", "children", "reason")


class Unclear(Exception):
    """What somebody asks for cannot be read; the text says what is wrong."""


async def repaired(host: Host, row: Mapping[str, Any], asked: Mapping[str, Any], by: By) -> dict[str, Any]:
    """Do what somebody asks for who may, note it in the audit, and return the answer.

    Raises:
        Unclear: nobody knows what is asked for; nothing was changed.
        Undecidable: the instance does not offer it, or somebody else was faster; nothing was changed.
        StoreError: the journal is away.
    """
    action, task, reason = _read(asked)
    section: Any = host.section("workflow_engine")
    engine, executor = section.engine, section.executor
    if not asked.get("children", False):
        await _one(engine, executor, row, action, task, by.who, reason)
        await note(host, by, action, row["id"], {"task": task, "reason": reason})
        return {"id": row["id"], "guid": row["guid"]}
    wanted = await children_of(engine, row, action)
    done: list[int] = []
    refused: list[dict[str, Any]] = []
    for number in wanted[:MOST_CHILDREN]:
        child = await engine.journal.read(number)
        try:
            if child is None:
                raise Undecidable("it is not there any more")
            await _one(engine, executor, child, action, None, by.who, reason)
            done.append(number)
        except Undecidable as error:
            refused.append({"id": number, "detail": f"{error}."})
    await note(host, by, action, row["id"], {"children": done, "reason": reason})
    host.log.info("%s has asked to %s %d sub-instances of %d", by.who, action, len(done), row["id"])
    left = len(wanted) > MOST_CHILDREN
    return {"id": row["id"], "guid": row["guid"], "done": done, "refused": refused, "more": left}


def _read(asked: Mapping[str, Any]) -> tuple[Any, int | None, str]:
    action, task, reason = asked.get("action"), asked.get("task"), asked.get("reason", "")
    if unknown := sorted(set(asked) - set(MEMBERS)):
        raise Unclear(f"{unknown[0][:50]!r} is no member here; there are: {', '.join(MEMBERS)}")
    if action not in ACTIONS:
        raise Unclear(f"action is one of: {', '.join(ACTIONS)}")
    if task is not None and (type(task) is not int or not 0 < task < 2**31):
        raise Unclear("task is the number of a task")
    if not isinstance(asked.get("children", False), bool):
        raise Unclear("children is true or false")
    if task is not None and (asked.get("children") or action == "close"):
        raise Unclear("a task is named to replay, skip or roll back one instance only")
    if not isinstance(reason, str) or len(reason) > LONGEST_REASON or not reason.replace("\n", " ").isprintable():
        raise Unclear(f"reason is a text of at most {LONGEST_REASON} characters")
    return action, task, reason


async def _one(
    engine: Any, executor: Any, row: Mapping[str, Any], action: Any, task: int | None, by: str, reason: str
) -> None:
    if action == "close":
        await close_now(engine, row, by, reason)
        return
    await repair(engine, row, action, task, by, hold=executor.holds)
    await executor.ready(row["id"])


async def note(host: Host, by: By, action: str, number: int, after: Mapping[str, Any]) -> None:
    """Put into the audit what somebody has done to an instance."""
    section: Any = host.section("storage")
    store = section.store
    told = {name: value for name, value in after.items() if value}
    try:
        async with store.database.transaction(writes=True) as connection:
            await people_of(store).audit.note(connection, by, action, f"transactions/{number}", None, told)
    except StoreError as error:  # it was done, and whoever asks again would do it twice
        host.log.error("%s of the transaction %d by %s is not in the audit: %s", action, number, by.who, error)  # noqa: TRY400
