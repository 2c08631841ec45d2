"""Subscriptions that go along to a new version of an API when it is published (KC-19)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate_apimanager.register import Register, new_id
from hookgate_apimanager.tables import subscriptions
from hookgate_people import By

KEPT = ("application", "tenant", "tier", "status")
"""What a subscription has of the one to an older version."""
MOST_NOTICES = 100
"""Applications of which nodes are told one by one; of more they are told to forget all that they remember."""


def carrying(
    register: Register, by: By, api: str, older: Sequence[str], told: dict[str, Any]
) -> Callable[[AsyncConnection], Awaitable[None]]:
    """Return what subscribes the applications of older versions to an API, within the transaction that publishes it.

    Of several subscriptions of an application the one to the version counts that stands first. Tier and status stay
    what they are; what was rejected, and who is subscribed already, is left alone. ``told`` gets the number as
    ``carried``.
    """

    async def within(connection: AsyncConnection) -> None:
        wanted = select(subscriptions).where(subscriptions.c.api.in_([api, *older]))
        rows = (await connection.execute(wanted)).all()
        mine = {row.application for row in rows if row.api == api}
        found: dict[str, dict[str, Any]] = {}
        for name in older:
            for row in rows:
                if row.api == name and row.application not in mine and row.status != "REJECTED":
                    found.setdefault(row.application, {each: getattr(row, each) for each in KEPT})
        told["carried"] = len(found)
        if not found:
            return
        now = register.store.clock()
        new = {"api": api, "made": now, "version": 1}
        await connection.execute(insert(subscriptions), [{**row, **new, "id": new_id()} for row in found.values()])
        for application in list(found) if len(found) <= MOST_NOTICES else ():
            await register.notices.note(connection, "application", application)
        if len(found) > MOST_NOTICES:
            await register.notices.note(connection, "all", "")
        said = {"api": api, "of": list(older), "subscriptions": len(found)}
        await register.note(connection, by, "carry", f"subscriptions to {api}", None, said)

    return within
