"""What core asks for by a name and a deployment may leave out: what stands in the place of a part that is missing."""

from __future__ import annotations

from typing import Any, Protocol

from hookgate.contract.host import HttpClient
from hookgate.contract.metrics import Metrics
from hookgate.contract.plugin import Plugin
from hookgate.exchange.messages import Response


class HouseClient(HttpClient, Protocol):
    """The client of the house: what plugins see of it, and its end."""

    async def aclose(self) -> None:
        """Break off the calls that are under way, and close every connection."""


class NoClient(HouseClient):
    """Calls nobody."""

    async def request(self, method: str, url: str, **given: Any) -> Response:
        """Refuse a call.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("nothing is installed that calls others: pip install hookgate-client")

    async def aclose(self) -> None:
        """Nothing to close."""


class Registry(Protocol):
    """The metrics of all plugins."""

    def of(self, plugin: Plugin[Any]) -> Metrics:
        """Return where one instance registers its metrics."""

    def release(self, plugin: Plugin[Any]) -> None:
        """Let go of what only this instance has registered."""

    def complaints(self, plugin: Plugin[Any]) -> list[str]:
        """Say what is wrong with the metrics of an instance."""


class NoMetrics:
    """Counts nothing: the registry, what plugins see of it, and every metric, in one."""

    def of(self, plugin: Plugin[Any]) -> Any:
        """Return itself, whoever asks."""
        return self

    def release(self, plugin: Plugin[Any]) -> None:
        """Nothing is held."""

    def complaints(self, plugin: Plugin[Any]) -> list[str]:
        """Nothing can be wrong."""
        return []

    def _metric(self, *_: Any, **__: Any) -> Any:
        return self

    def _nothing(self, *_: Any) -> None:
        pass

    def collect(self) -> tuple[()]:
        """There are no metrics."""
        return ()

    counter = gauge = histogram = _metric
    add = set = observe = _nothing
