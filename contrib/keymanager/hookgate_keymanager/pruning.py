"""Letting go of tokens, codes and endings that are over."""

from __future__ import annotations

from collections.abc import AsyncIterator

from sqlalchemy import and_, func, select

from hookgate_keymanager.tables import codes, devices, ended, keys, refresh, shown, tokens
from hookgate_storage import Keep, Store, removed

TOLD = 86400.0
"""Seconds after which every node has been told of an ending."""


_ENDING = (
    (tokens, "access tokens"),
    (refresh, "refresh tokens"),
    (codes, "authorization codes"),
    (devices, "codes of devices"),
    (shown, "assertions"),
)


async def old_tokens(store: Store, keep: Keep, dry: bool) -> AsyncIterator[tuple[str, int]]:
    """Remove what is over."""
    now = store.clock()
    for table, what in _ENDING:
        async for count in removed(store, table, table.c.ends < now, dry=dry):
            yield f"{what} that have expired", count
    newest = select(func.max(keys.c.number)).scalar_subquery()
    signs = select(tokens.c.hash).where(tokens.c.key == keys.c.id).exists()
    over = and_(keys.c.number < newest, keys.c.made < now - TOLD, ~signs)
    async for count in removed(store, keys, over, dry=dry):
        yield "keys of which no token is left", count
    # the last one stays: numbers go on from it, and a node that has seen more would not see those that begin anew
    last = select(func.max(ended.c.number)).scalar_subquery()
    async for count in removed(store, ended, (ended.c.at < now - TOLD) & (ended.c.number < last), dry=dry):
        yield "endings of tokens that every node knows", count
