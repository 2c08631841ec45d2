"""The management app: the pages and APIs under ``/-/``, on a listener of their own and never on the public port."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

from quart import Blueprint, Response, jsonify, request

from hookgate.exchange.errors import ConfigError
from hookgate.gateway.gateway import Gateway
from hookgate.gateway.generation import Generation
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
        app.before_request(_only_from_here)
        app.register_blueprint(_core(self.gateway), url_prefix="/-")
        return app


async def _only_from_here() -> Response | None:
    """Keep pages of other sites out: a browser sends their ``Origin``, and a rebound name is no address of ours."""
    host = request.host.rpartition(":")[0] if ":" in request.host else request.host
    own = {f"{scheme}://{request.host}" for scheme in ("http", "https")}  # of what ends TLS before us
    if request.method not in ("GET", "HEAD") and not own.issuperset(request.headers.getlist("Origin")):
        return _problem(403, "Calls from web pages of others are refused.")
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if host != "localhost":
            return _problem(421, "Call the management listener by address or as localhost.")
    return None


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
