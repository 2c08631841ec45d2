"""Letting go of bulks that are over, by their age."""

from __future__ import annotations

import asyncio
import random

from hookgate import Host
from hookgate_bulk.driving import Driver
from hookgate_storage import StoreError
from hookgate_workflows import JournalAway

FIRST, EVERY = 300.0, 3600.0
"""Seconds until what is old is looked for first, and then again, about: gateways do not do it together."""


async def in_background(host: Host, driver: Driver, keep: float) -> None:
    """Let go of what is old now and then."""
    pause = FIRST
    while True:
        await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        pause = EVERY
        try:
            if count := await driver.bulks.forget(host.clock.wall() - keep):
                host.log.info("%d bulks were removed for their age", count)
        except (StoreError, JournalAway) as error:
            host.log.warning("old bulks were not all removed: %s", error)
