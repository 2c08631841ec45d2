"""One generation of the configuration: everything that was built from one document, alive together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

from hookgate.connections.destination import Bounds, Destination
from hookgate.contract.section import Detour, Readdress
from hookgate.contract.steps import Ways
from hookgate.exchange.errors import BadGateway, Fault, MethodNotAllowed, PluginError, ServiceUnavailable
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Headers, Response
from hookgate.flow.flow import Flow
from hookgate.flow.paths import asked, compile_destination
from hookgate.flow.router import Route, Router
from hookgate.flow.routes import RouteConfig
from hookgate.gateway.backend import Backend
from hookgate.gateway.configuration import Configuration
from hookgate.gateway.exposed import AppsFirst
from hookgate.http.forwarding import is_last_hop
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

    def __init__(self, number: int, config: Configuration, backends: Mapping[str, Backend]) -> None:
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
        self._made = {route.route: route for route in config.routes}
        for each in config.routes:
            each.route.settings = self._bounds(each)
            each.route.passage = self._way(each)
        routes = Router([route.route for route in config.routes if route.app is None])
        apps = [(route.app.prefix, route.route) for route in config.routes if route.app is not None]
        self.router: Router | AppsFirst = AppsFirst(apps, routes) if apps else routes
        self.unrouted = Flow(config.flow, hook_timeout=gateway.hook_timeout)
        self.detour: Detour | None = None
        """What may take calls through other flows, if a section asks for that."""
        self.readdress: Sequence[Readdress] = ()
        """Where calls go before their routes are looked for, as sections say it, up to the first that names a route."""
        self._named = {route.name: route.route for route in config.routes}
        self._behind = lru_cache(1024)(lambda route, *first: self._way(self._made[route], *first))

    def _way(self, config: RouteConfig, *first: Ways) -> Passage:
        """Return the way that calls of a route take, with other steps in front of those of the route."""
        gateway, route, to = self.config.gateway, config.route, config.section.to
        flow = Flow(self.config.flow, *first, config.steps, hook_timeout=gateway.hook_timeout)
        if config.app is not None:
            said = Destination(timeout=config.app.timeout, timeout_status=gateway.timeout_status, bounds=route.settings)
            return self._passing(flow, config.app.bridge.destination(config.app, said), said, inline=False)
        if to is None:
            return self._passing(flow, _nowhere, Destination(bounds=route.settings), inline=True)
        connection = self.backends[to.connection].connection
        method, path = asked(to.path or "")
        destination = Destination(
            path=compile_destination(path, route.parameters, to.path_params) if path else None,
            method=method,
            timeout=to.timeout,
            timeout_status=gateway.timeout_status,
            preserve_host=to.preserve_host,
            stream=to.stream,
            bounds=route.settings,
            cut=len(config.cut),
            prefix=config.prefix,
        )
        usual = partial(connection.send, destination=destination)
        return self._passing(flow, usual, destination, to.connection, inline=connection.inline)

    def _passing(
        self, flow: Flow, usual: Callable[[Exchange], Any], said: Destination, connection: str = "", *, inline: bool
    ) -> Passage:
        """Settle where the calls of a flow go. Only where a step may change that, each call is asked for it."""
        if _moves(flow):
            usual = partial(self._wherever, usual=usual, said=said, connection=connection)
            inline = inline and all(backend.connection.inline for backend in self.backends.values())
        if flow.hears:
            usual = spoken(usual, plainly=True)
        return Passage(flow, usual, inline and not flow.is_async)

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
            detail = f"there is no connection {name!r}" if name else "neither its route nor a step names a connection"
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
        names = ("request_body", "response_body", "buffered_body")
        return Bounds(*(getattr(common if getattr(own, name) is None else own, name) for name in names))

    def find(self, exchange: Exchange) -> Passage:
        """Return the way a call takes: to a destination, or to the fault of 404 and 405, or 503 above the limit."""
        if self.at_most is not None and self.in_flight > self.at_most:
            return self._overloaded()
        try:
            passage = self._passage(exchange)
            flow = self.detour(exchange, passage.flow) if self.detour is not None else None
        except (Exception, SystemExit) as error:
            log.exception("a section failed to say which way a call takes")
            fault = PluginError(f"a detour failed: {type(error).__name__}")
            return Passage(Flow(), _raising(fault), inline=True)
        return passage if flow is None else passage._replace(flow=flow, inline=passage.inline and not flow.is_async)

    def _passage(self, exchange: Exchange) -> Passage:
        request = exchange.request
        first: tuple[Ways, ...] = ()
        try:
            last = request.method in _OF_HOPS and is_last_hop(request)
            if last and request.path == "*":
                return Passage(self.unrouted, _itself, not self.unrouted.is_async)
            for readdress in self.readdress:
                name, steps = readdress(exchange)
                first += tuple(steps)
                if name:
                    exchange.route = self._named[name]
                    break
            route: Route = exchange.route or self.router.find(exchange)
            passage: Passage = self._behind(route, *first) if first else route.passage
        except Fault as fault:
            asked = self._preflighted(exchange) if isinstance(fault, MethodNotAllowed) else None
            if asked is None:
                flow = self.unrouted
                if first:
                    flow = Flow(self.config.flow, *first, hook_timeout=flow.hook_timeout)
                return Passage(flow, _raising(fault), not flow.is_async)
            route, passage = asked, Passage(asked.passage.flow, _raising(fault), not asked.passage.flow.is_async)
        body, bounds = request.body, route.settings
        body.limit, body.keep_limit = bounds.request, bounds.kept
        return passage._replace(destination=_itself) if last else passage

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

    def forget(self) -> None:
        """Let go of all that it is, once no call is left, piece by piece; a thread does so beside calls of others."""
        for route in self._made:
            route.passage = None
        pieces = [*self.config.pieces(), *self._made]
        self._made, self._named, self.router = {}, {}, Router([])
        del self._behind, self.config  # one holds the generation, the other one its pieces
        while pieces:
            pieces.pop()

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


_OF_HOPS = frozenset({"OPTIONS", "TRACE"})
_USUAL = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


async def _itself(exchange: Exchange) -> Response:
    """Answer what is asked of this gateway. TRACE shows nobody what others have added to the request."""
    methods = exchange.route and exchange.route.methods
    allow = {"Allow": ", ".join(sorted((methods or _USUAL) - {"TRACE"}))}
    if exchange.request.method == "TRACE":
        raise MethodNotAllowed("TRACE is not answered by this gateway.", headers=allow)
    return Response(200, Headers(allow))


async def _nowhere(exchange: Exchange) -> Response:
    raise ServiceUnavailable("This route calls no backend, and none of its steps answered.", reason="no-destination")
