"""For the tests of plugins: ``build`` one, send a call ``through`` some, ``simulate`` one through a whole document
without a network, or have a whole gateway ``running``.

``through`` needs no sockets and, when every hook is sync, no event loop::

    gate = build(IpFilter, allow=["10.0.0.0/8"])
    assert through(gate, client="192.0.2.1").response.status == 403
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hookgate.bodies import Body
from hookgate.counters import LocalCounters
from hookgate.exchange import Exchange
from hookgate.flow import Flow, drive, finish
from hookgate.messages import Headers, Request, Response
from hookgate.plugin import Entry, FlowOptions, Interceptor, Plugin
from hookgate.testing.clock import MovableClock
from hookgate.testing.conformance import Nonconforming, conformance
from hookgate.testing.gateway import Gate, running
from hookgate.testing.upstream import Upstream, upstream

__all__ = [
    "Gate",
    "LocalCounters",
    "MovableClock",
    "Nonconforming",
    "Upstream",
    "build",
    "conformance",
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
    from hookgate.building import construct

    instance = construct(plugin, options)
    instance.entry = Entry(id=f"{plugin.__name__}#{next(_ordinals)}", name=plugin.__name__, family=plugin.family)
    return instance


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
