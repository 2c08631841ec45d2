"""The gateway as a Quart app: plain Hypercorn (or any ASGI server) with this app serves every route.

``asgi_app`` takes gateway calls below Quart, which costs them nothing of it, and gives Quart what is Quart's: apps
that the document exposes on the public listener without a flow, and the lifespan that starts and stops the gateway.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quart import Quart

from hookgate.exchange.errors import ConfigError, Problem
from hookgate.gateway.gateway import Gateway
from hookgate.gateway.generation import Generation
from hookgate.server.edge.asgi import Edge
from hookgate.server.edge.mending import spare_connection, with_close_codes
from hookgate.server.edge.websocket import WebSocketEdge
from hookgate.server.pages import Pages
from hookgate.server.starting import gateway_as_set


class GatewayApp(Quart):
    """Quart with the data path in front."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__("hookgate")
        self.gateway = gateway
        self.edge = Edge(gateway)
        self.websockets = WebSocketEdge(gateway)
        gateway.mounts.append(self.mount)
        self.before_serving(gateway.open)
        self.after_serving(gateway.close)

    async def asgi_app(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve gateway calls at once and leave the rest to Quart."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            await super().asgi_app(scope, receive, send)
            return
        spare_connection(send)
        if (app := self._exposed_at(scope["path"])) is not None:
            await app(scope, receive, send)
        elif kind == "http":
            await self.edge(scope, receive, send)
        else:
            await self.websockets(scope, *with_close_codes(receive, send))

    def mount(self, generation: Generation) -> None:
        """Make the pages of a generation that is coming, with and without flows.

        Raises:
            ConfigError: an app cannot be shown.
        """
        problems: list[Problem] = []
        for prefix, plugin in generation.config.exposed.items():
            generation.exposed[prefix] = app = Pages(f"hookgate{prefix}")
            problems += app.place(plugin, generation, prefix)
        for route in generation.config.routes:
            if route.app is not None:
                generation.exposed[route.app.prefix] = app = route.app.bridge.pages(route.app)
                problems += app.place(route.app.plugin, generation, route.app.prefix)
        if problems:
            raise ConfigError(problems)

    def _exposed_at(self, path: str) -> Quart | None:
        live = self.gateway.live
        prefix = live.exposed_at(path) if live is not None else None
        return None if live is None or prefix is None else live.exposed[prefix]


def create_app(path: str | Path | None = None) -> GatewayApp:
    """Make the app of a document, for ASGI servers: ``hypercorn 'hookgate.server.app:create_app("gateway.yaml")'``.

    Without a path, ``HOOKGATE_CONFIG`` names the document.
    """
    return GatewayApp(gateway_as_set(None if path is None else Path(path)))
