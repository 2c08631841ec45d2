"""A host for tests: the house that a plugin asks, with what the test gives, and nothing of the network."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from inspect import isawaitable
from types import SimpleNamespace
from typing import Any, NamedTuple

from hookgate.contract.backends import Pool, Transport
from hookgate.contract.clock import Clock
from hookgate.contract.counters import Counters
from hookgate.contract.plugin import Options, Plugin
from hookgate.contract.section import Section
from hookgate.document.catalogue import Catalogue
from hookgate.document.inside import plugins_in
from hookgate.exchange.errors import Fault
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Headers, Response
from hookgate.gateway.hosting import Hosting, PluginHost
from hookgate.gateway.keeping import Keeping, NamedState
from hookgate.metrics import Registry
from hookgate.testing.clock import MovableClock
from hookgate.testing.constructing import construct

PATIENCE = 10.0
"""Seconds for one ``startup`` or ``shutdown``."""


class Called(NamedTuple):
    """A call that a plugin has made."""

    method: str
    url: str
    """As the plugin wrote it."""
    headers: Headers
    body: bytes
    connection: str = ""
    """Name of the connection it went through, ``(gateway)`` for a visit to another route."""


CallAnswer = Response | Fault | Callable[[Called], "Response | Awaitable[Response]"]
"""What a call answers: a response, a fault that it raises, or a function of the call, which may be ``async``."""
Calls = Mapping[str, CallAnswer] | Callable[[Called], "Response | Awaitable[Response]"]
"""Answers by URL, by name of the connection and path (``crm/users/1``), or by path for visits; or one function."""


class Caller:
    """Calls others in a test: the client of the house, or a connection."""

    def __init__(self, answers: Calls, made: list[Called], connection: str = "") -> None:
        self._answers = answers
        self._made = made
        self.name = connection

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Response:
        """Note the call, and answer as the test says.

        Raises:
            AssertionError: the test says nothing of it.
        """
        called = Called(method, url, Headers(headers or {}), body, self.name)
        self._made.append(called)
        key = url if self.name in ("", "(gateway)") else f"{self.name}{url}"
        answer = self._answers if callable(self._answers) else self._answers.get(key)
        if answer is None:
            known = ", ".join(self._answers) if isinstance(self._answers, Mapping) else ""
            raise AssertionError(f"the test has no answer for {method} {key}; it has some for: {known or 'nothing'}")
        if isinstance(answer, Fault):
            raise answer
        if callable(answer):
            given = answer(called)
            answer = await given if isawaitable(given) else given
        data = await answer.body.read()
        return Response(answer.status, answer.headers.copy(), data)  # the next call gets one of its own


class _Nobody(Plugin[Options]):
    """Whom a host belongs to that the test hands over itself."""


class _Counters:
    """Counts as a gateway does, once somebody counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    @cached_property
    def take(self) -> Any:
        """Take units from limits."""
        return installed("counters", Catalogue().default("counters") or "local", self._clock).take


class _InMemory(Keeping):
    """State in memory, once somebody asks for it."""

    def named(self, name: str) -> NamedState:
        """Return what is kept under a name."""
        if self.store is None:
            self.store = installed("state", "memory", self.clock)
        return super().named(name)


class TestHost(PluginHost):
    """A host for plugins of any family: ``plugin.startup(host)``, or ``async with host.started(plugin)``.

    It has what every host has: metrics, a cache, counters, and state, which is kept in memory. ``calls`` says what
    others answer to ``host.http``, to connections and to ``exchange.call`` and ``visit``; what was called stands in
    :attr:`called`. ``sections`` and ``plugins`` are what the document has. ``clock`` stands still unless it is moved.
    """

    __test__ = False  # pytest would take it for a test
    clock: MovableClock

    def __init__(
        self,
        *,
        clock: MovableClock | None = None,
        counters: Counters | None = None,
        calls: Calls | None = None,
        sections: Mapping[str, Section[Any]] | None = None,
        plugins: tuple[Plugin[Any], ...] = (),
        status: Mapping[str, Any] | None = None,
        overview: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.clock = clock or MovableClock()
        self.log = logging.getLogger("hookgate.test")
        self.counters: Counters = _Counters(self.clock) if counters is None else counters
        self.called: list[Called] = []
        """Calls that plugins have made, in order."""
        self.reloads = 0
        """How often a plugin has had the document read again."""
        self._answers: Calls = {} if calls is None else calls
        self.http = Caller(self._answers, self.called)
        self.environment = ""
        self.sections = dict(sections or {})
        self.plugins = {plugin.entry.id: plugin for plugin in plugins}
        self._status, self._overview = status, overview
        self.hosting = Hosting(self, Registry())  # type: ignore[arg-type]  # its clock is a movable one
        self.hosting.keeping = _InMemory(self.clock)
        super().__init__(self.hosting, _Nobody(Options()))

    def configuration(self) -> Any:
        """Return what stands for the document."""
        return SimpleNamespace(sections=self.sections, instances=self.plugins, hide=str)

    def connection(self, name: str) -> Caller:
        """Return a connection of any name."""
        return Caller(self._answers, self.called, name)

    async def visit(self, by: Exchange, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Answer a visit to another route."""
        return await self.connection("(gateway)").request(method, target, headers=headers, body=body)

    def status(self) -> Mapping[str, Any]:
        """Return what the test says, or what plugins tell of themselves."""
        facts = self.hosting.facts(self.configuration())
        problems = [text for told in facts.values() for text in told.get("problems", ())]
        return self._status if self._status is not None else {"problems": problems, "plugins": facts}

    def overview(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what the test says."""
        return self._overview or {}

    async def reload(self) -> int:
        """Count."""
        self.reloads += 1
        return self.reloads

    async def finished(self) -> None:
        """Wait for all tasks that plugins have begun and that are still running."""
        while running := [task for host in self._hosts() for task in host.tasks]:
            await asyncio.gather(*running)

    @asynccontextmanager
    async def started(self, *plugins: Plugin[Any]) -> AsyncIterator[TestHost]:
        """Have plugins started, and those in their options before them, each with a host of its own. They are ended
        where the block ends. One that runs on this host already is left alone.

        Raises:
            Exception: what a ``startup`` raises.
        """
        fresh = [plugin for each in plugins for plugin in _inside_out(each) if plugin not in self.plugins.values()]
        mine: list[Plugin[Any]] = []
        try:
            for plugin in dict.fromkeys(fresh):
                if isinstance(plugin, Transport) and not hasattr(plugin, "pool"):
                    plugin.configure(Pool("test"))
                mine.append(plugin)
                self.plugins[plugin.entry.id] = plugin
                await self.hosting.start(plugin, PATIENCE)
            yield self
        finally:
            await self.hosting.end(mine, PATIENCE)
            for plugin in mine:
                self.plugins.pop(plugin.entry.id, None)

    def _hosts(self) -> list[PluginHost]:
        return [self, *self.hosting._hosts.values()]


def installed(family: str, name: str, clock: Clock, **options: Any) -> Any:
    """Make a started plugin of a family, by a clock of the test's.

    Raises:
        LookupError: it is not installed.
    """
    try:
        made: Any = construct(Catalogue().get(family, name), options)
    except LookupError as error:
        raise LookupError(f"a test that uses {family} needs: pip install hookgate-{family}-{name}") from error
    if hasattr(made, "startup"):
        made.startup(SimpleNamespace(clock=clock))
    return made


def _inside_out(plugin: Plugin[Any]) -> Iterator[Plugin[Any]]:
    for held in plugins_in(getattr(plugin, "options", None), {}, ()):  # sections have none
        if held.plugin is not None:
            yield from _inside_out(held.plugin)
    yield plugin
