"""The section `routes`, and from what it says of a route to an entry in the table of the router."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, Protocol

from hookgate.contract.hookspecs import hookimpl
from hookgate.contract.section import Route as Contributed
from hookgate.contract.section import Section, Site
from hookgate.contract.steps import FlowOptions, Ways
from hookgate.exchange.belonging import ApiInfo
from hookgate.exchange.errors import Path
from hookgate.flow.paths import asked, compile_destination, parse
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
    others: tuple[RouteConfig, ...] = ()
    """The same route on its other hosts and paths, where it has several."""

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
    made: list[RouteConfig] = []
    wrong = False
    for (at_host, host), (at_path, template) in product(_each(match.host, "host"), _each(match.path, "path")):
        try:
            route = Route(record.name, template, host=host, methods=match.methods, when=match.when)
        except ValueError as error:
            note((*path, "match", *(at_host if _is_path(template) else at_path)), str(error))
            wrong = True
            continue
        route.api, route.labels, route.extensions = api, record.labels, record.extensions
        if to is not None and to.path is not None:
            try:
                method, target = asked(to.path)
                compile_destination(target, route.parameters, to.path_params)
                _refuse(method, route.methods)
            except ValueError as error:
                note((*path, "to", "path"), str(error))
                wrong = True
        made.append(RouteConfig(record.name, record, steps, route, strip, prefix, path))
    return None if wrong else replace(made[0], others=tuple(made[1:]))


def _refuse(method: str, methods: Iterable[str] | None) -> None:
    """Refuse, by a ``ValueError``, a method that no call of a route can become."""
    if method in ("CONNECT", "TRACE"):
        raise ValueError(f"a backend is not asked for {method} in the place of something else; leave the method out")
    if method == "HEAD" and set(methods or ()) != {"HEAD"}:
        raise ValueError("an answer to HEAD has no body, so it answers nothing but HEAD; write GET, which does both")


def _each(said: Any, key: str) -> list[tuple[Path, Any]]:
    """Give each of several, or the one, with its place."""
    return [((key, index), one) for index, one in enumerate(said)] if isinstance(said, tuple) else [((key,), said)]


def _is_path(template: str) -> bool:
    with suppress(ValueError):
        return parse(template) is not None
    return False
