"""Show on /-/health whether the gateway and its targets are well."""

from collections.abc import Mapping
from typing import Any

from quart import Blueprint, Response, jsonify

from hookgate import App, Host, Options, hookimpl

SERVING = frozenset({"ok", "degraded"})


class Health(App[Options]):
    """Three pages for operators, balancers in front and orchestrators, in JSON and never cached.

    * `health`: what the gateway knows of itself: its state, what is wrong with the last document, and for each target
      of each connection the health, the reason, when it was last seen well (Unix time, AC-8), the calls in flight and
      the failed checks in a row; under `plugins` what plugins tell of themselves, by id, whose problems make it
      `degraded`. 200 while calls are served, `degraded` included; 503 before and after.
    * `ready`: 200 while calls are served, else 503. Ask this before sending calls.
    * `live`: 200 as long as the process answers at all. Restart it when this fails.
    """

    @hookimpl
    def blueprint(self, host: Host) -> Blueprint:
        """Return the pages."""
        pages = Blueprint("health", __name__)

        @pages.get("/health")
        async def health() -> Response:
            status = host.status()
            return _page(status, serving=status["status"] in SERVING)

        @pages.get("/ready")
        async def ready() -> Response:
            status = host.status()["status"]
            return _page({"status": status}, serving=status in SERVING)

        @pages.get("/live")
        async def live() -> Response:
            return _page({"status": "live"}, serving=True)

        return pages


def _page(document: Mapping[str, Any], *, serving: bool) -> Response:
    response = jsonify(document)
    response.status_code = 200 if serving else 503
    response.headers["Cache-Control"] = "no-store"
    return response
