"""For the tests of plugins: ``build`` one, send a call ``through`` some, or have a whole gateway ``running``.

``through`` needs no sockets and, when every hook is sync, no event loop::

    gate = build(IpFilter, allow=["10.0.0.0/8"])
    assert through(gate, client="192.0.2.1").response.status == 403
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, TypeVar

from hookgate.contract.clock import Clock
from hookgate.contract.plugin import Entry, Plugin
from hookgate.contract.steps import FlowOptions, Interceptor
from hookgate.exchange.bodies import Body
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Headers, Request, Response
from hookgate.flow.flow import Flow, drive, finish
from hookgate.testing.clock import MovableClock
from hookgate.testing.gateway import Gate, running
from hookgate.testing.upstream import Upstream, upstream

__all__ = [
    "Gate",
    "LocalCounters",
    "MovableClock",
    "Upstream",
    "build",
    "running",
    "through",
    "upstream",
]

PluginT = TypeVar("PluginT", bound=Plugin[Any])
Answer = Response | Callable[[Exchange], Response] | None

_ordinals = itertools.count(1)


def build(plugin: type[PluginT], **options: Any) -> PluginT:
    """Validate options as the loader does, and construct.

    Raises:
        ConfigError: what is wrong with the options, each problem with its path.
    """
    from hookgate.document.building import construct

    instance = construct(plugin, options)
    instance.entry = Entry(id=f"{plugin.__name__}#{next(_ordinals)}", name=plugin.__name__, family=plugin.family)
    return instance


def LocalCounters(clock: Clock, max_keys: int = 100_000) -> Any:  # noqa: N802 - it stands for a class
    """Make the counters that serve where a document chooses none, by a clock of the test's."""
    from hookgate.document.building import construct
    from hookgate.document.catalogue import Catalogue

    catalogue = Catalogue()
    name = catalogue.default("counters")
    if name is None:
        raise LookupError("no counters are installed: pip install hookgate-counters-local")
    counters: Any = construct(catalogue.get("counters", name), {"max_keys": max_keys})
    counters.startup(SimpleNamespace(clock=clock))
    return counters


def place(plugin: PluginT, **entry: Any) -> PluginT:
    """Set what the document's reserved key ``_`` would set: ``id``, ``label``, ``when``."""
    plugin.entry = replace(plugin.entry, **entry)
    return plugin


def through(
    *interceptors: Interceptor[Any],
    response: tuple[Interceptor[Any], ...] = (),
    upstream: Answer = None,
    method: str = "GET",
    path: str = "/",
    query: str = "",
    headers: Mapping[str, str] | None = None,
    body: bytes | AsyncIterator[bytes] = b"",
    client: str = "127.0.0.1",
    host: str = "testserver",
    scheme: str = "http",
) -> Exchange:
    """Run one exchange through a real flow of these interceptors and return it when it is over.

    ``interceptors`` stand left to right on both ways, ``response`` on the way out only. ``upstream`` answers in place
    of a backend: a response, a function of the exchange, or 200 ``ok``. The body of the response has been read.
    """
    flow = Flow(FlowOptions(flow=interceptors, response=response))
    fields = Headers(headers or {})
    fields.setdefault("host", host)
    exchange = Exchange(
        Request(
            method,
            path,
            query,
            scheme=scheme,
            host=host,
            headers=fields,
            body=Body(body),
            client=client,
        ),
    )

    async def backend(exchange: Exchange) -> Response:
        if callable(upstream):
            return upstream(exchange)
        return upstream or Response.text("ok")

    async def whole() -> None:
        try:
            answer = await flow.run(exchange, backend)
            await answer.body.read()
        finally:
            finish(exchange, "ok")

    if flow.is_async or not isinstance(body, bytes):
        asyncio.run(whole())
    else:
        drive(whole())
    return exchange


_MOVED = {
    "conformance": "from hookgate_authoring.conformance import conformance (pip install hookgate-authoring)",
    "Nonconforming": "from hookgate_authoring.conformance import Nonconforming (pip install hookgate-authoring)",
    "simulate": "from hookgate_simulation.testing import simulate (pip install hookgate-simulation)",
}


def __getattr__(name: str) -> Any:
    """Say where a name has gone, for one version."""
    if name in _MOVED:
        raise ImportError(f"hookgate.testing.{name} has moved; write: {_MOVED[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
