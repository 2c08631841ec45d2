"""Watching targets: when to check, what to conclude, whom to tell (AC-8 to AC-14).

Each target has a check of its own, on a clock that is handed in. After a good check the next one comes ``interval``
seconds later; after ``n`` failed ones in a row ``interval * backoff ** n`` seconds later, never more than ``at_most``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar

from hookgate.clock import Clock
from hookgate.connection import Connection
from hookgate.errors import Fault
from hookgate.exchange import Exchange, Health, Outbound, Target
from hookgate.messages import Request, Response
from hookgate.plugin import Monitor, MonitorOptions

log = logging.getLogger("hookgate.health")

T = TypeVar("T")


def delay(options: MonitorOptions, failures: int) -> float:
    """Seconds until the next check after so many failed checks in a row (AC-9)."""
    wait = options.interval
    for _ in range(failures):
        wait *= options.backoff
        if wait >= options.at_most or options.backoff == 1:
            break
    return min(wait, options.at_most)


class Watch:
    """The checks of one connection."""

    def __init__(
        self, connection: Connection, monitor: Monitor[Any], changed: Callable[[Target, Health], None]
    ) -> None:
        self.connection = connection
        self.monitor = monitor
        self.options: MonitorOptions = monitor.options
        self.clock: Clock = connection.clock
        self.transport = connection.transport
        """What carries the checks."""
        self._changed = changed
        self._successes: dict[Target, int] = {}
        self._tasks: dict[Target, asyncio.Task[None]] = {}
        self._running = False
        connection.judge = self.judge

    def start(self) -> None:
        """Begin checking, unless the monitor is switched off or has passive rules only."""
        if self.options.active and hasattr(self.monitor, "probe"):
            self._running = True
            self.follow()

    def follow(self) -> None:
        """Check the targets that the connection has now: begin with new ones, leave off with those that are gone."""
        for target in [target for target in self._tasks if target not in self.connection.targets]:
            self._tasks.pop(target).cancel()
        for target in self.connection.targets if self._running else ():
            if target not in self._tasks:
                name = f"watch {self.connection.name} {target.url}"
                self._tasks[target] = asyncio.create_task(self._watch(target), name=name)

    async def stop(self) -> None:
        """End all checks."""
        self._running = False
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    async def _watch(self, target: Target) -> None:
        while True:
            self.judge(target, await self._check(target))
            await self.clock.sleep(delay(self.options, target.failures))

    async def _check(self, target: Target) -> Health:
        try:
            probe = self.monitor.probe(target, self._send)  # type: ignore[attr-defined]
            found = await within(self.clock, self.options.timeout, probe) if isawaitable(probe) else probe
        except TimeoutError:
            return Health(healthy=False, reason=f"no result within {self.options.timeout:g} s")
        except Fault as fault:
            return Health(healthy=False, reason=fault.reason)
        except Exception:
            log.exception("monitor %s failed in probe", self.monitor.entry.id)
            return Health(healthy=False, reason="the monitor itself failed")
        if not isinstance(found, Health):
            log.error("monitor %s returned a %s where Health was expected", self.monitor.entry.id, type(found).__name__)
            return Health(healthy=False, reason="the monitor itself failed")
        return found

    async def _send(self, outbound: Outbound) -> Response:
        """Send a check with the connection's headers and credentials."""
        exchange = Exchange(Request(outbound.method, outbound.path, outbound.query, host=outbound.target.authority))
        outbound.connection = self.connection.name
        outbound.headers.setdefault("host", outbound.target.host_name)
        await self.connection.prepare(exchange, outbound)
        response: Response = await self.transport.send(outbound)  # type: ignore[attr-defined]
        return response

    def judge(self, target: Target, found: Health) -> None:
        """Take a finding into account: thresholds, last seen, and the news if the target changed sides (AC-10)."""
        if found.healthy:
            target.failures = 0
            target.last_seen = self.clock.wall()
            self._successes[target] = self._successes.get(target, 0) + 1
            turned = not target.health.healthy and self._successes[target] >= self.options.healthy_after
            if turned or target.health.healthy:
                target.health = found
        else:
            self._successes[target] = 0
            target.failures += 1
            turned = target.health.healthy and target.failures >= self.options.unhealthy_after
            if turned or not target.health.healthy:
                target.health = found
        if turned:
            log.warning(
                "connection %s: %s is %s (%s)",
                self.connection.name,
                target.url,
                "healthy" if found.healthy else "unhealthy",
                found.reason or "check passed",
            )
            self._changed(target, found)


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """Wait for something for so many seconds of a clock.

    Raises:
        TimeoutError: the time was up first; the work is cancelled.
    """
    task = asyncio.ensure_future(work)
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        for pending in (task, alarm):
            if not pending.done():
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)
