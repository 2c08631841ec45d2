"""Actions: what instances ask people, who may answer, and the one answer that counts.

An action is the run of a cell that waits; so whoever answers takes the instance in the database, and of two answers one
is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select

from hookgate_workflows.deciding import ACTION
from hookgate_workflows.instance import WAITING
from hookgate_workflows.journal import ACTIVE, waits
from hookgate_workflows.tables import cells, instances
from hookgate_workflows.telling import time_of

MOST_ACTIONS = 1000
"""Actions that are looked through for one list, the oldest first."""
LONGEST_COMMENT = 4000
LONGEST_BODY = 64 * 1024
MEMBERS = ("answer", "comment", "data")
_ID = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,8})")


class Unanswerable(Exception):
    """An answer counts no more, or there is none of that kind; the text says why."""


class Busy(Exception):
    """The instance runs just now; the answer may be sent again in a moment."""


class BadAnswer(Exception):
    """An answer cannot be read; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Answerer:
    """Who answers."""

    name: str
    roles: frozenset[str] = frozenset()
    is_operator: bool = False
    """Whether they may answer whatever is asked."""

    def may(self, asked: Mapping[str, Any], owner: str | None) -> bool:
        """Whether they may answer. Who has started an instance does not approve it, operator or not."""
        if owner is not None and owner == self.name and not asked["owner_may"]:
            return False
        return self.is_operator or self.name in asked["users"] or not self.roles.isdisjoint(asked["roles"])


async def open_actions(engine: Any, who: Answerer) -> list[dict[str, Any]]:
    """Return the actions that somebody may answer now, the oldest first.

    Raises:
        StoreError: the journal is away.
    """
    asked = (
        select(cells, instances.c.guid, instances.c.workflow, instances.c.label, instances.c.owner)
        .join(instances, instances.c.id == cells.c.instance)
        .where(cells.c.key == ACTION, cells.c.status == WAITING, instances.c.status == ACTIVE)
        .order_by(cells.c.instance, cells.c.number)
        .limit(MOST_ACTIONS)
    )
    async with engine.journal.database.transaction() as connection:
        rows = [dict(each) for each in (await connection.execute(asked)).mappings()]
    return [_told(row) for row in rows if who.may(orjson.loads(row["given"]), row["owner"])]


def _told(row: Mapping[str, Any]) -> dict[str, Any]:
    given = orjson.loads(row["given"])
    return {
        "id": f"{row['instance']}-{row['number']}",
        "transaction": row["instance"],
        "guid": row["guid"],
        "workflow": row["workflow"],
        "label": row["label"],
        "owner": row["owner"],
        "cell": row["cell"],
        **{name: given[name] for name in ("title", "text", "answers")},
        "asked": time_of(row["started"]),
        "until": time_of(given["until"]),
    }


def read_answer(found: Any) -> tuple[str, str, Any]:
    """Return the answer, the comment and the data of a body.

    Raises:
        BadAnswer: it is not as it should be.
    """
    if not isinstance(found, dict):
        raise BadAnswer('write a JSON object, such as {"answer": "approved"}')
    if unknown := sorted(set(found) - set(MEMBERS)):
        raise BadAnswer(f"{unknown[0][:50]!r} is no member here; there are: {', '.join(MEMBERS)}")
    answer, comment = found.get("answer"), found.get("comment", "")
    if not isinstance(answer, str) or not answer:
        raise BadAnswer("answer is a text, one of the answers of the action")
    if not isinstance(comment, str) or len(comment) > LONGEST_COMMENT or "\0" in comment:
        raise BadAnswer(f"comment is a text of at most {LONGEST_COMMENT} characters")
    return answer, comment, found.get("data")


async def answer(
    engine: Any, executor: Any, key: str, found: Any, who: Answerer, forbidden: Callable[[], Exception]
) -> dict[str, Any]:
    """Take an answer to an action, and have its instance go on. Return what was decided.

    Raises:
        LookupError: there is no such action.
        BadAnswer: the answer cannot be read.
        Unanswerable: it was answered, or its time is up, or its instance is over; nothing was changed.
        Busy: other cells of the instance run just now; nothing was changed.
        StoreError: the journal is away.
        Exception: what ``forbidden`` gives, where somebody may not answer.
    """
    matched = _ID.fullmatch(key)
    row = None if matched is None else await engine.journal.read(int(matched[1]))
    if matched is None or row is None:
        raise LookupError(key)
    number = int(matched[2])
    cell = next((each for each in row["cells"] if each["number"] == number), None)
    asked = {} if cell is None else orjson.loads(cell["given"])
    if cell is None or "owner_may" not in asked:
        raise LookupError(key)
    if not who.may(asked, row["owner"]):
        raise forbidden()
    chosen, comment, data = read_answer(found)
    now = engine.host.clock.wall()
    _refuse_late(row, cell, asked, now)
    if chosen not in asked["answers"]:
        raise BadAnswer(f"{chosen[:50]!r} is no answer here; there are: {', '.join(asked['answers'])}")
    instance = await engine.seize(row["id"], waits(now))
    if instance is None:
        again = await engine.journal.read(row["id"])
        if again is not None:
            _refuse_late(again, next(each for each in again["cells"] if each["number"] == number), asked, now)
        raise Busy
    told = {"answer": chosen, "by": who.name, "comment": comment, "at": time_of(now), "data": data}
    try:
        run = instance.active.get(number)
        if run is None or run.status != WAITING or run.key != ACTION:
            raise Unanswerable("it was answered a moment ago")
        run.until, run.resumed, run.key, run.dirty = now, told, "", True
        run.messages.append(f"{who.name} has answered: {chosen}" + (f" ({comment[:500]})" if comment else ""))
        instance.waits, instance.reason, instance.wake = "", "", None
    finally:
        await engine.store(instance, hold=executor.holds and not instance.waits)
    await executor.ready(row["id"])
    return {"id": key, "transaction": row["id"], "guid": row["guid"], **told}


def _refuse_late(row: Mapping[str, Any], cell: Mapping[str, Any], asked: Mapping[str, Any], now: float) -> None:
    waiting = cell["status"] == WAITING and cell["key"] == ACTION and row["status"] == ACTIVE
    if waiting and (asked["until"] is None or asked["until"] > now):
        return
    said = [each for each in orjson.loads(cell["messages"]) if " has answered: " in each]
    if said and not waiting:
        raise Unanswerable(f"it was answered: {said[-1]}")
    if row["status"] != ACTIVE:
        raise Unanswerable(f"its transaction is over: {row['status']}")
    raise Unanswerable("its time is up" if waiting else "it was withdrawn, or its time is up")
