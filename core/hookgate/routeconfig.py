"""Routes: from their section of the document to the table of the router."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hookgate.building import Builder
from hookgate.errors import Path, Problem, dotted
from hookgate.paths import compile_destination
from hookgate.plugin import FlowOptions, Ways
from hookgate.router import Route, conflicts
from hookgate.sections import RouteSection


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A route with its steps built."""

    name: str
    section: RouteSection
    """What the document says, except for its steps: these are below, and only there."""
    steps: FlowOptions | Ways
    route: Route = field(compare=False)
    cut: str = ""
    """What is taken off the front of the path for the backend."""
    prefix: str = ""
    """What is put there instead."""
    path: Path = field(default=(), compare=False)
    """Where it stands in the document, or what it was made of."""


class Routes:
    """Takes in the routes of a document one by one."""

    def __init__(self, builder: Builder) -> None:
        self.built: list[RouteConfig] = []
        self._builder = builder
        self._places: dict[str, Path] = {}

    def placed(self, record: RouteSection, path: Path) -> RouteConfig | None:
        """Make a route of its record."""
        route = self._route(record, path)
        if route is None:
            return None
        self._check_destination(record, route, path)
        return RouteConfig(record.name, record, record, route, path=path)

    def make(self, raw: Mapping[str, Any], path: Path, origin: str, made_of: Mapping[str, str]) -> RouteConfig | None:
        """Make a route of what a document would say, where something else stands at a place."""
        problems, noted = self._builder.problems, len(self._builder.problems)
        record = self._builder.record(RouteSection, raw, path, f"routes.{raw.get('name')}", origin)
        made = self.placed(record, path) if record is not None else None
        problems[noted:] = [_elsewhere(each, path, made_of) for each in problems[noted:]]
        return made

    def take(self, config: RouteConfig) -> None:
        """Take in a route, whoever has made it."""
        if config.name in self._places:
            message = f"this makes a route {config.name!r}, and there is one of that name"
            self._builder.problems.append(Problem(config.path, message))
            return
        self._places[config.name] = config.path
        self.built.append(config)

    def check_conflicts(self) -> None:
        """Note the routes that could never be taken."""
        for earlier, later in conflicts([config.route for config in self.built]):
            message = f"takes the same calls as the route {earlier.name!r}, so it would never run; change one of them"
            place = self._places[later.name]
            self._builder.problems.append(Problem((*place, *(("match",) if place[0] == "routes" else ())), message))

    def _route(self, section: RouteSection, path: Path) -> Route | None:
        match = section.match
        try:
            return Route(section.name, match.path, host=match.host, methods=match.methods, when=match.when)
        except ValueError as error:
            at = "host" if _is_good(section.name, match.path) else "path"
            self._builder.problems.append(Problem((*path, "match", at), str(error)))
            return None

    def _check_destination(self, section: RouteSection, route: Route, path: Path) -> None:
        to = section.to
        if to is None:
            return
        problems = self._builder.problems
        if to.path is not None:
            try:
                compile_destination(to.path, route.parameters, to.path_params)
            except ValueError as error:
                problems.append(Problem((*path, "to", "path"), str(error)))


def _elsewhere(problem: Problem, path: Path, made_of: Mapping[str, str]) -> Problem:
    """Tell a mistake in what was made of an item at the field it was made of, or at the item."""
    said = dotted(problem.path[len(path) :])
    found = max((part for part in made_of if said.startswith(part)), key=len, default=None)
    if found is not None:
        return Problem((*path, made_of[found]), problem.message)
    return Problem(path, f"{said}: {problem.message}" if said else problem.message)


def _is_good(name: str, path: str) -> bool:
    try:
        Route(name, path)
    except ValueError:
        return False
    return True
