"""What is kept, on the management listener: how much, and out with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hookgate import App, Host, Options, hookimpl

if TYPE_CHECKING:
    from quart import Blueprint, Response

    from hookgate_interceptor_cache import Cache

FILTERS = ("tag", "url", "all")


class CacheApp(App[Options]):
    """Two pages for operators, in JSON.

    * `cache`: the steps `cache` of the live document, with how many answers each keeps and how many octets these take.
    * `cache/purge`, by POST: takes answers out, and tells how many they were. One of `?tag=T` (those with this tag),
      `?url=URL` (those of one URL: scheme, host, path and query as the step sees them) or `?all=true`. With `&step=ID`
      only of that step; 404 if there is none. An answer that is on its way meanwhile is not kept either.
    """

    @hookimpl
    def blueprint(self, host: Host) -> Blueprint:
        """Return the pages."""
        from quart import Blueprint, request

        from hookgate_interceptor_cache import Cache

        pages = Blueprint("cache", __name__)

        @pages.get("/cache")
        async def shown() -> Response:
            return _page({"caches": [_shown(cache) for cache in host.find(Cache)]})

        @pages.post("/cache/purge")
        async def purge() -> Response:
            asked = request.args
            named = [name for name in FILTERS if name in asked]
            if set(asked) - {*FILTERS, "step"} or len(named) != 1 or asked.get("all", "true") != "true":
                return _problem(
                    400, "Write what is to go: one of tag=, url= and all=true, and step= for one step only."
                )
            caches = [cache for cache in host.find(Cache) if asked.get("step", cache.entry.id) == cache.entry.id]
            if not caches and "step" in asked:
                return _problem(404, f"There is no step cache with the id {asked['step']!r}.")
            (by,) = named
            return _page({"purged": sum(_purged(cache, by, asked[by]) for cache in caches)})

        return pages


def _purged(cache: Cache, by: str, value: str) -> int:
    store = cache.store
    return store.clear() if by == "all" else store.purge(value) if by == "tag" else store.invalidate(value)


def _shown(cache: Cache) -> dict[str, object]:
    return {"step": cache.entry.id, "entries": len(cache.store), "octets": cache.store.octets}


def _page(document: dict[str, object], status: int = 200, content_type: str = "application/json") -> Response:
    from quart import Response

    head = {"Cache-Control": "no-store"}
    return Response(json.dumps(document), status, head, content_type=content_type)


def _problem(status: int, detail: str) -> Response:
    return _page({"type": "about:blank", "status": status, "detail": detail}, status, "application/problem+json")
