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
from hookgate.contract.steps import Answered, FlowOptions, Interceptor
from hookgate.exchange.belonging import ApiInfo
from hookgate.exchange.bodies import Body
from hookgate.exchange.exchange import Exchange, Identity
from hookgate.exchange.messages import Headers, Request, Response
from hookgate.flow.flow import Flow, finish
from hookgate.flow.router import Route
from hookgate.testing.clock import MovableClock
from hookgate.testing.constructing import construct
from hookgate.testing.databases import postgresql, valkey
from hookgate.testing.driving import drive
from hookgate.testing.gateway import Gate, Running, running
from hookgate.testing.host import Called, Calls, TestHost, installed
from hookgate.testing.upstream import Received, Reply, Reset, Upstream, close_server, upstream

__all__ = [
    "Called",
    "Gate",
    "LocalCounters",
    "MovableClock",
    "Received",
    "Reply",
    "Reset",
    "Running",
    "TestHost",
    "Upstream",
    "build",
    "close_server",
    "postgresql",
    "running",
    "through",
    "upstream",
    "valkey",
]

PluginT = TypeVar("PluginT", bound=Plugin[Any])
Answer = Response | Callable[[Exchange], Response] | None

_ordinals = itertools.count(1)


def build(plugin: type[PluginT], **options: Any) -> PluginT:
    """Validate options as the loader does, and construct.

    Raises:
        ConfigError: what is wrong with the options, each problem with its path.
    """
    instance = construct(plugin, options)
    instance.entry = Entry(id=f"{plugin.__name__}#{next(_ordinals)}", name=plugin.__name__, family=plugin.family)
    return instance


def LocalCounters(clock: Clock, max_keys: int = 100_000) -> Any:  # noqa: N802 - it stands for a class
    """Make the counters that serve where a document chooses none, by a clock of the test's."""
    return installed("counters", "local", clock, max_keys=max_keys)


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
    params: Mapping[str, str] | None = None,
    variables: Mapping[str, Any] | None = None,
    identity: Identity | None = None,
    api: ApiInfo | None = None,
    calls: Calls | None = None,
    house: TestHost | None = None,
    start: bool = True,
) -> Answered:
    """Run one exchange through a real flow of these interceptors and return it when it is over.

    ``interceptors`` stand left to right on both ways, ``response`` on the way out only. ``upstream`` answers in place
    of a backend: a response, a function of the exchange, or 200 ``ok``. The body of the response has been read.

    ``params`` to ``api`` are what the exchange has when it comes: path parameters, notes of earlier steps, who calls,
    and what its route stands for. ``calls`` says what ``exchange.call`` and ``exchange.visit`` answer: by URL, or by a
    function (see :class:`TestHost`). Steps are started before and ended afterwards, those in options too; with a
    ``house`` it gives them their hosts, and those that it has ``started`` already go on as they are. Without ``start``
    none is: the test has done so.
    """
    flow = Flow(FlowOptions(flow=interceptors, response=response))
    fields = Headers(headers or {})
    fields.setdefault("host", host)
    exchange = Answered(
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
    place = house or TestHost(calls=calls)
    exchange.home = SimpleNamespace(house=place, environment=place.environment)
    exchange.params.update(params or {})
    if variables:
        exchange.variables.update(variables)
    exchange.identity = identity
    if api is not None:
        exchange.route = Route("test", "/")
        exchange.route.api = api

    async def backend(exchange: Exchange) -> Response:
        if callable(upstream):
            return upstream(exchange)
        return upstream or Response.text("ok")

    async def whole() -> None:
        async with place.started(*((*interceptors, *response) if start else ())):
            try:
                answer = await flow.run(exchange, backend)
                await answer.body.read()
            finally:
                finish(exchange, "ok")

    if _runs():
        drive(whole())
    else:
        asyncio.run(whole())
    return exchange


def _runs() -> bool:
    """Say whether an event loop runs here: then the hooks have to do without waiting."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


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
