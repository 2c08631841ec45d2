"""What every plugin instance gets of the house: a host of its own, whose tasks, metrics and facts end with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Protocol, overload

from hookgate.contract.clock import Clock
from hookgate.contract.counters import Counters
from hookgate.contract.host import Host, HttpClient, PluginT, SectionT
from hookgate.contract.metrics import Metrics
from hookgate.contract.plugin import Plugin
from hookgate.contract.section import Section
from hookgate.contract.state import Cache, State
from hookgate.gateway.bounding import GivenUp, bounded
from hookgate.gateway.caching import MemoryCache
from hookgate.gateway.configuration import Configuration
from hookgate.gateway.facts import plain_facts
from hookgate.gateway.keeping import Keeping
from hookgate.gateway.parts import Registry

log = logging.getLogger("hookgate")


class House(Protocol):
    """What a host asks of the gateway."""

    clock: Clock
    log: logging.Logger
    is_leaving: bool

    @property
    def counters(self) -> Counters:
        """Where limits are counted."""

    @property
    def http(self) -> HttpClient:
        """The client of the house."""

    def connection(self, name: str) -> Any:
        """Return a live connection."""

    def configuration(self) -> Configuration | None:
        """Return the document that is coming, or the live one."""

    def status(self) -> Mapping[str, Any]:
        """Return what ``/-/health`` shows."""

    def overview(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what ``/-/connections`` shows."""

    async def reload(self) -> int:
        """Read the document again."""


class PluginHost:
    """The host of one instance; see :class:`hookgate.contract.host.Host`."""

    def __init__(self, hosting: Hosting, plugin: Plugin[Any]) -> None:
        house = hosting.house
        self.clock, self.counters, self.http, self.log = house.clock, house.counters, house.http, house.log
        self.metrics: Metrics = hosting.registry.of(plugin)
        self.plugin = plugin
        self.tasks: set[asyncio.Task[None]] = set()
        self.failures: list[str] = []
        """What went wrong with tasks."""
        self.ended = False
        self._hosting = hosting
        self._house = house

    def connection(self, name: str) -> Any:
        """Return a live connection."""
        return self._house.connection(name)

    @overload
    def section(self, name: str) -> Section[Any]: ...
    @overload
    def section(self, name: str, of: type[SectionT]) -> SectionT: ...
    def section(self, name: str, of: Any = Section) -> Any:
        """Return a section of the live document or, within a ``startup``, of the one that is coming."""
        config = self._house.configuration()
        found = config.sections.get(name) if config is not None else None
        if found is None:
            raise LookupError(f"the document has no section {name!r}")
        if not isinstance(found, of):
            raise LookupError(f"the section {name!r} is a {type(found).__name__}, no {of.__name__}")  # noqa: TRY004
        return found

    def find(self, of: type[PluginT]) -> list[PluginT]:
        """Return the instances of a class."""
        config = self._house.configuration()
        return [] if config is None else [found for found in config.instances.values() if isinstance(found, of)]

    def state(self, name: str) -> State:
        """Return what is kept under a name."""
        return self._hosting.keeping.named(name)

    def cache(self, ttl: float, most: int = 10_000) -> Cache[Any]:
        """Make a cache in memory."""
        return MemoryCache(self.clock, ttl, most, self.tasks)

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task that ends with the instance."""
        title = f"{self.plugin.entry.id}: {name}"
        if self.ended:
            coroutine.close()
            raise RuntimeError(f"the task {title!r} cannot be started: its instance has ended")

        async def guarded() -> None:
            try:
                await coroutine
            except (Exception, SystemExit) as error:
                log.exception("the task %r failed", title)
                if (what := f"the task {name!r} failed: {type(error).__name__}") not in self.failures:
                    self.failures.append(what)

        task = asyncio.create_task(guarded(), name=title)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda _: coroutine.close())  # where it was cancelled before it began
        return task

    @property
    def is_leaving(self) -> bool:
        """Whether the gateway is about to stop."""
        return self._house.is_leaving

    def status(self) -> Mapping[str, Any]:
        """Return what ``/-/health`` shows."""
        return self._house.status()

    def overview(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what ``/-/connections`` shows."""
        return self._house.overview()

    async def reload(self) -> int:
        """Read the document again and put it live."""
        return await self._house.reload()


class Hosting:
    """Starts instances, ends them, and knows what they have begun."""

    def __init__(self, house: House, registry: Registry) -> None:
        self.house = house
        self.registry = registry
        self.keeping = Keeping(house.clock)
        self._hosts: dict[int, PluginHost] = {}
        """By number of the instance, which lives for as long as its host."""
        self._left: dict[asyncio.Future[Any], tuple[str, str]] = {}
        """What was given up and still runs: the id of its instance, and what to say of it."""
        self._until: float | None = None
        """When all that ends has ended, by the time of the loop."""
        self._untold: dict[str, str] = {}
        """Why an instance could not tell its facts last time, by its id."""

    def host_of(self, plugin: Plugin[Any]) -> Host:
        """Return the host of an instance, the same one each time."""
        host = self._hosts.get(id(plugin))
        if host is None:
            host = self._hosts[id(plugin)] = PluginHost(self, plugin)
        return host

    async def start(self, plugin: Plugin[Any], patience: float) -> None:
        """Start an instance.

        Raises:
            GivenUp: it hangs for longer than so many seconds.
            Exception: what its ``startup`` raises.
        """
        if hasattr(plugin, "startup"):
            try:
                await bounded(plugin.startup(self.host_of(plugin)), patience)
            except GivenUp as late:
                self._leave(plugin, "its startup does not end", late.task)
                raise

    def stop(self, seconds: float) -> None:
        """From now on, all that ends has so many seconds together."""
        self._until = asyncio.get_running_loop().time() + seconds

    def share(self, patience: float) -> float:
        """Return how long to wait for one: no longer than half of what is left for all."""
        left = None if self._until is None else self._until - asyncio.get_running_loop().time()
        return patience if left is None else min(patience, max(left / 2, 0.05))

    async def end(self, plugins: Iterable[Plugin[Any]], patience: float) -> None:
        """End instances, the last one first: their tasks, themselves, their metrics. One that fails or hangs holds up
        no other.
        """
        for plugin in reversed(list(plugins)):
            host = self._hosts.pop(id(plugin), None)
            if host is not None:
                await self._end_tasks(host, patience)
            try:
                if hasattr(plugin, "shutdown"):
                    await bounded(plugin.shutdown(), seconds := self.share(patience))
            except GivenUp as late:
                log.error(  # noqa: TRY400 - where it hangs is not in the trace
                    "%s did not end its shutdown within %.2g s and is given up", plugin.entry.id, seconds
                )
                self._leave(plugin, "its shutdown does not end", late.task)
            except (Exception, SystemExit):
                log.exception("%s failed in shutdown", plugin.entry.id)
            self.registry.release(plugin)
            self._untold.pop(plugin.entry.id, None)

    async def end_others(self, kept: Iterable[Plugin[Any]], patience: float) -> None:
        """End what instances have begun that are not among those that stay; they have been shut down already."""
        staying = {id(plugin) for plugin in kept}
        for host in [host for number, host in self._hosts.items() if number not in staying]:
            del self._hosts[id(host.plugin)]
            await self._end_tasks(host, patience)
            self.registry.release(host.plugin)

    async def _end_tasks(self, host: PluginHost, patience: float) -> None:
        host.ended = True
        for task in host.tasks:
            task.cancel()
        if host.tasks:
            _, late = await asyncio.wait(set(host.tasks), timeout=(seconds := self.share(patience)))
            for task in late:
                log.error("the task %r does not end within %.2g s and is given up", task.get_name(), seconds)
                self._leave(host.plugin, f"the task {task.get_name()!r} does not end", task)

    def _leave(self, plugin: Plugin[Any], what: str, task: asyncio.Future[Any]) -> None:
        """Have what was given up shown for as long as it runs."""
        self._left[task] = (plugin.entry.id, what)
        task.add_done_callback(lambda done: self._left.pop(done, None))

    def facts(self, config: Configuration | None) -> dict[str, dict[str, Any]]:
        """Return what instances tell of themselves, by id; what is wrong with them under ``problems``."""
        found: dict[str, dict[str, Any]] = {}
        for plugin in config.instances.values() if config is not None else ():
            told = self._told(plugin) if hasattr(plugin, "health") else {}
            host = self._hosts.get(id(plugin))
            more = [*(host.failures if host is not None else ()), *self.registry.complaints(plugin)]
            if more:
                told["problems"] = [*told.get("problems", ()), *more]
            if told:
                found[plugin.entry.id] = told
        for name, what in self._left.values():
            told = found.setdefault(name, {})
            told["problems"] = [*told.get("problems", ()), what]
        if trouble := self.keeping.trouble:
            found["state"] = {"problems": [trouble]}
        return found

    def _told(self, plugin: Plugin[Any]) -> dict[str, Any]:
        """Ask an instance for its facts; what cannot be shown is a problem of its own."""
        try:
            told = plain_facts(plugin.health())
        except (Exception, SystemExit) as error:
            why = f"its hook health failed: {type(error).__name__}"
            if self._untold.get(plugin.entry.id) != why:  # it is asked every few seconds
                self._untold[plugin.entry.id] = why
                log.exception("%s failed in health", plugin.entry.id)
            return {"problems": [why]}
        self._untold.pop(plugin.entry.id, None)
        return told
