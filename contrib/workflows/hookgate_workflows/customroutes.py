"""The section ``custom_routes``: workflows that are calls of an API of their own (CR-1 to CR-23)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hookgate import (
    Item,
    Loaded,
    Problem,
    Route,
    Section,
    Site,
    Ways,
    hookimpl,
)
from hookgate_workflows.proxysteps import Forward
from hookgate_workflows.referring import unheld
from hookgate_workflows.routerecord import CustomRouteSection, path_of, prefix_of
from hookgate_workflows.step import RunWorkflowOptions

_OF_A_ROUTE = {each.alias or name for name, each in RunWorkflowOptions.model_fields.items()}


class CustomRoutes(Section[CustomRouteSection]):
    """Routes that run workflows; each becomes a route of the gateway, whose flow ends in the step `workflow`."""

    shape, kind, plural, key = "list", "custom route", "custom routes", ("route", "method")

    @classmethod
    def name_of(cls, written: Mapping[str, Any]) -> str:
        """Return what a route is called: `get users:{id}` for `/users/{id}`, as names of objects have no slashes, and
        `get p1 users:{id}` for that of a proxy."""
        method, route = written.get("method"), written.get("route")
        if not isinstance(method, str) or not isinstance(route, str):
            return ""
        proxy = f"{written['proxy']} " if isinstance(written.get("proxy"), str) else ""
        return f"{method.lower()} {proxy}{route.removeprefix('/').replace(':', '::').replace('/', ':')}"

    @hookimpl
    def routes(self, site: Site) -> Iterator[Route | None]:
        """Make the routes."""
        for item in self.items:
            yield self._route(site, item)

    def _route(self, site: Site, item: Item[CustomRouteSection]) -> Route | None:
        record = item.record
        engine: Any = site.section("workflow_engine")
        settings = engine.record
        try:
            path, patterns = path_of(record.route)
        except ValueError as error:
            site.problem((*item.path, "route"), str(error))
            return None
        if "timeout" in record.model_fields_set and record.timeout >= site.gateway.hook_timeout:
            message = f"gateway.hook_timeout ends it after {site.gateway.hook_timeout:g} s; write more there"
            site.problem((*item.path, "timeout"), message)
        if record.validate_response != "off" and (record.output_schema is None or not record.sync):
            site.problem((*item.path, "validate_response"), "needs an output_schema, and a route that says sync: true")
        if record.proxy and record.public:
            site.problem((*item.path, "public"), "a route of a proxy needs a caller who is known: leave public out")
        prefix = prefix_of(record, settings)
        prefixes = [prefix, *([settings.public_alias] if record.public and settings.public_alias else ())]
        owner = f"custom_routes.{item.name}"
        proxies: Any = site.section("proxies") if record.proxy else None
        proxy = None if proxies is None else proxies.by_name.get(record.proxy)
        auth: Any = () if record.public else self._auth(site, item, engine, owner) if proxy is None else ()
        if proxy is not None:
            auth = proxies.around(site, record.proxy, owner)
        options: dict[str, Any] = {
            "workflow": record.workflow,
            "sync": record.sync,
            "accepted": record.accepted,
            "authenticated": not record.public,
            "timeout": record.timeout,
            "on_missing_response": record.on_missing_response,
            "patterns": patterns,
            "prefixes": prefixes,
        }
        if proxy is not None:
            options["otherwise"] = "pass"
        if record.error_handler is not None:
            options["error_handler"] = record.error_handler
        if record.body_schema is not None:
            options["schema"] = record.body_schema.written
        if record.output_schema is not None and record.validate_response != "off":
            options |= {"output_schema": record.output_schema.written, "validate_response": record.validate_response}
        kind = "workflow" if record.bulk is None else "bulk"
        for name in sorted({*(record.bulk or ())} & _OF_A_ROUTE):
            site.problem((*item.path, "bulk", name), "is a field of the route itself")
        step: Any = site.step({kind: {**(record.bulk or {}), **options}}, item.path, owner)
        if step is None or not record.enabled:
            return None
        most = step.longest(settings.limits.request)
        written: dict[str, Any] = {
            "name": f"{record.method.upper()} {prefix}{record.route}",
            "match": {"path": [f"{each}{path}" for each in prefixes], "methods": [record.method.upper()]},
            "limits": {"request_body": most, "buffered_body": most},
            "labels": {"group": record.group} if record.group else {},
        }
        made_of: dict[str, Any] = {"match.path": "route", "match.methods": "method"}
        if proxy is None or not patterns:
            return site.route(written, item.path, made_of, steps=Ways((*auth, (kind, step)), auth))
        # what its parameters do not match goes on to the upstream gateway, as long as it may be there
        del written["limits"]["request_body"]
        forward = Forward(f"{owner}.forward", str(record.proxy))
        site.adopt(forward, item.path)
        there = (("forward", forward),)
        steps = Ways((*auth, (kind, step), *there), (*auth, *there))
        written["to"] = proxy.destination
        return site.route(written, item.path, made_of, steps=steps, strip=prefix, prefix=proxy.upstream_prefix)

    def _auth(self, site: Site, item: Item[CustomRouteSection], engine: Any, owner: str) -> Any:
        """Build the steps that find out who calls."""
        entries, path = engine.auth(site)
        if not entries:
            message = "a call needs to be authenticated, and nothing says how: write keymanager, or"
            site.problem(item.path, f"{message} workflow_engine: {{auth: […]}}, or make the route public")
        made = []
        for index, entry in enumerate(entries):
            step = site.step(entry, (*path, index), owner)
            if step is not None:
                made.append((f"auth/{index}", step))
        return tuple(made)

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Tell workflows and proxies that are not there, with nothing else of their kind."""
        yield from unheld(site, self.items, workflow="workflows", error_handler="workflows", proxy="proxies")

    @hookimpl
    def review(self, configuration: Loaded) -> Iterator[Problem]:
        """Warn of synchronous routes whose workflow may pause (CR-6)."""
        workflows: Any = configuration.sections.get("workflows")
        for item in self.items:
            graph = None if workflows is None else workflows.graphs.get(item.record.workflow)
            if graph is not None and item.record.sync and graph.pauses:
                message = f"the cell {graph.pauses[0]!r} of {graph.name!r} may pause, and a call that waits is then"
                yield Problem((*item.path, "sync"), f"{message} answered with 504 [workflow-pauses]")
