"""What comes to an instance that waits: callbacks, and the end of a workflow that it runs; and tokens for once."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Literal

import orjson
from sqlalchemy import Connection, insert, select, update

from hookgate_workflows.instance import WAITING, Instance, Run, dumped
from hookgate_workflows.journal import ACTIVE, Journal
from hookgate_workflows.tables import cells, instances, keys

CALLBACK, TOKEN = "callback", "ott"
Came = Literal["taken", "again", "over", "unknown"]


async def expect(journal: Journal, instance: int, number: int) -> str:
    """Return the id that somebody answers to a run with. It is in the journal before anybody can be told of it, and is
    the same for every attempt of the run.

    Raises:
        StoreError: the journal is away.
    """
    made = secrets.token_urlsafe(24)

    def write(connection: Connection) -> str:
        asked = select(keys.c.key).where(keys.c.instance == instance, keys.c.number == number, keys.c.kind == CALLBACK)
        found: str | None = connection.execute(asked).scalar()
        if found is None:
            row = {"key": made, "kind": CALLBACK, "instance": instance, "number": number}
            connection.execute(insert(keys), row)
        return found or made

    found: str = await journal.write(write)
    return found


async def deliver(journal: Journal, key: str, value: Any, now: float) -> tuple[Came, int, int, Any]:
    """Keep what a callback brings, once. Return what became of it, the instance, the run, and the answer that the
    instance has for callbacks.

    Raises:
        StoreError: the journal is away; the callback may be sent again.
    """
    text = dumped(value)

    def write(connection: Connection) -> tuple[Came, int, int, Any]:
        asked = (
            select(keys, instances.c.status, instances.c.context, cells.c.status.label("run"))
            .join(instances, instances.c.id == keys.c.instance)
            .outerjoin(cells, (cells.c.instance == keys.c.instance) & (cells.c.number == keys.c.number))
            .where(keys.c.key == key, keys.c.kind == CALLBACK)
        )
        row = connection.execute(asked).mappings().first()
        if row is None:
            return "unknown", 0, 0, None
        answer = orjson.loads(row["context"]).get("*cb_response*")
        told = row["instance"], row["number"], answer
        if row["come"] is not None:
            return "again", *told
        if row["status"] != ACTIVE or row["run"] in ("OK", "ERROR"):
            return "over", *told
        taken = update(keys).where(keys.c.key == key, keys.c.come.is_(None)).values(value=text, come=now)
        return ("taken" if connection.execute(taken).rowcount else "again"), *told

    found: tuple[Came, int, int, Any] = await journal.write(write)
    return found


async def mail(journal: Journal, instance: int) -> dict[int, Any]:
    """Return what has come for runs of an instance, by their number."""
    asked = select(keys.c.number, keys.c.value).where(
        keys.c.instance == instance, keys.c.kind == CALLBACK, keys.c.come.is_not(None)
    )
    async with journal.database.transaction() as connection:
        return {row.number: orjson.loads(row.value) for row in await connection.execute(asked)}


async def issue(journal: Journal, instance: int, number: int, value: Any, until: float) -> str:
    """Return a token that is good for once, until a time. Only its digest is kept."""
    token = secrets.token_urlsafe(32)
    row = {"key": _digest(token), "kind": TOKEN, "instance": instance, "number": number}
    row |= {"until": until, "value": dumped(value)}
    await journal.write(lambda connection: connection.execute(insert(keys), row))
    return token


async def redeem(journal: Journal, token: str, now: float) -> Any:
    """Take a token, and return what it stands for.

    Raises:
        LookupError: there is none, or it was used, or its time is up. Which of them nobody learns.
    """
    mine = (keys.c.key == _digest(token)) & (keys.c.kind == TOKEN) & keys.c.come.is_(None) & (keys.c.until > now)
    taken = update(keys).where(mine).values(come=now).returning(keys.c.value)

    def write(connection: Connection) -> str | None:
        found: str | None = connection.execute(taken).scalar()
        return found

    found = await journal.write(write)
    if found is None:
        raise LookupError("the token is not good, or not any more")
    return orjson.loads(found)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def wake(run: Run, value: Any, now: float) -> None:
    """Have a run that waits go on at once, with what has come."""
    run.until, run.resumed, run.key, run.dirty = now, value, "", True


async def come(engine: Any, instance: Instance) -> bool:
    """Take an instance again that was put down a moment ago, if what it waits for has come meanwhile."""
    waiting = [run for run in instance.active.values() if run.status == WAITING and run.key.startswith(CALLBACK)]
    found = await mail(engine.journal, instance.id) if waiting else {}
    arrived = [run for run in waiting if run.number in found]
    if not arrived:
        return False
    now = engine.host.clock.wall()
    row = await engine.journal.claim(instance.id, now, now + engine.settings.lease, waiting=True)
    if row is None:
        return False
    instance.fence, instance.waits, instance.reason, instance.wake = row["fence"], "", "", None
    for run in arrived:
        wake(run, found[run.number], now)
    return True


async def resume(engine: Any, number: int, runs: Sequence[tuple[int, Any]] = (), *, key: str = "") -> bool:
    """Have runs of an instance go on that wait, by their number or all those with a key; ``False`` where the instance
    does not wait, and will look by itself.

    Raises:
        StoreError: the journal is away.
    """
    instance = await engine.taken(number, engine.host.clock.wall(), waiting=True)
    if instance is None:
        return False
    try:
        now, woken = engine.host.clock.wall(), dict(runs)
        for run in instance.active.values():
            if run.status == WAITING and (run.number in woken or (key and run.key == key)):
                wake(run, woken.get(run.number), now)
                instance.waits, instance.reason, instance.wake = "", "", None
    finally:
        await engine.store(instance, hold=engine.executor.holds and not instance.waits)
    if not instance.waits and (waiting := engine.executor.ready(number)) is not None:
        await waiting
    return True
