"""What tells operators of drafts that nobody has deployed (FL-33): on ``/-/health``, in metrics, beside a plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hookgate import Host
from hookgate_management.drafting import Draft, Drafts
from hookgate_storage import Storage, Store, StoreError

LOOK = 10.0
"""Seconds between two counts; what is saved or deployed here is counted at once."""
MOST = 20
"""Names that are told."""
LONGEST = 100


class Undeployed:
    """Counts the drafts of the store that is live, now and then."""

    def __init__(self, storage: Callable[[], Storage | None]) -> None:
        self._storage = storage
        self._news = asyncio.Event()
        self._told: Mapping[str, Any] = {}

    def look(self) -> None:
        """Count soon: something may have changed."""
        self._news.set()

    def told(self) -> Mapping[str, Any]:
        """Return what is to be known: nothing, where there is no draft."""
        return self._told

    async def count(self, host: Host) -> None:
        """Count until this is cancelled."""
        counted = host.metrics.gauge("management_drafts", "Drafts that nobody has deployed.", ("stale",))
        oldest = host.metrics.gauge(
            "management_draft_oldest_time_seconds", "When the oldest draft was saved, in Unix time; 0 without drafts."
        )
        while True:
            self._news.clear()
            storage = self._storage()
            if storage is not None and storage.store is not None:
                with suppress(StoreError):  # it is away, or has no table for drafts yet: others tell of that
                    found = await self._found(storage.store)
                    stale = sum(is_stale for _, is_stale in found)
                    counted.set(len(found) - stale, "false")
                    counted.set(stale, "true")
                    oldest.set(min((draft.at for draft, _ in found), default=0.0))
                    self._told = _told(found, stale)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._news.wait()

    @staticmethod
    async def _found(store: Store) -> list[tuple[Draft, bool]]:
        found = await Drafts(store).listed()
        if not found:
            return []
        versions = {(each.kind, each.name): each.version for each in (await store.current()).objects}
        return [(each, each.base != versions.get((each.kind, each.name), 0)) for each in found]


def _told(found: Sequence[tuple[Draft, bool]], stale: int) -> Mapping[str, Any]:
    if not found:
        return {}
    names = [f"{each.kind}/{each.name}"[:LONGEST] for each, _ in found[:MOST]]
    return {"drafts": {"undeployed": len(found), "stale": stale, "objects": names}}
