"""One generation of the configuration: everything that was built from one document, alive together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from hookgate.connections.destination import Bounds, Destination
from hookgate.contract.section import Detour
from hookgate.exchange.errors import BadGateway, Fault, MethodNotAllowed, PluginError, ServiceUnavailable
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Response
from hookgate.flow.flow import Flow
from hookgate.flow.paths import compile_destination
from hookgate.flow.router import Route, Router
from hookgate.flow.routes import RouteConfig
from hookgate.gateway.backend import Backend
from hookgate.gateway.configuration import Configuration
from hookgate.gateway.exposed import AppsFirst
from hookgate.gateway.pages import Page
from hookgate.http.tunnel import spoken

log = logging.getLogger("hookgate.generation")


class Passage(NamedTuple):
    """The way of one call."""

    flow: Flow
    destination: Callable[[Exchange], Any]
    """What stands at the right end of the flow."""
    inline: bool
    """Nothing on it needs a task."""


class Generation:
    """What serves calls from the moment a document goes live until its last call is over."""

    def __init__(
        self,
        number: int,
        config: Configuration,
        backends: Mapping[str, Backend],
    ) -> None:
        self.number = number
        self.config = config
        self.backends = dict(backends)
        self.house: Any = None
        """The gateway, for what is done amid a call."""
        self.pages: Any = None
        """What the server makes of the apps of the management listener."""
        self.exposed: dict[str, Any] = {}
        """What the server makes of the apps on the public listener, by path."""
        self._prefixes = sorted(config.gateway.expose, key=len, reverse=True)
        self.environment = config.gateway.environment
        self.in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        gateway = config.gateway
        self.limits = gateway.limits
        self.at_most = gateway.limits.in_flight
        """Calls in flight in this generation that are served; ``None`` for no bound."""
        self.started = tuple((o, o.exchange_started) for o in config.observers if hasattr(o, "exchange_started"))
        self.finished = tuple((o, o.exchange_finished) for o in config.observers if hasattr(o, "exchange_finished"))
        for route in config.routes:
            self._compile(route)
        routes = Router([route.route for route in config.routes if route.app is None])
        apps = [(route.app.prefix, route.route) for route in config.routes if route.app is not None]
        self.router: Router | AppsFirst = AppsFirst(apps, routes) if apps else routes
        self.unrouted = Flow(config.flow, hook_timeout=gateway.hook_timeout)
        self.detour: Detour | None = None
        """What may take calls through other flows, if a section asks for that."""

    def _compile(self, config: RouteConfig) -> None:
        gateway, route, to = self.config.gateway, config.route, config.section.to
        route.flow = Flow(self.config.flow, config.steps, hook_timeout=gateway.hook_timeout)
        route.settings = self._bounds(config)
        if config.app is not None:
            said = Destination(timeout=config.app.timeout, timeout_status=gateway.timeout_status, bounds=route.settings)
            self._pass(route, Page(config.app, said), said, inline=False)
            return
        if to is None:
            self._pass(route, _nowhere, Destination(bounds=route.settings), inline=True)
            return
        connection = self.backends[to.connection].connection
        destination = Destination(
            path=None if to.path is None else compile_destination(to.path, route.parameters, to.path_params),
            timeout=to.timeout,
            timeout_status=gateway.timeout_status,
            preserve_host=to.preserve_host,
            stream=to.stream,
            bounds=route.settings,
            cut=len(config.cut),
            prefix=config.prefix,
        )
        usual = partial(connection.send, destination=destination)
        self._pass(route, usual, destination, to.connection, inline=connection.inline)

    def _pass(
        self, route: Route, usual: Callable[[Exchange], Any], said: Destination, connection: str = "", *, inline: bool
    ) -> None:
        """Settle where the calls of a route go. Only where a step may change that, each call is asked for it."""
        if _moves(route.flow):
            usual = partial(self._wherever, usual=usual, said=said, connection=connection)
            inline = inline and all(backend.connection.inline for backend in self.backends.values())
        if route.flow.hears:
            usual = spoken(usual, plainly=True)
        route.passage = Passage(route.flow, usual, inline and not route.flow.is_async)

    def _wherever(
        self, exchange: Exchange, *, usual: Callable[[Exchange], Any], said: Destination, connection: str
    ) -> Any:
        """Send a call where a step wants it (FL-52), in the time that its route gives it (FL-15)."""
        to = exchange.to
        if to is None:
            return usual(exchange)
        backend = self.backends.get(to.connection or connection)
        if backend is None:
            name = to.connection
            detail = (
                f"there is no connection {name!r}" if name else "this route has no connection, and no step named one"
            )
            log.error("%s: a step changes where calls go, but %s", getattr(exchange.route, "name", "?"), detail)
            return _raising(BadGateway("This call cannot be sent where it should go.", reason="config-error"))(exchange)
        path = to.path
        if path is not None:
            said = replace(said, path=lambda _: path, prefix=to.prefix)
        elif to.prefix:
            said = replace(said, prefix=to.prefix + said.prefix)
        return backend.connection.send(exchange, said)

    def _bounds(self, config: RouteConfig) -> Bounds:
        common, own = self.limits, config.section.limits
        return Bounds(
            common.request_body if own.request_body is None else own.request_body,
            common.response_body if own.response_body is None else own.response_body,
            common.buffered_body if own.buffered_body is None else own.buffered_body,
        )

    def find(self, exchange: Exchange) -> Passage:
        """Return the way a call takes: to a destination, or to the fault of 404 and 405, or 503 above the limit."""
        if self.at_most is not None and self.in_flight > self.at_most:
            return self._overloaded()
        passage = self._passage(exchange)
        if self.detour is None:
            return passage
        try:
            flow = self.detour(exchange, passage.flow)
        except (Exception, SystemExit) as error:
            log.exception("a detour failed")
            fault = PluginError(f"a detour failed: {type(error).__name__}")
            return Passage(Flow(), _raising(fault), inline=True)
        return passage if flow is None else passage._replace(flow=flow, inline=passage.inline and not flow.is_async)

    def _passage(self, exchange: Exchange) -> Passage:
        try:
            route: Route = self.router.find(exchange)
            passage: Passage = route.passage
        except Fault as fault:
            asked = self._preflighted(exchange) if isinstance(fault, MethodNotAllowed) else None
            if asked is None:
                return Passage(self.unrouted, _raising(fault), not self.unrouted.is_async)
            route, passage = asked, Passage(asked.flow, _raising(fault), not asked.flow.is_async)
        body, bounds = exchange.request.body, route.settings
        body.limit, body.keep_limit = bounds.request, bounds.kept
        return passage

    def _overloaded(self) -> Passage:
        """Return the way of a call that is one too many. No step runs on it: one that waits would keep the call in."""
        fault = ServiceUnavailable(
            "The gateway serves as many calls as it may; try again.", reason="overloaded", headers={"Retry-After": "1"}
        )
        return Passage(Flow(), _raising(fault), inline=True)

    def exposed_at(self, path: str) -> str | None:
        """Return the longest path of an exposed app that a path is under, if that app has no flow."""
        for prefix in self._prefixes:
            if path.startswith(prefix) and (len(path) == len(prefix) or path[len(prefix)] == "/"):
                return prefix if prefix in self.config.exposed else None
        return None

    def _preflighted(self, exchange: Exchange) -> Route | None:
        """Find the route that a CORS preflight asks about (Fetch, 4.8), so that its steps can answer it.

        The backend of a route that does not list OPTIONS itself is not bothered: it ends in 405 unless a step answers.
        """
        request = exchange.request
        wanted = request.headers.get("access-control-request-method")
        if request.method != "OPTIONS" or wanted is None or "origin" not in request.headers:
            return None
        request.method = wanted
        try:
            return self.router.find(exchange)
        except Fault:
            return None
        finally:
            request.method = "OPTIONS"

    def enter(self) -> None:
        """A call begins in this generation."""
        if self.in_flight == 0:
            self._idle.clear()
        self.in_flight += 1

    def leave(self) -> None:
        """A call that began here is over."""
        self.in_flight -= 1
        if self.in_flight == 0:
            self._idle.set()

    async def drained(self, seconds: float) -> bool:
        """Wait until no call is left, or so many seconds; return whether none is left."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True


def _moves(flow: Flow) -> bool:
    """Whether a step may change where calls go."""
    return any(
        "target" in type(step.plugin).writes or any(map(_moves, (step.branches or {}).values())) for step in flow.steps
    )


def _raising(fault: Fault) -> Callable[[Exchange], Any]:
    async def raise_it(exchange: Exchange) -> Response:
        raise fault

    return raise_it


async def _nowhere(exchange: Exchange) -> Response:
    raise ServiceUnavailable(
        "This route calls no backend, and none of its steps answered.",
        reason="no-destination",
    )
