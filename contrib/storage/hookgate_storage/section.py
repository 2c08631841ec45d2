"""The section `storage`: what of a store is live in this process. The source writes it, and nobody else."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextvars import Context
from typing import Any

from hookgate import Host, Item, Options, Problem, Section, Site, hookimpl
from hookgate_storage.errors import StoreError
from hookgate_storage.pruning import Keep, prune
from hookgate_storage.serving import Served, get
from hookgate_storage.store import Store
from hookgate_storage.variables import FILLED, FOLLOWED

log = logging.getLogger("hookgate.storage")

BEAT = 5.0
"""Seconds between two signs of life of a node."""
PRUNE_FIRST, PRUNE_EVERY = 300.0, 3600.0
"""Seconds until what is old is looked for first, and then again, about: gateways do not do it together."""
LOOK = 0.05
"""Seconds between looks whether this generation has gone live."""


class StorageSection(Options):
    """What was read; do not write it."""

    served: str = ""
    """Name of the reading."""


class Storage(Section[StorageSection]):
    """Tells the store what this node serves, once it does."""

    shape = "record"

    def __init__(self, items: Sequence[Item[StorageSection]] = ()) -> None:
        super().__init__(items)
        self.served: Served | None = get(self.record.served)
        """What was read; ``None`` in a document that no source `store` has made."""
        self._trouble = ""
        self._stored: int | None = None
        """The newest generation that the store has told of."""

    @classmethod
    def names_in(cls, written: object) -> Collection[str]:
        """Return the name of the reading, for what is loaded earlier and asks the store."""
        served = written.get("served") if isinstance(written, Mapping) else None
        return [served] if isinstance(served, str) else ()

    @property
    def store(self) -> Store | None:
        """The store, if there is one."""
        return None if self.served is None else self.served.store

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse a section that somebody has written."""
        if self.items and self.served is None and self.record.served not in (FILLED, FOLLOWED):
            yield Problem((self.entry.name,), "is written by the source `store`, and by nobody else", at_key=True)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Begin to tell."""
        if self.served is not None:
            host.start("what is served", self._tell(host, self.served, self.served.store or self.served.teller))
            if self.served.store is not None:
                host.start("what is old", in_background(self.served.store, self.served.keep))

    async def _tell(self, host: Host, served: Served, store: Store | None) -> None:
        gauge = host.metrics.gauge
        serves = gauge("storage_generation", "Generation of the store that this node serves.")
        stored = gauge("storage_generation_stored", "Newest generation that the store has told this node of.")
        rejected = gauge("storage_objects_rejected", "Stored objects that are left out of what is served.")
        snapshot = gauge("storage_from_snapshot", "1 where the store was away and the last snapshot serves, else 0.")
        contact = gauge("storage_contact_time_seconds", "When the store has answered last, in Unix time.")
        failures = host.metrics.counter("storage_contact_failures_total", "Signs of life that the store did not take.")
        while True:
            try:
                # asked within `startup`, which this comes from, a host speaks of what is coming and does not serve yet
                if Context().run(host.section, self.entry.name, Storage) is self:
                    break
            except LookupError:
                pass
            await asyncio.sleep(LOOK)
        serves.set(served.generation.number)
        rejected.set(len(served.rejected))
        snapshot.set(int(served.from_snapshot))
        while store is not None:
            try:
                await store.acknowledge(served.node, served.generation, served.rejected)
                self._stored = (await store.head()).number
                self._trouble = ""
                stored.set(self._stored)
                contact.set(store.clock())
            except StoreError as error:
                self._trouble = str(error)
                failures.add()
            await asyncio.sleep(BEAT)

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say what is served, and what is left out."""
        served = self.served
        if served is None:
            return None
        told: dict[str, Any] = {
            "node": served.node,
            "generation": served.generation.number,
            "digest": served.generation.digest,
            "objects": len(served.shown),
            "rejected": list(served.rejected),
        }
        if self._stored is not None:
            told["stored"] = self._stored
        problems = [f"the stored object {bad['kind']}/{bad['name']} is left out" for bad in served.rejected]
        if served.from_snapshot:
            problems.append("the store is away, and the last snapshot serves")
        elif self._trouble:
            problems.append(self._trouble)
        return told | {"problems": problems} if problems else told


async def in_background(store: Store, keep: Keep) -> None:
    """Remove what is old now and then; reloads of the document do not put it off."""
    pause = PRUNE_FIRST
    while True:
        if not store.prune_at:
            store.prune_at = time.monotonic() + pause * random.uniform(0.5, 1.5)  # noqa: S311
        await asyncio.sleep(store.prune_at - time.monotonic())
        store.prune_at, pause = 0.0, PRUNE_EVERY
        try:
            async for what, count in prune(store, keep):
                log.info("%d %s were removed for their age", count, what)
        except StoreError as error:
            log.warning("what is old was not all removed: %s", error)
