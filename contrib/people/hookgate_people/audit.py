"""The audit: who has done what, from where, and what was there before. Nobody changes an entry unseen.

Each entry carries a keyed hash over itself and the hash of the one before it; the hash of the last one lies apart. So
an entry that was changed, moved or removed shows, the last ones too. Whoever writes to the database can still put
everything back as it once was: note number and hash now and then (`hookgate people audit-check`), and compare.
"""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson
from sqlalchemy import Select, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_people.tables import audit, audit_head
from hookgate_storage import Keys, Store

DONE = "done"
LONGEST_BODY = 64 * 1024
"""Bytes of what was before and after, in one entry; of more, the length is told instead."""
PAGE = 500
"""Entries that are read in one transaction."""
BEGIN = b"\0" * 32
START = "audit/start"
"""The fact that says, once old entries were removed, which was the last of them, and its hash."""
Told = tuple[str, str, Any, Any]
"""Action, object, and the bodies before and after."""


@dataclass(frozen=True, slots=True)
class By:
    """Who does something, and from where."""

    who: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry."""

    number: int
    at: float
    """Unix time."""
    who: str
    action: str
    object: str
    """Kind and name."""
    outcome: str
    """`done`, or why it was refused."""
    address: str
    before: Any
    """What was there, with secrets masked; ``None`` for nothing."""
    after: Any


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look for; what is left out matches everything."""

    who: str | None = None
    action: str | None = None
    object: str | None = None
    """With ``*`` at its end, whatever begins so."""
    outcome: str | None = None
    since: float | None = None
    until: float | None = None
    tenant: str | None = None
    """Only objects with this behind an ``@`` in the name."""

    def on(self, found: Select[Any]) -> Select[Any]:
        """Narrow a statement down."""
        for column in (audit.c.who, audit.c.action, audit.c.outcome):
            value = getattr(self, column.name)
            if value is not None:
                found = found.where(column == value)
        if self.object is not None:
            prefix = self.object.removesuffix("*")
            same = audit.c.object == prefix
            found = found.where(audit.c.object.startswith(prefix, autoescape=True) if prefix != self.object else same)
        if self.since is not None:
            found = found.where(audit.c.at >= self.since)
        if self.until is not None:
            found = found.where(audit.c.at < self.until)
        if self.tenant is not None:
            of_it = (audit.c.object.endswith(f"@{self.tenant}", autoescape=True),)
            found = found.where(or_(*of_it, audit.c.object.contains(f"@{self.tenant} ", autoescape=True)))
        return found


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of the whole audit came to."""

    number: int
    """The last entry."""
    hash: str
    broken: str
    """What is wrong; nothing where all is as it was written."""


class Audit:
    """Writes, finds and checks entries."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._database, secret = store.database, store.secret
        self._key = hmac.digest(secret, b"hookgate audit chain", "sha256")
        self._keys = Keys([hmac.digest(secret, b"hookgate audit bodies", "sha256")])
        self.clock = clock

    async def note(
        self,
        connection: AsyncConnection,
        by: By,
        action: str,
        what: str,
        before: Any = None,
        after: Any = None,
        outcome: str = DONE,
    ) -> None:
        """Write an entry within a transaction that writes: it is there exactly if what it tells of is."""
        await self.notes(connection, by, [(action, what, before, after)], outcome)

    async def notes(self, connection: AsyncConnection, by: By, told: Iterable[Told], outcome: str = DONE) -> None:
        """Write entries within a transaction: action, object, and the bodies before and after, of each."""
        await self.of_several(connection, [(by, told)], outcome)

    async def of_several(
        self, connection: AsyncConnection, told: Iterable[tuple[By, Iterable[Told]]], outcome: str = DONE
    ) -> None:
        """Write entries of what several have done within one transaction."""
        head = (await connection.execute(select(audit_head))).first()
        number, mac = (0, BEGIN) if head is None else (head.number, head.mac)
        at, rows = self.clock(), []
        for by, (action, what, before, after) in ((by, each) for by, listed in told for each in listed):
            number += 1
            row = {
                "number": number,
                "at": at,
                "who": clean(by.who, 200),
                "action": clean(action, 100),
                "object": clean(what, 400),
                "outcome": clean(outcome, 200),
                "address": clean(by.address, 100),
                "sealed": self._sealed(number, before, after),
            }
            mac = self._mac(mac, row)
            rows.append({**row, "mac": mac})
        await connection.execute(insert(audit), rows)
        end = {"number": number, "mac": mac}
        await connection.execute(insert(audit_head).values(end) if head is None else update(audit_head).values(end))

    def _sealed(self, number: int, before: Any, after: Any) -> bytes | None:
        bodies = {key: body for key, body in (("before", before), ("after", after)) if body is not None}
        return self._keys.seal(_written(bodies), f"audit/{number}") if bodies else None

    async def noted(self, by: By, action: str, what: str, outcome: str) -> None:
        """Write an entry of its own, of something that has changed nothing."""
        async with self._database.transaction(writes=True) as connection:
            await self.note(connection, by, action, what, outcome=outcome)

    async def page(self, wanted: Wanted, before: int | None = None, limit: int = 50) -> list[Entry]:
        """Return entries, the newest first, those before a number."""
        found = wanted.on(select(audit)).order_by(audit.c.number.desc()).limit(limit)
        if before is not None:
            found = found.where(audit.c.number < before)
        async with self._database.transaction() as connection:
            return [self._entry(row) for row in await connection.execute(found)]

    async def every(self, wanted: Wanted) -> AsyncIterator[Entry]:
        """Give entries, the oldest first, some at a time: nobody who writes waits for whoever reads them slowly."""
        after = 0
        while True:
            found = wanted.on(select(audit)).where(audit.c.number > after).order_by(audit.c.number).limit(PAGE)
            async with self._database.transaction() as connection:
                rows = (await connection.execute(found)).all()
            for row in rows:
                yield self._entry(row)
            if len(rows) < PAGE:
                return
            after = rows[-1].number

    async def check(self) -> Checked:
        """Read every entry and compare it with the chain, from the oldest one that is kept."""
        number, previous = 0, BEGIN
        while True:
            found = select(audit).where(audit.c.number > number).order_by(audit.c.number).limit(PAGE)
            async with self._database.transaction() as connection:
                rows: Sequence[Any] = (await connection.execute(found)).mappings().all()
                head = (await connection.execute(select(audit_head))).first()
            start = await self._start()
            if start[0] > number:  # so much was removed for its age, maybe amid this check
                number, previous = start
            for row in rows:
                if row["number"] <= start[0]:
                    continue
                if row["number"] != number + 1:
                    return Checked(number, previous.hex(), _missing(number + 1, row["number"] - 1))
                if not hmac.compare_digest(self._mac(previous, row), row["mac"]):
                    return Checked(number, previous.hex(), f"entry {row['number']} is not what was written")
                number, previous = row["number"], row["mac"]
            if len(rows) < PAGE:
                break
        if head is None:
            broken = "the end of the chain is missing" if number else ""
        elif head.number > number:
            broken = _missing(number + 1, head.number)
        else:
            broken = "" if (head.number, head.mac) == (number, previous) else "the end of the chain is another one"
        return Checked(number, previous.hex(), broken)

    async def _start(self) -> tuple[int, bytes]:
        """Return number and hash of the last entry that was removed for its age."""
        found = (await self._store.told(START)).get(START)
        return (0, BEGIN) if found is None else (found["number"], bytes.fromhex(found["mac"]))

    async def oldest(self) -> int:
        """Return the number of the last entry that was removed for its age; 0 where none was."""
        return (await self._start())[0]

    async def hash_of(self, number: int) -> str | None:
        """Return the hash of an entry."""
        if (first := await self._start())[0] == number:
            return first[1].hex()
        async with self._database.transaction() as connection:
            found = (await connection.execute(select(audit.c.mac).where(audit.c.number == number))).scalar()
        return None if found is None else bytes(found).hex()

    def _mac(self, previous: bytes, row: Mapping[str, Any]) -> bytes:
        sealed = row["sealed"]
        named = [row[key] for key in ("number", "at", "who", "action", "object", "outcome", "address")]
        body = None if sealed is None else base64.b64encode(sha256(sealed).digest()).decode()
        return hmac.digest(self._key, bytes(previous) + orjson.dumps([*named, body]), "sha256")

    def _entry(self, row: Any) -> Entry:
        bodies = {} if row.sealed is None else orjson.loads(self._keys.open(row.sealed, f"audit/{row.number}"))
        named = (row.number, row.at, row.who, row.action, row.object, row.outcome, row.address)
        return Entry(*named, bodies.get("before"), bodies.get("after"))


def _written(bodies: dict[str, Any]) -> bytes:
    plain = orjson.dumps(bodies)
    if len(plain) <= LONGEST_BODY:
        return plain
    return orjson.dumps({key: {"too-long": len(orjson.dumps(body))} for key, body in bodies.items()})


def clean(text: str, longest: int) -> str:
    """Make a text fit for a column and a line of a log, whoever has written it."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:longest])


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
