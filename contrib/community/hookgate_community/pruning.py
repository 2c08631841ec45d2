"""Letting go of who has written when, once it counts no more."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hookgate_community.tables import written
from hookgate_storage import Keep, Store, removed

COUNTS = 30 * 86400.0
"""Seconds for which it may count at most."""


async def old_writing(store: Store, keep: Keep, dry: bool) -> AsyncIterator[tuple[str, int]]:
    """Remove what is over."""
    async for count in removed(store, written, written.c.at < store.clock() - COUNTS, dry=dry):
        yield "times at which people have written", count
