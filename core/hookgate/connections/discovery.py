"""Following the targets of a connection whose document lists none: discovery plugins say which there are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from inspect import isawaitable
from typing import Any

from hookgate.connections.asking import failed, nonsense, whole
from hookgate.connections.connection import Connection
from hookgate.connections.health import within
from hookgate.contract.backends import Discovery
from hookgate.exchange.outbound import Target
from hookgate.exchange.waiting import ended

log = logging.getLogger("hookgate.discovery")

PATIENCE = 10.0
"""Seconds one look may take."""
PAUSE = 5.0
"""Seconds until the next look after one that failed."""
AT_ONCE, REST = 0.05, 1.0
"""Seconds in which nobody has waited for a change, and until the next question then."""


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
        name, failing = self._connection.name, self._connection.failing
        try:
            answer = self._discovery.targets()
            answer = await within(self._connection.clock, PATIENCE, answer) if isawaitable(answer) else answer
            found = self._checked(answer)
        except TimeoutError:
            late = failed(self._discovery, "targets", f"found none within {PATIENCE:g} s")
            failing.note(self._discovery, "targets", late)
            return False
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever goes wrong, the targets there are stay
            log.warning("connection %s: targets could not be found: %s", name, error)
            failing.note(self._discovery, "targets", error)
            return False
        failing.over(self._discovery, "targets")
        if not found:
            log.warning("connection %s: discovery finds no target; those there were stay", name)
            return False
        self._take(found)
        return True

    def _checked(self, answer: Any) -> list[Target]:
        """Return the targets of an answer.

        Raises:
            PluginError: something else is in it, which calls would stumble over, or one of them stands there twice.
        """
        if isinstance(answer, str | bytes | Mapping) or not isinstance(answer, Iterable):
            raise nonsense(self._discovery, "targets", answer, "a list of Targets")
        found, seen, schemes = list(answer), set(), type(self._connection.transport).schemes
        for each in found:
            if not isinstance(each, Target):
                raise nonsense(self._discovery, "targets", each, "a Target")
            if type(each.weight) is not int or each.weight < 0 or type(each.port) is not int or not each.host:
                raise failed(self._discovery, "targets", f"gave {each.url}, whose weight, port or host is none")
            if each.scheme not in schemes:
                known = ", ".join(sorted(schemes))
                raise failed(self._discovery, "targets", f"gave {each.url}; the transport calls {known}")
            if each.origin in seen:
                raise failed(self._discovery, "targets", f"gave {each.url} twice; give it one weight instead")
            seen.add(each.origin)
        return found

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
            await ended(self._task)

    async def _follow(self) -> None:
        clock, failing, loop = self._connection.clock, self._connection.failing, asyncio.get_running_loop()
        while hasattr(self._discovery, "changed"):
            asked = loop.time()
            try:
                waiting = self._discovery.changed()
                if isawaitable(waiting):
                    await whole(waiting)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - logged there
                failing.note(self._discovery, "changed", error)
                await clock.sleep(PAUSE)
                continue
            failing.over(self._discovery, "changed")
            at_once = loop.time() - asked < AT_ONCE
            if not await self.look():
                await clock.sleep(PAUSE)
            elif at_once:  # one that always does so would leave nobody else any time
                await asyncio.sleep(REST)
