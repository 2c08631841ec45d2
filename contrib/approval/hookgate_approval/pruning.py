"""Letting go of calls that were asked for long ago."""

from __future__ import annotations

from collections.abc import AsyncIterator

from hookgate_approval.tables import approvals
from hookgate_storage import Keep, Store, removed

KEEP = 90 * 86400.0
"""Seconds after the end of its validity for which a call is kept."""


async def old_calls(store: Store, keep: Keep, dry: bool) -> AsyncIterator[tuple[str, int]]:
    """Remove what is over."""
    async for count in removed(store, approvals, approvals.c.expires < store.clock() - KEEP, dry=dry):
        yield "calls that people were asked about", count
