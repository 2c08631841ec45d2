"""Calls that wait for a person, in the store: asked for, decided, and let through once. All that is decided about one
is decided in the database, in one transaction with its entry in the audit."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import func, insert, select, update

from hookgate import Host
from hookgate_approval.tables import approvals
from hookgate_people import By, people_of
from hookgate_storage import Served, Store, StoreError

MOST = 500
"""Calls that are listed at most."""


class TooMany(Exception):
    """A caller has as many calls waiting as one may have."""


class Over(Exception):
    """It waits no more; the message is its state."""


def served_by(host: Host) -> tuple[Served, Store]:
    """Return what this node serves, and its store.

    Raises:
        StoreError: there is none.
    """
    try:
        section: Any = host.section("storage")
    except LookupError:
        section = None
    if section is None or section.store is None:
        raise StoreError("this gateway has no store")
    return section.served, section.store


def generation_of(served: Served) -> str:
    """Return what tells whether anything that a call could meet is another than before: the digest of all that is
    stored, and of the file but for what is about this node. Two nodes that serve the same have the same."""
    file = {name: value for name, value in served.file.items() if name not in ("gateway", "management")}
    gateway = served.file.get("gateway")
    if isinstance(gateway, Mapping):
        file["gateway"] = {name: value for name, value in gateway.items() if name != "listen"}
    written = orjson.dumps(file, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    return f"{served.generation.digest}/{hashlib.sha256(written).hexdigest()}"


class Kept:
    """Reads and writes them. Every method may raise ``StoreError``: the store is away."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def ask(self, call: Mapping[str, Any], by: By, seconds: float, most: int) -> dict[str, Any]:
        """Keep a call until a person decides, for so many seconds.

        Raises:
            TooMany: so many of this caller wait already.
        """
        key, now, caller = str(uuid.uuid4()), self.store.clock(), call["caller"]
        sealed = self.store.keys.seal(orjson.dumps(call), _place(key))
        row = {"id": key, "state": "waiting", "caller": caller, "call": sealed, "at": now, "expires": now + seconds}
        waiting = approvals.c.state == "waiting", approvals.c.expires > now, approvals.c.caller == caller
        async with self.store.database.transaction(writes=True) as connection:
            if (await connection.execute(select(func.count()).where(*waiting))).scalar_one() >= most:
                raise TooMany
            await connection.execute(insert(approvals).values(row))
            await self._note(connection, by, "ask-for-approval", key, {"route": call["route"]})
        return row

    async def one(self, key: str) -> dict[str, Any] | None:
        """Return one with what was sealed; ``None`` where there is none that this store has sealed."""
        async with self.store.database.transaction() as connection:
            row = (await connection.execute(select(approvals).where(approvals.c.id == key))).mappings().first()
        return None if row is None else self._opened(row)

    async def waiting(self) -> list[dict[str, Any]]:
        """Return those that wait, the oldest first."""
        here = approvals.c.state == "waiting", approvals.c.expires > self.store.clock()
        asked = select(approvals).where(*here).order_by(approvals.c.at).limit(MOST)
        async with self.store.database.transaction() as connection:
            rows = (await connection.execute(asked)).mappings().all()
        return [self._opened(row) for row in rows]

    async def decide(self, key: str, state: str, by: By, comment: str) -> None:
        """Approve or refuse one that waits.

        Raises:
            Over: it does not wait, or no more.
        """
        told = {"state": state, "by": by.who, "comment": comment, "decided": self.store.clock()}
        action = "approve-call" if state == "approved" else "refuse-call"
        await self._move(key, "waiting", told, by, action, {"comment": comment})

    async def use(self, key: str, by: By) -> None:
        """Let an approved one through: of several that try, on whatever node, one does.

        Raises:
            Over: it was used, or its time is over.
        """
        await self._move(key, "approved", {"state": "used"}, by, "run-approved-call", {})

    async def _move(
        self, key: str, state: str, values: Mapping[str, Any], by: By, action: str, told: Mapping[str, Any]
    ) -> None:
        here = approvals.c.id == key, approvals.c.state == state, approvals.c.expires > self.store.clock()
        async with self.store.database.transaction(writes=True) as connection:
            if (await connection.execute(update(approvals).where(*here).values(**values))).rowcount != 1:
                raise Over(key)
            await self._note(connection, by, action, key, told)

    async def _note(self, connection: Any, by: By, action: str, key: str, told: Mapping[str, Any]) -> None:
        await people_of(self.store).audit.note(connection, by, action, f"call-approvals/{key}", None, dict(told))

    def _opened(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        found = {str(name): value for name, value in row.items()}
        found["call"] = orjson.loads(self.store.keys.open(found["call"], _place(found["id"])))
        if found["state"] in ("waiting", "approved") and found["expires"] <= self.store.clock():
            found["state"] = "expired"
        return found


def _place(key: str) -> str:
    return f"call-approval/{key}"
