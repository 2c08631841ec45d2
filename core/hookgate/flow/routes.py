"""The section `routes`, and from what it says of a route to an entry in the table of the router."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hookgate.contract.hookspecs import hookimpl
from hookgate.contract.section import Route as Contributed
from hookgate.contract.section import Section, Site
from hookgate.contract.steps import FlowOptions, Ways
from hookgate.exchange.belonging import ApiInfo
from hookgate.exchange.errors import Path
from hookgate.flow.paths import compile_destination
from hookgate.flow.record import DestinationSection, MatchSection, RouteLimitsSection, RouteSection
from hookgate.flow.router import Route


class Routes(Section[RouteSection]):
    """Which calls pass which steps and go where."""

    shape, kind = "list", "route"

    @hookimpl
    def routes(self, site: Site) -> Iterator[Contributed | None]:
        """Give each to the router."""
        for item in self.items:
            yield site.route(item.record, item.path)


class RouteRecord(Protocol):
    """What is said of a route, beside its steps."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def description(self) -> str:
        """What it is for."""

    @property
    def match(self) -> MatchSection:
        """Which calls it takes."""

    @property
    def to(self) -> DestinationSection | None:
        """Where they go."""

    @property
    def limits(self) -> RouteLimitsSection:
        """What differs from `gateway.limits`."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Short texts by name."""

    @property
    def extensions(self) -> Mapping[str, Any]:
        """What stands under ``x-…``."""


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A route with its steps built."""

    name: str
    section: RouteRecord
    """What the document says of it, or what was made for it."""
    steps: FlowOptions | Ways
    route: Route = field(compare=False)
    cut: str = ""
    """What is taken off the front of the path for the backend."""
    prefix: str = ""
    """What is put there instead."""
    path: Path = field(default=(), compare=False)
    """Where it stands in the document, or what it was made of."""
    app: Any = None
    """What is said of the app that stands in the place of a backend."""

    @property
    def api(self) -> ApiInfo | None:
        """What its calls belong to."""
        return self.route.api

    @property
    def labels(self) -> Mapping[str, str]:
        """Short texts by name."""
        return self.route.labels


def route_of(
    record: RouteRecord,
    steps: FlowOptions | Ways,
    path: Path,
    note: Callable[[Path, str], None],
    *,
    api: ApiInfo | None = None,
    strip: str = "",
    prefix: str = "",
) -> RouteConfig | None:
    """Make a route of its record; ``None`` for one that cannot be: ``note`` is told where and why."""
    match, to = record.match, record.to
    try:
        route = Route(record.name, match.path, host=match.host, methods=match.methods, when=match.when)
    except ValueError as error:
        note((*path, "match", "host" if _is_good(record.name, match.path) else "path"), str(error))
        return None
    route.api, route.labels, route.extensions = api, record.labels, record.extensions
    if to is not None and to.path is not None:
        try:
            compile_destination(to.path, route.parameters, to.path_params)
        except ValueError as error:
            note((*path, "to", "path"), str(error))
            return None
    return RouteConfig(record.name, record, steps, route, strip, prefix, path)


def _is_good(name: str, path: str) -> bool:
    try:
        Route(name, path)
    except ValueError:
        return False
    return True
