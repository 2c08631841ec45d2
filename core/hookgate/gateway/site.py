"""What sections may ask while a document is loaded, and the table of routes that they fill."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator

from hookgate.contract.metadata import Described
from hookgate.contract.plugin import Options
from hookgate.contract.section import Section
from hookgate.contract.steps import Branch, FlowOptions, Interceptor, Ways
from hookgate.document.building import Builder
from hookgate.exchange.belonging import ApiInfo
from hookgate.exchange.errors import Path, Problem, dotted
from hookgate.flow.record import DestinationSection, MatchSection, RouteLimitsSection, RouteSection
from hookgate.flow.router import conflicts
from hookgate.flow.routes import RouteConfig, route_of


def _shown(name: str) -> str:
    if not 0 < len(name) <= 1000 or name != name.strip() or not name.isprintable():
        raise ValueError(f"{name!r} is no name: up to 1000 characters that can be printed, without spaces around it")
    return name


class MadeRouteSection(Described):
    """A route whose steps a section has built. Their ids do not come from its name, which so may hold a path."""

    name: Annotated[str, AfterValidator(_shown)]
    description: str = ""
    match: MatchSection = MatchSection()
    to: DestinationSection | None = None
    limits: RouteLimitsSection = RouteLimitsSection()


class Table:
    """The routes of a document. A name is given once, and what the document writes itself comes first."""

    def __init__(self, problems: list[Problem]) -> None:
        self.routes: list[RouteConfig] = []
        self._problems = problems
        self._places: dict[str, Path] = {}

    def take(self, config: RouteConfig) -> None:
        """Take in a route, whoever has made it."""
        if config.name in self._places:
            message = f"this makes a route {config.name!r}, and there is one of that name"
            self._problems.append(Problem(config.path, message))
            return
        self._places[config.name] = config.path
        self.routes += (replace(config, others=()), *config.others) if config.others else (config,)

    def check_parameters(self, common: FlowOptions, placed: Mapping[str, Path]) -> None:
        """Note the steps that fail for want of a path parameter: on a route that lacks it or, where a condition may
        keep them from running or they are in the ``common`` flow, on every one.
        """
        lacking: dict[str, list[Problem]] = {}
        spared: set[str] = set()
        for config in self.routes:
            for step, sure in (*_on_the_way_in(common, sure=False), *_on_the_way_in(config.steps)):
                if missing := sorted(step.path_params - set(config.route.parameters)):
                    has = ", ".join(config.route.parameters) or "none"
                    message = (
                        f"{step.entry.name} needs the path parameter {{{missing[0]}}}, and the route {config.name!r}"
                    )
                    place = (*placed.get(step.entry.id, config.path), step.entry.name)
                    lacking.setdefault(step.entry.id, []).append(Problem(place, f"{message} has: {has}"))
                elif not sure:
                    spared.add(step.entry.id)
        self._problems += [found[0] for entry_id, found in lacking.items() if entry_id not in spared]

    def check_conflicts(self) -> None:
        """Note the routes that could never be taken."""
        for earlier, later in conflicts([config.route for config in self.routes if config.app is None]):
            message = f"takes the same calls as the route {earlier.name!r}, so it would never run; change one of them"
            place = self._places[later.name]
            self._problems.append(Problem((*place, *(("match",) if place[0] == "routes" else ())), message))


def _on_the_way_in(flow: FlowOptions | Ways, *, sure: bool = True) -> Iterator[tuple[Interceptor[Any], bool]]:
    """Walk over the steps of a flow, those in branches too; say of each whether it runs for every call."""
    for _, step in flow.ways().way_in:
        yield step, sure and step.entry.when is None
        if isinstance(step, Branch):
            for inner in step.branches.values():
                yield from _on_the_way_in(inner, sure=False)


class LoadingSite:
    """What sections ask; see :class:`hookgate.contract.section.Site`."""

    def __init__(self, builder: Builder, sections: Mapping[str, Section[Any]]) -> None:
        self.gateway: Any = sections["gateway"].record
        self.placed = builder.placed
        self.accepts = builder.accepts
        self.catalogue = builder.catalogue
        self.flow = builder.steps
        self._builder = builder
        self._sections = sections
        self._noted = set(builder.problems)

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """Note a mistake; the same one at the same place counts once."""
        problem = Problem(path, message, at_key=at_key)
        if problem not in self._noted:
            self._noted.add(problem)
            self._builder.problems.append(problem)

    def part(self, name: str, path: Path, needing: str) -> Any:
        """Return a part of the house; one that is not there is noted as a mistake, and ``None``."""
        try:
            return self.catalogue.part(name)
        except LookupError as error:
            self.problem(path, f"{needing} needs the part {name} of the house; {error}", at_key=True)

    def section(self, name: str) -> Section[Any] | None:
        """Return another section of this document."""
        return self._sections.get(name)

    def names(self, section: str) -> Collection[str]:
        """Return the names that may be referred to."""
        if section == "connections":
            return self._builder.connections or ()
        found = self._sections.get(section)
        return found.names() if found is not None else ()

    def step(self, entry: object, path: Path, owner: str, origin: str = "") -> Interceptor[Any] | None:
        """Build a step from its entry."""
        return self._builder.place("interceptor", entry, path, owner, origin)  # type: ignore[no-any-return]

    def adopt(self, step: Interceptor[Any], path: Path) -> None:
        """Take in a step that the section has made itself."""
        self._builder.instances[step.entry.id] = step
        self._builder.placed.setdefault(step.entry.id, path)

    def route(
        self,
        written: Options | Mapping[str, Any],
        path: Path,
        made_of: Mapping[str, str | Path] | None = None,
        *,
        steps: FlowOptions | Ways | None = None,
        api: ApiInfo | None = None,
        strip: str = "",
        prefix: str = "",
    ) -> RouteConfig | None:
        """Make a route of what a document would say, or of a record of the section ``routes`` itself."""
        if isinstance(written, RouteSection):
            return route_of(written, steps or written, path, self.problem, api=api, strip=strip, prefix=prefix)
        problems, noted = self._builder.problems, len(self._builder.problems)
        said: Any = written
        name = said.get("name") if isinstance(said, Mapping) else None
        record: RouteSection | MadeRouteSection | None
        if steps is None:
            record = self._builder.record(RouteSection, said, path, f"routes.{name}", str(path[0]))
            steps = record
        else:
            record = self._builder.record(MadeRouteSection, said, path, f"routes.{name}", str(path[0]))
        made: RouteConfig | None = None
        if record is not None and steps is not None:
            made = route_of(record, steps, path, self.problem, api=api, strip=strip, prefix=prefix)
        if len(problems) > noted:
            problems[noted:] = [_elsewhere(each, path, made_of or {}) for each in problems[noted:]]
        return made


def _elsewhere(problem: Problem, path: Path, made_of: Mapping[str, str | Path]) -> Problem:
    """Tell a mistake in what was made of an item at the field it was made of, or at the item."""
    said = dotted(problem.path[len(path) :])
    found = max((part for part in made_of if said.startswith(part)), key=len, default=None)
    if found is not None:
        place = made_of[found]
        return Problem((*path, place) if isinstance(place, str) else place, problem.message)
    return Problem(path, f"{said}: {problem.message}" if said else problem.message)
