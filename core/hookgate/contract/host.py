"""What a plugin may ask of the house."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

from hookgate.contract.clock import Clock

if TYPE_CHECKING:
    from hookgate.contract.counters import Counters
    from hookgate.contract.metrics import Metrics
    from hookgate.contract.plugin import Plugin
    from hookgate.contract.section import Section
    from hookgate.contract.state import Cache, State
    from hookgate.exchange.messages import Response

Blueprint = Any
"""A ``quart.Blueprint``; this floor does not import Quart."""

Commands = Any
"""A ``typer.Typer``; this floor does not import typer."""

SectionT = TypeVar("SectionT", bound="Section[Any]")
PluginT = TypeVar("PluginT", bound="Plugin[Any]")


class HttpClient(Protocol):
    """A small HTTP client for everything off the data path: probes, callouts, token endpoints."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Response:
        """Send and return the answer with its body read. Raises the faults of ``TransportSpec.send``."""


class Host(Protocol):
    """What a plugin may ask of the house. Each instance gets one of its own with ``startup``. It outlives
    configurations, so that a kept instance never holds a dead one, and what was begun through it ends with the
    instance.
    """

    counters: Counters
    http: HttpClient
    log: logging.Logger
    metrics: Metrics

    @property
    def clock(self) -> Clock:
        """The time."""

    @property
    def is_leaving(self) -> bool:
        """Whether the gateway is about to stop: what waits for long asks this, and waits no more."""

    def state(self, name: str) -> State:
        """Return what is kept under a name, over restarts. The store is opened when it is first asked.

        Raises:
            ValueError: it is no name: up to 100 small letters, digits, ``-``, ``_`` and ``.``.
        """

    def cache(self, ttl: float, most: int = 10_000) -> Cache[Any]:
        """Make a cache in memory that keeps values for so many seconds, and at most so many of them."""

    def find(self, of: type[PluginT]) -> list[PluginT]:
        """Return the instances of a class in the live document, in the order of construction; within a ``startup``
        those of the one that is coming. Ask anew for each use.
        """

    def connection(self, name: str) -> Any:
        """Return the live connection of that name: ``await connection.request("GET", "/users/1")`` calls its backend.

        Raises:
            LookupError: there is none.
        """

    @overload
    def section(self, name: str) -> Section[Any]: ...
    @overload
    def section(self, name: str, of: type[SectionT]) -> SectionT: ...
    def section(self, name: str, of: Any = None) -> Any:
        """Return a section of the live document, best with its class: ``host.section("tiers", Tiers)``.

        Ask anew for each use: a reload puts another one in its place. Within a ``startup`` it is the section of the
        document that is coming, which has been started already.

        Raises:
            LookupError: the document has no section of that name, or it is of another class.
        """

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> Any:
        """Run a task that ends with this instance: it is cancelled before ``shutdown``. A failure is logged under the
        name, and shown on `/-/health`."""

    def status(self) -> Mapping[str, Any]:
        """Return what ``/-/health`` shows: state, generation, problems, connections and their targets."""

    def overview(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what ``/-/connections`` shows, by name of the connection: tags, health, plugins, targets, pool and
        counts. None of it is secret.
        """

    async def reload(self) -> int:
        """Read the document again and put it live; return the generation's number.

        Raises:
            ConfigError: the document is bad; the running one stays.
        """
