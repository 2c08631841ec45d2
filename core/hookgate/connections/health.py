"""Watching targets: when to check, what to conclude, whom to tell (AC-8 to AC-14).

Each target has a check of its own, on a clock that is handed in. After a good check the next one comes ``interval``
seconds later; after ``n`` failed ones in a row ``interval * backoff ** n`` seconds later, never more than ``at_most``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar

from hookgate.connections.asking import checked_health, checked_response, failed, whole
from hookgate.connections.connection import Connection
from hookgate.contract.backends import Monitor, MonitorOptions
from hookgate.contract.clock import Clock
from hookgate.exchange.errors import Fault, PluginError
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Headers, Request, Response
from hookgate.exchange.outbound import Attempt, Health, Outbound, Outcome, Target
from hookgate.exchange.waiting import ended

log = logging.getLogger("hookgate.health")

GRACE = 1.0
"""Seconds in which work that is cancelled has to end, before it is left behind."""
T = TypeVar("T")


def delay(options: MonitorOptions, failures: int) -> float:
    """Seconds until the next check after so many failed checks in a row (AC-9)."""
    wait = options.interval
    for _ in range(failures):
        wait *= options.backoff
        if wait >= options.at_most or options.backoff == 1:
            break
    return min(wait, options.at_most)


class _Opinion:
    """What one monitor holds of one target."""

    __slots__ = ("ejections", "failures", "health", "lapse", "since", "successes")

    def __init__(self, health: Health) -> None:
        self.health = health
        self.failures = 0
        self.successes = 0
        self.ejections = 0
        """How often in a row it was taken out for a while."""
        self.since = 0.0
        """When it last came back from that."""
        self.lapse: asyncio.Task[None] | None = None
        """Ends an unhealthy finding that lasts for a while only."""


_UNSEEN = Health(healthy=True, reason="not checked yet")


class Watch:
    """The checks of one connection, by one monitor or several. A target is well while every monitor holds it to be."""

    def __init__(self, connection: Connection, changed: Callable[[Target, Health], None]) -> None:
        self.connection = connection
        self.clock: Clock = connection.clock
        self.transport: Any = connection.transport
        """What carries the checks."""
        self._changed = changed
        self._opinions: dict[tuple[Monitor[Any], Target], _Opinion] = {}
        self._tasks: dict[tuple[Monitor[Any], Target], asyncio.Task[None]] = {}
        self._running = False
        connection.judge = self.judge

    def start(self) -> None:
        """Begin checking with the monitors that are switched on and do not only watch."""
        self._running = True
        self.follow()

    def follow(self) -> None:
        """Check the targets that the connection has now: begin with new ones, leave off with those that are gone."""
        targets = set(self.connection.targets)
        for key in [key for key in self._opinions if key[1] not in targets]:
            lapse = self._opinions.pop(key).lapse
            if lapse is not None:
                lapse.cancel()
        for key in [key for key in self._tasks if key[1] not in targets]:
            self._tasks.pop(key).cancel()
        for monitor in self.connection.monitors if self._running else ():
            if monitor.options.active and hasattr(monitor, "probe"):
                for target in self.connection.targets:
                    if (monitor, target) not in self._tasks:
                        name = f"watch {self.connection.name} {target.url}"
                        self._tasks[monitor, target] = asyncio.create_task(self._watch(monitor, target), name=name)

    async def stop(self) -> None:
        """End all checks."""
        self._running = False
        tasks = [*self._tasks.values(), *(o.lapse for o in self._opinions.values() if o.lapse is not None)]
        await ended(*tasks)
        self._tasks.clear()

    def inherit(self, predecessor: Watch) -> None:
        """Go on from what the watch of the configuration before this one found (the same address and monitor)."""
        before = {(m.entry.name, t.url): opinion for (m, t), opinion in predecessor._opinions.items()}
        for monitor in self.connection.monitors:
            for target in self.connection.targets:
                known = before.get((monitor.entry.name, target.url))
                if known is not None:
                    mine = self._opinions[monitor, target] = _Opinion(known.health)
                    mine.failures, mine.successes, mine.ejections = known.failures, known.successes, known.ejections
                    if known.lapse is not None and not known.lapse.done():
                        self._lapse_later(monitor, target, mine, known.health.lasts or 0.0)
        for target in self.connection.targets:
            target.health = self._together(target, target.health)

    async def _watch(self, monitor: Monitor[Any], target: Target) -> None:
        while True:
            found = await self._check(monitor, target)
            if found is not None:
                self.judge(monitor, target, found)
            await self.clock.sleep(delay(monitor.options, self._opinion(monitor, target).failures))

    async def _check(self, monitor: Monitor[Any], target: Target) -> Health | None:
        """Ask once; ``None`` where a plugin failed, which says nothing of the target."""
        sent: list[Response | PluginError] = []
        failing = self.connection.failing
        try:
            found = await self._asked(monitor, target, sent)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - logged there
            failing.note(monitor, "probe", error)
            found = None
        for each in sent:
            if isinstance(each, Response):
                await each.body.close()
        if found is not None and sent and isinstance(failure := sent[-1], PluginError):
            failing.note(monitor, "probe", failure)  # a monitor takes any fault for the target's
            found = None
        if found is not None:
            failing.over(monitor, "probe")
            target.last_seen = self.clock.wall() if found.healthy else target.last_seen
        return found

    async def _asked(self, monitor: Monitor[Any], target: Target, sent: list[Response | PluginError]) -> Health:
        try:
            probe = monitor.probe(target, partial(self._send, sent=sent))
            found = await within(self.clock, monitor.options.timeout, probe) if isawaitable(probe) else probe
        except TimeoutError:
            return Health(healthy=False, reason=f"no result within {monitor.options.timeout:g} s")
        except PluginError:
            raise
        except Fault as fault:
            return Health(healthy=False, reason=fault.reason)
        return checked_health(monitor, "probe", found)

    async def _send(self, outbound: Outbound, sent: list[Response | PluginError]) -> Response:
        """Send a check with the connection's headers and credentials, once more where a 401 has these renewed: a target
        that is out of rotation gets no calls that would do it.
        """
        try:
            return await self._sent(outbound, sent)
        except PluginError as error:
            sent.append(error)
            raise

    async def _sent(self, outbound: Outbound, sent: list[Response | PluginError]) -> Response:
        own = Headers.of([field for field in outbound.headers.raw if field[0].lower() not in {b"host", b"user-agent"}])
        host = outbound.target.authority
        exchange = Exchange(Request(outbound.method, outbound.path, outbound.query, host=host, headers=own))
        exchange.connection = self.connection
        outbound.connection = self.connection.name
        if outbound.headers.get("host", outbound.target.host_name) == outbound.target.host_name:
            outbound.headers.set("host", self.connection.host or outbound.target.host_name)
        fields, query = list(outbound.headers.raw), outbound.query
        response = await self._attempt(exchange, outbound, sent)
        if response.status == 401 and await self.connection.preparation.renewed(exchange, outbound, response):
            await response.body.close()
            outbound.headers, outbound.query = Headers.of(fields), query
            response = await self._attempt(exchange, outbound, sent)
        return response

    async def _attempt(self, exchange: Exchange, outbound: Outbound, sent: list[Response | PluginError]) -> Response:
        attempt = Attempt(outbound.target, None, self.connection.name, self.clock.now())
        exchange.attempts.append(attempt)
        sent.append(PluginError("a header or a credential of the connection takes longer than the check may"))
        await self.connection.preparation.prepare(exchange, outbound)
        sent.pop()
        try:
            given = self.transport.send(outbound)
            response = checked_response(self.transport, await given if isawaitable(given) else given)
        except Fault:
            raise
        except (Exception, SystemExit) as error:
            raise failed(self.transport, "send", error) from error
        sent.append(response)
        attempt.outcome = Outcome("ok", response.status)
        return response

    # --- conclusions ------------------------------------------------------------------------------------------------

    def judge(self, monitor: Monitor[Any], target: Target, found: Health) -> None:
        """Take a finding into account: thresholds (AC-10), and the news if the target changed sides."""
        options: MonitorOptions = monitor.options
        opinion = self._opinion(monitor, target)
        was_well = opinion.health.healthy
        if found.healthy:
            opinion.failures = 0
            opinion.successes += 1
            if was_well or (opinion.lapse is None and opinion.successes >= options.healthy_after):
                opinion.health = found
        else:
            opinion.successes = 0
            opinion.failures += 1
            if not was_well:
                opinion.health = found if opinion.lapse is None else opinion.health
            elif opinion.failures >= options.unhealthy_after and self._may_go(monitor, target):
                opinion.health = found
                if found.lasts is not None:
                    self._take_out(monitor, target, opinion, found.lasts)
        self._conclude(target)

    def _opinion(self, monitor: Monitor[Any], target: Target) -> _Opinion:
        opinion = self._opinions.get((monitor, target))
        if opinion is None:
            alone = len(self.connection.monitors) == 1  # then what is known of the target is what this one found
            opinion = self._opinions[monitor, target] = _Opinion(target.health if alone else _UNSEEN)
        return opinion

    def _may_go(self, monitor: Monitor[Any], target: Target) -> bool:
        """Whether enough targets stay in rotation without this one."""
        targets = self.connection.targets
        floor: float = monitor.options.floor
        staying = sum(1 for each in targets if each is not target and each.health.healthy)
        enough = staying >= floor * len(targets)
        if not enough:
            log.warning("connection %s: %s stays in rotation: too few are well", self.connection.name, target.url)
        return enough

    def _take_out(self, monitor: Monitor[Any], target: Target, opinion: _Opinion, seconds: float) -> None:
        """Keep a target out for a while, longer each time; one that was well for ``at_most`` begins anew."""
        options: MonitorOptions = monitor.options
        if opinion.ejections and self.clock.now() - opinion.since > options.at_most:
            opinion.ejections = 0
        seconds = min(seconds * options.backoff ** min(opinion.ejections, 64), max(options.at_most, seconds))
        opinion.ejections += 1
        self._lapse_later(monitor, target, opinion, seconds)

    def _lapse_later(self, monitor: Monitor[Any], target: Target, opinion: _Opinion, seconds: float) -> None:
        async def lapse() -> None:
            await self.clock.sleep(seconds)
            opinion.lapse = None
            opinion.health = Health(healthy=True, reason="back on trial")
            opinion.failures = monitor.options.unhealthy_after - 1  # the next failure takes it out again
            opinion.since = self.clock.now()
            self._conclude(target)

        opinion.lapse = asyncio.create_task(lapse(), name=f"lapse {self.connection.name} {target.url}")

    def _together(self, target: Target, otherwise: Health) -> Health:
        """Return the first bad finding, or the last good one."""
        found = otherwise
        for monitor in self.connection.monitors:
            opinion = self._opinions.get((monitor, target))
            if opinion is not None:
                found = opinion.health
                if not found.healthy:
                    break
        return found

    def _conclude(self, target: Target) -> None:
        before, now = target.health, self._together(target, target.health)
        target.health = now
        opinions = [self._opinions.get((monitor, target)) for monitor in self.connection.monitors]
        target.failures = max((opinion.failures for opinion in opinions if opinion is not None), default=0)
        if before.healthy == now.healthy:
            return
        log.warning(
            "connection %s: %s is %s (%s)",
            self.connection.name,
            target.url,
            "healthy" if now.healthy else "unhealthy",
            now.reason or "check passed",
        )
        if now.healthy:
            self.connection.choice.arrived(target)
        self._changed(target, now)


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """Wait for something for so many seconds of a clock.

    Raises:
        TimeoutError: the time was up first; the work is cancelled.
    """
    task = asyncio.ensure_future(whole(work))
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
    except BaseException:
        await _ended(task, alarm)
        raise
    done = task.done()
    await _ended(task, alarm)
    if not done:
        raise TimeoutError
    if task.cancelled():
        raise RuntimeError("it was cancelled by itself")
    return task.result()


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    """Have tasks end; one that does not obey is left behind."""
    pending = [task for task in tasks if not task.done()]
    for task in pending:
        task.cancel()
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
    if pending:
        await asyncio.wait(pending, timeout=GRACE)
