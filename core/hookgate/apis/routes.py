"""From the operations of APIs to routes: paths, methods, destinations, and the flow each of them gets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from hookgate.apiinfo import ApiInfo, Application
from hookgate.apis.sections import ApiSection, ApplicationSection, PlanSection, ResourceSection, ScopeDestination
from hookgate.apis.steps import Steps
from hookgate.apis.tree import Scope, Tree
from hookgate.building import Builder
from hookgate.errors import Path, Problem
from hookgate.expressions import Expression
from hookgate.paths import compile_destination
from hookgate.plugin import Ways
from hookgate.routeconfig import RouteConfig
from hookgate.router import Route
from hookgate.sections import DestinationSection, GatewaySection, MatchSection, RouteSection
from hookgate.validation import checked, near


class _Place(NamedTuple):
    """A path that clients call for a resource."""

    pattern: str
    cut: str
    """What stands in front of the path of the resource."""
    when: str = ""
    """What a pattern cannot say."""
    note: str = ""


class Apis:
    """Takes in the APIs of a document, with the applications and plans beside them."""

    def __init__(self, builder: Builder, document: Mapping[str, Any], gateway: GatewaySection) -> None:
        self.trees: list[Tree] = []
        self.routes: list[tuple[RouteConfig, Path]] = []
        self.applications: dict[str, Application] = {}
        """By client id."""
        self._builder = builder
        self._gateway = gateway
        self._document = document
        self._plans = self._named("plans", PlanSection)
        self._steps = Steps(builder, self._plans)
        self._seen: dict[tuple[str, str], Path] = {}

    def load(self, connections: Collection[str]) -> Iterator[None]:
        """Take in one API after the other, in steps, so that calls can be served between them."""
        listed = self._document.get("apis")
        if listed is not None and not isinstance(listed, list | tuple):
            self._builder.problems.append(Problem(("apis",), "should be a list of APIs"))
            listed = ()
        for index, raw in enumerate(listed or ()):
            path = ("apis", index)
            section = checked(ApiSection, raw, path, self._builder.problems)
            if section is None:
                continue
            if (section.name, section.version) in self._seen:
                message = f"there is another API {section.name!r} with version {section.version!r}"
                self._builder.problems.append(Problem((*path, "name"), message))
                continue
            self._seen[section.name, section.version] = path
            tree = Tree(section, raw, path, self._builder.problems)
            self.trees.append(tree)
            for resource, described, operations in tree.resources:
                for method, scope in operations or [("", resource)]:
                    self._operation(tree, scope, described, method, connections)
                    yield
        self._load_applications()

    def _operation(
        self, tree: Tree, scope: Scope, resource: ResourceSection, method: str, connections: Collection[str]
    ) -> None:
        section = tree.section
        ways = self._steps.ways(tree.name, scope)
        to = destination(scope)
        self._check_destination(to, scope, ways, connections)
        deployed = not section.environments or self._gateway.environment in section.environments
        if not deployed:
            return
        info = ApiInfo(section.name, section.version, resource.path, method)
        for place in _places(section, resource.path):
            for host in section.hosts or (None,):
                route = self._route(scope, place, host, method, to)
                if route is None:
                    continue
                said, compiled = route
                compiled.api = info
                config = RouteConfig(
                    said.name, said, ways, compiled, cut="" if to.keep_base_path else place.cut, prefix=to.prefix or ""
                )
                self.routes.append((config, scope.path))

    def _route(
        self, scope: Scope, place: _Place, host: str | None, method: str, to: ScopeDestination
    ) -> tuple[RouteSection, Route] | None:
        name = f"{scope.name}{place.note}" + (f" on {host}" if host and len(self._hosts(scope)) > 1 else "")
        methods = (method,) if method else None
        when = Expression(place.when) if place.when else None
        problems = self._builder.problems
        try:
            route = Route(name, place.pattern, host=host, methods=methods, when=when)
        except ValueError as error:
            problems.append(Problem(scope.path, str(error)))
            return None
        destination = None
        if to.connection is not None:
            mode: Any = "by_name" if to.by_name else "positional"
            if to.path is not None:
                try:
                    compile_destination(to.path, route.parameters, mode)
                except ValueError as error:
                    problems.append(Problem((*scope.path, "to"), str(error)))
                    return None
            cap = self._gateway.timeout_cap
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

    def _check_destination(self, to: ScopeDestination, scope: Scope, ways: Ways, connections: Collection[str]) -> None:
        problems = self._builder.problems
        if to.connection is None:
            if not ways.way_in:
                problems.append(Problem(scope.path, "calls go nowhere: write to.connection here or above"))
        elif to.connection not in connections:
            at: Scope | None = scope
            while at is not None and at.section.to.connection is None:
                at = at.parent
            place = (*(at or scope).path, "to", "connection")
            message = f"there is no connection {to.connection!r}{near(to.connection, connections)}"
            if Problem(place, message) not in problems:
                problems.append(Problem(place, message))

    # --- applications and plans -------------------------------------------------------------------------------------

    def _named(self, name: str, record: type[Any]) -> dict[str, Any]:
        raw = self._document.get(name)
        if raw is not None and not isinstance(raw, Mapping):
            self._builder.problems.append(Problem((name,), "should be a mapping of names"))
            return {}
        for key, value in (raw or {}).items():
            checked(record, value, (name, key), self._builder.problems)
        return dict(raw or {})

    def _load_applications(self) -> None:
        problems = self._builder.problems
        apis = {tree.section.name for tree in self.trees}
        for name, raw in self._named("applications", ApplicationSection).items():
            path = ("applications", name)
            section = checked(ApplicationSection, raw, path, [])
            if section is None:
                continue
            for api, plan in section.plans.items():
                if api not in apis:
                    problems.append(Problem((*path, "plans", api), f"there is no API {api!r}{near(api, apis)}"))
                if plan not in self._plans:
                    hint = near(plan, self._plans)
                    problems.append(Problem((*path, "plans", api), f"there is no plan {plan!r}{hint}"))
            application = Application(name, section.client_ids, dict(section.plans), dict(section.fields))
            for index, client_id in enumerate(section.client_ids):
                first = self.applications.setdefault(client_id, application)
                if first is not application:
                    message = f"this client id belongs to the application {first.name!r}, too"
                    problems.append(Problem((*path, "client_ids", index), message))


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
