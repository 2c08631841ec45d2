"""Following the targets of a connection whose document lists none: discovery plugins say which there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from hookgate.connections.connection import Connection
from hookgate.connections.health import within
from hookgate.contract.backends import Discovery
from hookgate.exchange.outbound import Target

log = logging.getLogger("hookgate.discovery")

PATIENCE = 10.0
"""Seconds one look may take."""
PAUSE = 5.0
"""Seconds until the next look after one that failed."""


class Finder:
    """Keeps the targets of one connection as its discovery plugin finds them.

    A target that stays keeps its health and its counts. A look that fails, or finds nothing, leaves the targets as they
    were: old addresses are worth more than none.
    """

    def __init__(self, connection: Connection, discovery: Discovery[Any], found: Callable[[], None]) -> None:
        self._connection = connection
        self._discovery = discovery
        self._told = found
        self._task: asyncio.Task[None] | None = None

    async def look(self) -> bool:
        """Ask once and take over what is found; return whether that went well."""
        try:
            answer = self._discovery.targets()  # type: ignore[attr-defined]
            found = list(await within(self._connection.clock, PATIENCE, answer) if isawaitable(answer) else answer)
        except TimeoutError:
            log.warning("connection %s: no targets were found within %g s", self._connection.name, PATIENCE)
            return False
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, the targets there are stay
            log.warning("connection %s: targets could not be found: %s", self._connection.name, error)
            return False
        if not found:
            log.warning("connection %s: discovery finds no target; those there were stay", self._connection.name)
            return False
        self._take(found)
        return True

    def _take(self, found: list[Target]) -> None:
        known = {target.url: target for target in self._connection.targets}
        targets = []
        for target in found:
            kept = known.get(target.url, target)
            kept.weight, kept.active = target.weight, target.active
            targets.append(kept)
        if targets != self._connection.targets:
            names = ", ".join(target.url for target in targets)
            log.info("connection %s: the targets are %s", self._connection.name, names)
            self._connection.targets = targets
            for target in targets:
                if known and target.url not in known:
                    self._connection.choice.arrived(target)
            self._told()

    def start(self) -> None:
        """Begin to follow."""
        self._task = asyncio.create_task(self._follow(), name=f"discovery {self._connection.name}")

    async def stop(self) -> None:
        """Leave off."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                waiting = self._discovery.changed()  # type: ignore[attr-defined]
                if isawaitable(waiting):
                    await waiting
                well = await self.look()
            except Exception:
                log.exception("discovery %s failed in changed", self._discovery.entry.id)
                well = False
            if not well:
                await self._connection.clock.sleep(PAUSE)
