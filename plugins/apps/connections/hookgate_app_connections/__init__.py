"""Connections on the management listener: health, pools, failures, targets."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from quart import Blueprint, Response, jsonify, request

from hookgate import App, Host, Options, hookimpl

HEALTH = ("healthy", "degraded", "unhealthy")


class Connections(App[Options]):
    """Two pages for operators, in JSON and never cached. They show names, addresses and numbers, no options and no
    headers, so no secret is on them.

    * `connections`: all connections of the live document, with their tags, health, transport, balancer, monitors and
      pool; for each target the weight, health, reason, when a check last found it well (`last_seen` in Unix time,
      `last_seen_at` in ISO 8601), calls in flight and failed checks in a row; `current`, the target that a balancer
      keeps to, if it is one that keeps to any; and counts since the connection was made, with `northbound_errors`
      (answers of 500 and above to our callers), `southbound_errors` (from the backend) and `network_issues` (no
      connection, no such name, no answer in time). `?tag=eu` shows those with a tag, whatever its case, and
      `?health=unhealthy` those whose active targets are all unhealthy (`degraded`: some of them; `healthy`: none). Of
      several tags all have to be there, of several kinds of health one.
    * `connections/NAME`: one of them; 404 if there is none.
    """

    @hookimpl
    def blueprint(self, host: Host) -> Blueprint:
        """Return the pages."""
        pages = Blueprint("connections", __name__)

        @pages.get("/connections")
        async def connections() -> Response:
            if unknown := set(request.args) - {"tag", "health"}:
                return _problem(400, f"There is no filter {min(unknown)!r}; write tag= or health=.")
            health = request.args.getlist("health")
            if wrong := set(health) - set(HEALTH):
                return _problem(400, f"{min(wrong)!r} is no health; write {', '.join(HEALTH[:-1])} or {HEALTH[-1]}.")
            shown = [
                _shown(facts)
                for facts in host.overview().values()
                if _has_tags(facts, request.args.getlist("tag")) and (not health or facts["health"] in health)
            ]
            return _page({"connections": shown})

        @pages.get("/connections/<path:name>")
        async def connection(name: str) -> Response:
            facts = host.overview().get(name)
            if facts is None:
                return _problem(404, f"There is no connection named {name!r}.")
            return _page(_shown(facts))

        return pages


def _has_tags(facts: Mapping[str, Any], wanted: Iterable[str]) -> bool:
    """Compare tags as AC-34 wants them: trimmed, whatever their case."""
    held = {tag.casefold() for tag in facts["tags"]}
    return all(tag.strip().casefold() in held for tag in wanted)


def _shown(facts: Mapping[str, Any]) -> dict[str, Any]:
    targets = [{**target, "last_seen_at": _iso(target["last_seen"])} for target in facts["targets"]]
    return {**facts, "targets": targets}


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _page(document: Mapping[str, Any], status: int = 200, content_type: str = "application/json") -> Response:
    response = jsonify(document)
    response.status_code = status
    response.content_type = content_type
    response.headers["Cache-Control"] = "no-store"
    return response


def _problem(status: int, detail: str) -> Response:
    return _page({"type": "about:blank", "status": status, "detail": detail}, status, "application/problem+json")
