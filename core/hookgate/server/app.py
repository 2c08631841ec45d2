"""The gateway as a Quart app: plain Hypercorn (or any ASGI server) with this app serves every route.

``asgi_app`` takes gateway calls below Quart, which costs them nothing of it, and gives Quart what is Quart's: apps
that the document exposes on the public listener without a flow, and the lifespan that starts and stops the gateway.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quart import Quart

from hookgate.document.building import Builder
from hookgate.document.catalogue import AmbiguousError, Catalogue
from hookgate.exchange.errors import ConfigError, Problem
from hookgate.gateway.gateway import Gateway
from hookgate.gateway.generation import Generation
from hookgate.server.edge.asgi import Edge
from hookgate.server.edge.mending import spare_connection, with_close_codes
from hookgate.server.edge.websocket import WebSocketEdge
from hookgate.server.mounting import behind_flow
from hookgate.server.pages import Pages
from hookgate.server.settings import Settings


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
                generation.exposed[route.app.prefix] = app = behind_flow(route.app)
                problems += app.place(route.app.plugin, generation, route.app.prefix)
        if problems:
            raise ConfigError(problems)

    def _exposed_at(self, path: str) -> Quart | None:
        live = self.gateway.live
        prefix = live.exposed_at(path) if live is not None else None
        return None if live is None or prefix is None else live.exposed[prefix]


def gateway_for(
    path: Path | None, plugins_dir: Path | None = None, source: str | None = None, options: str | None = None
) -> Gateway:
    """Make a gateway that reads its document by a source, the default one if none is named.

    ``options`` of the source are a JSON object; the path stands in them where the source has an option of that name.

    Raises:
        ConfigError: there is no such folder of plugins, or no source plugin that can be used so.
    """
    try:
        catalogue = Catalogue(plugins_dir)
        name = source or catalogue.default("source")
        if name is None:
            raise LookupError("no source is installed that reads files, so no document can be read")
        cls = catalogue.get("source", name)
    except AmbiguousError as error:
        why = str(error).partition("; name one")[0]
        raise ConfigError([Problem((), f"{why}; set HOOKGATE_SOURCE to the name of one")]) from error
    except LookupError as error:
        raise ConfigError([Problem((), str(error))]) from error
    given = _options(options)
    if path is not None and "path" in cls.options_type.model_fields:
        given = {"path": path, **given}
    elif path is not None:
        raise ConfigError([Problem((), f"the source {name!r} reads no file: leave out {path}")])
    problems: list[Problem] = []
    try:
        made = Builder(catalogue, problems=problems).place("source", {name: given}, ("source",), "source")
    except (Exception, SystemExit) as error:
        why = f"the source {name!r} cannot be made: {type(error).__name__}: {error}"
        raise ConfigError([Problem((), why)]) from error
    if made is None:
        raise ConfigError(problems or [Problem(("source",), "it cannot be disabled")])
    return Gateway(made, catalogue)


def _options(written: str | None) -> dict[str, Any]:
    try:
        given = json.loads(written or "{}")
    except ValueError as error:
        raise ConfigError([Problem(("HOOKGATE_SOURCE_OPTIONS",), f"is no JSON: {error}")]) from None
    if not isinstance(given, dict):
        raise ConfigError([Problem(("HOOKGATE_SOURCE_OPTIONS",), 'is no JSON object, such as {"prefix": "gateway/"}')])
    return given


def gateway_as_set(path: Path | None = None) -> Gateway:
    """Make the gateway that the settings of the process ask for; ``path`` is the document where they name none.

    Raises:
        LookupError: no document is named, and no source that needs none.
        ConfigError: as for :func:`gateway_for`.
    """
    settings = Settings()
    document = path or settings.config
    if document is None and settings.source is None:
        raise LookupError("name a document, or set HOOKGATE_CONFIG to one")
    return gateway_for(document, settings.plugins_dir, settings.source, settings.source_options)


def create_app(path: str | Path | None = None) -> GatewayApp:
    """Make the app of a document, for ASGI servers: ``hypercorn 'hookgate.server.app:create_app("gateway.yaml")'``.

    Without a path, ``HOOKGATE_CONFIG`` names the document.
    """
    return GatewayApp(gateway_as_set(None if path is None else Path(path)))
