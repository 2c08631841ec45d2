"""The pages of custom routes for programs: OpenAPI of those that the caller may call (CR-30)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from typing import Any

import orjson
import yaml

from hookgate import (
    Entry,
    Exchange,
    Faulted,
    Host,
    Identity,
    Interceptor,
    Options,
    Response,
    Route,
    Site,
    Unauthorized,
    Ways,
    hookimpl,
)
from hookgate_workflows.describing import Described, described, document

PAGES = {
    "/custom_routes.swagger.yml": (True, "application/yaml"),
    "/custom_routes.swagger.json": (True, "application/json"),
    "/custom_routes.openapi.yml": (False, "application/yaml"),
    "/custom_routes.openapi.json": (False, "application/json"),
}
"""Path behind the prefix -> whether it is OpenAPI 3.0, and the type of the answer."""
MOST_KEPT = 64


class Published(Interceptor[Options]):
    """Answers with the routes that the caller may call; to callers who say nothing of who they are, with those that are
    public."""

    category = "mediation"
    sides = {"request"}
    writes = {"answer"}

    def __init__(self, page: str) -> None:
        super().__init__(Options())
        self.entry = Entry(f"workflow_engine{page}", "custom-routes-document", "interceptor")
        self._old, self._type = PAGES[page]
        self._host: Host
        self._of: tuple[Any, Any, Any] = (None, None, None)
        self._routes: list[Described] = []
        self._kept: dict[tuple[int, ...], bytes] = {}

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        """Answer.

        Raises:
            Unauthorized: nobody knows who calls, and nothing is public.
        """
        return await self.answer(exchange, exchange.identity)

    async def answer(self, exchange: Exchange, identity: Identity | None) -> Response:
        """Answer for somebody, or for nobody.

        Raises:
            Unauthorized: nobody knows who calls, and nothing is public.
        """
        custom: Any = self._host.section("custom_routes")
        engine: Any = self._host.section("workflow_engine")
        proxies = self._proxies()
        if not all(new is old for new, old in zip((custom, engine, proxies), self._of, strict=True)):
            headers = {name: each.session_header for name, each in getattr(proxies, "by_name", {}).items()}
            routes = await asyncio.to_thread(described, custom.items, engine.record, headers, old=self._old)
            self._of, self._routes, self._kept = (custom, engine, proxies), routes, {}
        routes, kept = self._routes, self._kept
        seen = tuple(index for index, each in enumerate(routes) if _may_see(each, engine.profiles, identity))
        if identity is None and not seen:
            challenge = {"WWW-Authenticate": 'Bearer realm="hookgate"'}
            raise Unauthorized("This needs a caller who is known.", headers=challenge)
        content = kept.get(seen)
        if content is None:
            content = await asyncio.to_thread(self._written, [routes[index] for index in seen])
            if len(kept) >= MOST_KEPT:
                del kept[next(iter(kept))]
            kept[seen] = content
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {"etag": tag, "cache-control": "private, no-cache"}
        if exchange.request.headers.get("if-none-match") == tag:
            return Response(304, headers)
        return Response(200, headers | {"content-type": self._type}, content)

    def _proxies(self) -> Any:
        try:
            return self._host.section("proxies")
        except LookupError:
            return None

    def _written(self, routes: list[Described]) -> bytes:
        made = document(routes, old=self._old)
        if self._type == "application/json":
            return orjson.dumps(made, option=orjson.OPT_INDENT_2)
        text: str = yaml.dump(
            orjson.loads(orjson.dumps(made)), Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True
        )
        return text.encode()


class Public(Interceptor[Options]):
    """Stands in front of the steps that find out who calls: whoever has shown no token sees what is public."""

    category = "mediation"

    def __init__(self, page: str, published: Published) -> None:
        super().__init__(Options())
        self.entry = Entry(f"workflow_engine{page} public", "public-custom-routes-document", "interceptor")
        self._published = published

    @hookimpl
    async def on_fault(self, exchange: Faulted) -> Response | None:
        """Answer."""
        refused = isinstance(exchange.fault, Unauthorized) and exchange.request.headers.get("authorization") is None
        try:
            return await self._published.answer(exchange, None) if refused else None
        except Unauthorized:
            return None


def _may_see(each: Described, profiles: Any, identity: Identity | None) -> bool:
    if each.record.public:
        return True
    method = each.record.method.upper()
    strict = each.record.proxy is not None
    return identity is not None and any(profiles.allow(identity, method, path, strict=strict) for path in each.samples)


def pages(site: Site, prefix: str, steps: tuple[tuple[str, Interceptor[Any]], ...]) -> Iterator[Route | None]:
    """Make the routes of the pages, behind the steps that find out who calls."""
    for page in PAGES:
        published = Published(page)
        public = Public(page, published)
        for step in (published, public):
            site.adopt(step, ("workflow_engine",))
        written = {"name": f"workflow{page}", "match": {"path": f"{prefix}{page}", "methods": ["GET"]}}
        around = (("public", public), *steps)
        yield site.route(
            written,
            ("workflow_engine",),
            {"match.path": "prefix"},
            steps=Ways((*around, ("document", published)), around),
        )
