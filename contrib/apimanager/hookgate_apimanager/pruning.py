"""Letting go of changes that every node knows."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import func, select

from hookgate_apimanager.tables import api_keys, changed
from hookgate_storage import Keep, Store, removed

TOLD = 86400.0
"""Seconds after which every node has been told of a change."""


async def old_changes(store: Store, keep: Keep, dry: bool) -> AsyncIterator[tuple[str, int]]:
    """Remove what is over."""
    now = store.clock()
    async for count in removed(store, api_keys, api_keys.c.ends < now - keep.ended, dry=dry):
        yield "API keys that have ended", count
    # the last one stays: numbers go on from it
    last = select(func.max(changed.c.number)).scalar_subquery()
    async for count in removed(store, changed, (changed.c.at < now - TOLD) & (changed.c.number < last), dry=dry):
        yield "changes of subscriptions that every node knows", count
