"""From the operations of APIs to routes: paths, methods, destinations, and the flow each of them gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from hookgate.apiinfo import ApiInfo
from hookgate.expressions import Expression
from hookgate.paths import compile_destination
from hookgate.plugin import Ways
from hookgate.routeconfig import RouteConfig
from hookgate.router import Route
from hookgate.section import Site
from hookgate.sections import DestinationSection, MatchSection, RouteSection
from hookgate.validation import near
from hookgate_apis.records import ApiSection, ResourceSection, ScopeDestination
from hookgate_apis.steps import Steps
from hookgate_apis.tree import Scope, Tree


class _Place(NamedTuple):
    """A path that clients call for a resource."""

    pattern: str
    cut: str
    """What stands in front of the path of the resource."""
    when: str = ""
    """What a pattern cannot say."""
    note: str = ""


class Maker:
    """Makes the routes of APIs."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._steps = Steps(site)

    def routes(self, tree: Tree) -> Iterator[RouteConfig | None]:
        """Make the routes of one API; ``None`` in between, so that calls can be served."""
        for resource, described, operations in tree.resources:
            for method, scope in operations or [("", resource)]:
                yield from self._operation(tree, scope, described, method)
                yield None

    def _operation(self, tree: Tree, scope: Scope, resource: ResourceSection, method: str) -> Iterator[RouteConfig]:
        section = tree.section
        ways = self._steps.ways(tree.name, scope)
        to = destination(scope)
        self._check_destination(to, scope, ways)
        if section.environments and self._site.gateway.environment not in section.environments:
            return
        info = ApiInfo(section.name, section.version, resource.path, method)
        for place in _places(section, resource.path):
            for host in section.hosts or (None,):
                made = self._route(scope, place, host, method, to)
                if made is not None:
                    said, compiled = made
                    compiled.api = info
                    cut = "" if to.keep_base_path else place.cut
                    yield RouteConfig(said.name, said, ways, compiled, cut=cut, prefix=to.prefix or "", path=scope.path)

    def _route(
        self, scope: Scope, place: _Place, host: str | None, method: str, to: ScopeDestination
    ) -> tuple[RouteSection, Route] | None:
        name = f"{scope.name}{place.note}" + (f" on {host}" if host and len(self._hosts(scope)) > 1 else "")
        methods = (method,) if method else None
        when = Expression(place.when) if place.when else None
        try:
            route = Route(name, place.pattern, host=host, methods=methods, when=when)
        except ValueError as error:
            self._site.problem(scope.path, str(error))
            return None
        destination = None
        if to.connection is not None:
            mode: Any = "by_name" if to.by_name else "positional"
            if to.path is not None:
                try:
                    compile_destination(to.path, route.parameters, mode)
                except ValueError as error:
                    self._site.problem((*scope.path, "to"), str(error))
                    return None
            cap = self._site.gateway.timeout_cap
            destination = DestinationSection.model_construct(
                connection=to.connection,
                path=to.path,
                path_params=mode,
                timeout=min(to.timeout or cap, cap) if cap is not None else to.timeout,
                preserve_host=bool(to.preserve_host),
                stream=bool(to.stream),
            )
        match = MatchSection.model_construct(host=host, path=place.pattern, methods=methods, when=when)
        said = RouteSection.model_construct(
            name=name,
            description=scope.section.description,
            match=match,
            flow=(),
            request=(),
            response=(),
            to=destination,
            limits=scope.section.limits,
        )
        return said, route

    @staticmethod
    def _hosts(scope: Scope) -> tuple[str, ...]:
        while scope.parent is not None:
            scope = scope.parent
        section = scope.section
        return section.hosts if isinstance(section, ApiSection) else ()

    def _check_destination(self, to: ScopeDestination, scope: Scope, ways: Ways) -> None:
        if to.connection is None:
            if not ways.way_in:
                self._site.problem(scope.path, "calls go nowhere: write to.connection here or above")
        elif to.connection not in (known := self._site.names("connections")):
            at: Scope | None = scope
            while at is not None and at.section.to.connection is None:
                at = at.parent
            place = (*(at or scope).path, "to", "connection")
            self._site.problem(place, f"there is no connection {to.connection!r}{near(to.connection, known)}")


def destination(scope: Scope) -> ScopeDestination:
    """Return where the calls of a scope go: of each part, what the nearest scope says (FL-12, FL-17)."""
    chain: list[ScopeDestination] = []
    at: Scope | None = scope
    while at is not None:
        chain.append(at.section.to)
        at = at.parent
    said = {name: value for each in reversed(chain) for name, value in each.model_dump(exclude_none=True).items()}
    return ScopeDestination.model_construct(**{**ScopeDestination().model_dump(), **said})


def _places(api: ApiSection, path: str) -> Iterator[_Place]:
    """Where clients find a resource: below base path and version, and for the default version without it."""
    if not api.version:
        yield _joined(api.base_path, path, "")
        return
    yield _joined(f"{api.base_path}/{api.version}", path, "")
    if api.default_version:
        yield _joined(api.base_path, path, " (default)")


def _joined(prefix: str, path: str, note: str) -> _Place:
    if path.startswith("*") and prefix:  # an extension is looked for in every path; here only below the prefix
        return _Place(f"{prefix}/*", prefix, f"request.path.endswith('{path[1:]}')", note)
    if path == "/" and prefix:
        return _Place(prefix, prefix, "", note)
    return _Place(f"{prefix}{path}", prefix, "", note)
