"""Letting go of tokens, codes and endings that are over."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hookgate_keymanager.tables import codes, ended, refresh, tokens
from hookgate_storage import Keep, Store, removed

TOLD = 86400.0
"""Seconds after which every node has been told of an ending."""


async def old_tokens(store: Store, keep: Keep, dry: bool) -> AsyncIterator[tuple[str, int]]:
    """Remove what is over."""
    now = store.clock()
    for table, what in ((tokens, "access tokens"), (refresh, "refresh tokens"), (codes, "authorization codes")):
        async for count in removed(store, table, table.c.ends < now, dry=dry):
            yield f"{what} that have expired", count
    async for count in removed(store, ended, ended.c.at < now - TOLD, dry=dry):
        yield "endings of tokens that every node knows", count
