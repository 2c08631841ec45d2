"""The management app: the pages and APIs under ``/-/``, on a listener of their own and never on the public port."""

from __future__ import annotations

import ipaddress
import json
import re
from functools import partial
from typing import Any

from quart import Blueprint, Request, Response, Websocket, jsonify, request, websocket

from hookgate.exchange import messages
from hookgate.exchange.errors import ConfigError
from hookgate.gateway.gateway import Gateway
from hookgate.gateway.generation import Generation
from hookgate.server.intake import Networks, trust
from hookgate.server.pages import Pages


class ManagementApp:
    """An ASGI app that serves the apps of the generation that is live."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._bare = self._app()
        gateway.mounts.append(self.mount)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one call with the pages of the live generation."""
        live = self.gateway.live
        app = self._bare if live is None or live.pages is None else live.pages
        if live is not None and live.config.management.trusted_proxies and scope.get("client"):
            scope = {**scope, "client": (_client(scope, live.config.management.trusted_proxies), 0)}
        await app(scope, receive, send)

    def mount(self, generation: Generation) -> None:
        """Make the pages of a generation that is coming; those of the same apps serve on.

        Raises:
            ConfigError: an app cannot be shown.
        """
        live = self.gateway.live
        if live is not None and live.pages is not None and live.config.apps == generation.config.apps:
            generation.pages = live.pages
            return
        generation.pages = app = self._app()
        problems = [p for plugin in generation.config.apps for p in app.place(plugin, generation, "/-")]
        if problems:
            raise ConfigError(problems)

    def _app(self) -> Pages:
        app = Pages("hookgate-management")
        app.config["MAX_CONTENT_LENGTH"] = 1024 * 1024
        app.before_request(partial(self._only_from_here, request))
        app.before_websocket(partial(self._only_from_here, websocket))
        app.register_blueprint(_core(self.gateway), url_prefix="/-")
        return app

    async def _only_from_here(self, asked: Request | Websocket) -> Response | None:
        """Keep pages of other sites out: a browser sends their ``Origin``, and a rebound name is no address of ours."""
        host = re.sub(":[0-9]*$", "", asked.host).lower()
        own = {f"{scheme}://{asked.host}" for scheme in ("http", "https")}  # of what ends TLS before us
        reads = asked.method in ("GET", "HEAD") and asked.scheme in ("http", "https")  # a WebSocket is more than that
        if not reads and not own.issuperset(asked.headers.getlist("Origin")):
            return _problem(403, "Calls from web pages of others are refused.")
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            live = self.gateway.live
            if host not in ("localhost", *(() if live is None else live.config.management.allowed_hosts)):
                return _problem(421, "Call by address, as localhost, or by a name that management.allowed_hosts has.")
        return None


def _client(scope: Any, networks: Networks) -> str:
    headers = messages.Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
    asked = messages.Request(headers=headers, client=scope["client"][0])
    trust(asked, networks)
    return asked.client


def _core(gateway: Gateway) -> Blueprint:
    blueprint = Blueprint("core", __name__)

    @blueprint.post("/reload")
    async def reload() -> Response:
        try:
            return jsonify({"generation": await gateway.reload()})
        except ConfigError as error:
            return _problem(
                503 if error.outside else 422,
                "The document was refused; the running generation stays.",
                problems=[str(problem) for problem in error.problems],
                generation=gateway.live.number if gateway.live else 0,
            )

    return blueprint


def _problem(status: int, detail: str, **more: object) -> Response:
    document = {"type": "about:blank", "status": status, "detail": detail, **more}
    return Response(json.dumps(document), status, content_type="application/problem+json")
