"""Loading a document: everything is validated, and every mistake is reported at once with its place.

Sections of other distributions (entry-point group ``hookgate.sections``) are turned into routes and connections first; then
routes, connections and entries are checked one by one, so that a mistake in one hides none in another; then plugins are
built. Nothing is started here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import ValidationError

from hookgate.building import Builder, Rejected, flattened, near
from hookgate.catalogue import Catalogue
from hookgate.document import Document
from hookgate.errors import ConfigError, Path, Problem
from hookgate.hooks import hooks_of
from hookgate.hookspecs import FlowSpec
from hookgate.paths import compile_destination
from hookgate.plugin import (
    App,
    Balancer,
    Credential,
    FlowOptions,
    HeaderProvider,
    Interceptor,
    Monitor,
    Observer,
    Options,
    Plugin,
    Transport,
)
from hookgate.references import References, Resolve
from hookgate.router import Route, conflicts
from hookgate.sections import (
    ConnectionSection,
    GatewaySection,
    ManagementSection,
    RouteSection,
)

log = logging.getLogger("hookgate.config")

CORE_SECTIONS = ("gateway", "management", "plugins", "secrets", "routes", "connections")
SectionT = TypeVar("SectionT", bound=Options)


@dataclass(frozen=True, slots=True)
class HeaderActionConfig:
    """One action on a header, with the plugin that gives its value."""

    action: Any
    name: str
    provider: HeaderProvider[Any] | None


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One address."""

    scheme: str
    host: str
    port: int
    weight: int
    active: bool


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """A connection with its plugins built. Two are equal when the same section holds the very same instances."""

    name: str
    section: ConnectionSection
    transport: Transport[Any]
    balancer: Balancer[Any] | None
    monitor: Monitor[Any] | None
    credentials: tuple[Credential[Any], ...]
    headers: tuple[HeaderActionConfig, ...]
    targets: tuple[TargetConfig, ...]


@dataclass(frozen=True, slots=True)
class RouteConfig:
    """A route with its steps built."""

    name: str
    section: RouteSection
    steps: FlowOptions
    route: Route = field(compare=False)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that a good document comes to."""

    gateway: GatewaySection
    management: ManagementSection
    flow: FlowOptions
    observers: tuple[Observer[Any], ...]
    apps: tuple[App[Any], ...]
    exposed: dict[str, App[Any]]
    connections: dict[str, ConnectionConfig]
    routes: tuple[RouteConfig, ...]
    instances: dict[str, Plugin[Any]]
    """Every plugin by id, in order of construction; nested ones come before those that hold them."""


async def load(
    document: Mapping[str, Any],
    catalogue: Catalogue,
    previous: Mapping[str, Plugin[Any]] | None = None,
) -> Configuration:
    """Validate a document and build what it names; ``previous`` are the instances that may live on unchanged.

    Raises:
        ConfigError: every mistake in it, in the order of the document.
    """
    loader = _Loader(catalogue, previous or {})
    config = await loader.load(document)
    if loader.problems:
        located = document if isinstance(document, Document) else Document.of(document)
        found = {str(problem): problem for problem in map(located.locate, loader.problems)}
        raise ConfigError(sorted(found.values(), key=lambda problem: (problem.line, problem.column)))
    assert config is not None
    return config


class _Loader:
    def __init__(self, catalogue: Catalogue, previous: Mapping[str, Plugin[Any]]) -> None:
        self.catalogue = catalogue
        self.previous = previous
        self.problems: list[Problem] = []

    async def load(self, document: Mapping[str, Any]) -> Configuration | None:
        value: Mapping[str, Any] = await References(self._providers(document), self.problems).resolve(dict(document))
        sections = self._extend(value)
        shared = self._mapping(sections, "plugins")
        self.builder = Builder(self.catalogue, self.previous, shared)
        self.builder.problems = self.problems
        for name in shared:
            self._shared(name)
        gateway = self._record(GatewaySection, sections.get("gateway"), ("gateway",))
        management = self._record(ManagementSection, sections.get("management"), ("management",))
        flow = self._steps(gateway, ("gateway",), "gateway") if gateway else FlowOptions()
        observers = self._placed("observer", gateway.observers if gateway else (), ("gateway", "observers"), "gateway")
        exposed = self._exposed(gateway)
        apps = self._apps(management)
        connections = self._connections(sections)
        routes = self._routes(sections, connections)
        if self.problems or gateway is None or management is None:
            return None
        return Configuration(
            gateway,
            management,
            flow,
            tuple(observers),
            tuple(apps),
            exposed,
            {name: built for name, built in connections.items() if built is not None},
            tuple(routes),
            self.builder.instances,
        )

    # --- the document as a whole ------------------------------------------------------------------------------------

    def _providers(self, document: Mapping[str, Any]) -> Any:
        """Return what finds the provider of a reference: a configured one, or an installed one with default options."""
        builder = Builder(self.catalogue)
        builder.problems = self.problems
        configured = {
            name: builder.place("secret", {name: options}, ("secrets",), "secrets")
            for name, options in self._mapping(document, "secrets").items()
        }

        def provider(name: str) -> Resolve:
            if name not in configured:
                try:
                    configured[name] = builder.nested("secret", name)
                except Exception as error:
                    problems = getattr(error, "context", {}) or {}
                    said = [str(problem.message) for problem in problems.get("problems", [])]
                    raise LookupError(said[0] if said else str(error)) from None
            found = configured[name]
            if found is None:
                raise LookupError(f"the secret provider {name!r} is not configured properly")
            resolve: Resolve = found.resolve  # type: ignore[attr-defined]
            return resolve

        return provider

    def _extend(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Turn the sections of other distributions into routes and connections; refuse keys nobody knows."""
        sections = {name: value for name, value in document.items() if name in CORE_SECTIONS}
        offered = self.catalogue.sections()
        for name, value in document.items():
            if name in CORE_SECTIONS:
                continue
            if name not in offered:
                known = [*CORE_SECTIONS, *offered]
                self.problems.append(Problem((name,), f"there is no section {name!r}{near(str(name), known)}", at_key=True))
                continue
            try:
                fragment = self.catalogue.section(name)(value)
            except LookupError as error:
                self.problems.append(Problem((name,), str(error), at_key=True))
                continue
            except ConfigError as error:
                self.problems.extend(problem.under((name,)) for problem in error.problems)
                continue
            sections["routes"] = [*(sections.get("routes") or []), *fragment.get("routes", [])]
            sections["connections"] = {**(sections.get("connections") or {}), **fragment.get("connections", {})}
        return sections

    def _mapping(self, document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        value = document.get(name) or {}
        if isinstance(value, Mapping):
            return value
        self.problems.append(Problem((name,), "is written as a mapping of names"))
        return {}

    def _record(self, model: type[SectionT], raw: object, path: Path) -> SectionT | None:
        try:
            return model.model_validate({} if raw is None else raw)
        except ValidationError as error:
            self.problems += flattened(error, model, raw, path)
            return None

    # --- plugins ----------------------------------------------------------------------------------------------------

    def _shared(self, name: str) -> None:
        if name in self.catalogue.names("interceptor"):
            message = f"{name!r} is the name of an installed plugin; give the instance a name of its own"
            self.problems.append(Problem(("plugins", name), message, at_key=True))
            return
        try:
            self.builder.named(name)
        except Rejected as rejected:
            self.problems += [problem.under(("plugins", name)) for problem in rejected.problems]

    def _placed(self, family: str, entries: Sequence[Any], path: Path, owner: str) -> list[Any]:
        built = [self.builder.place(family, entry, (*path, index), owner) for index, entry in enumerate(entries)]
        return [plugin for plugin in built if plugin is not None and not plugin.entry.disabled]

    def _steps(self, section: GatewaySection | RouteSection, path: Path, owner: str) -> FlowOptions:
        sides: dict[str, tuple[Interceptor[Any], ...]] = {}
        for side in ("flow", "request", "response"):
            entries = getattr(section, side)
            placed: list[Interceptor[Any]] = []
            for index, entry in enumerate(entries):
                where = (*path, side, index)
                step = self.builder.place("interceptor", entry, where, owner)
                if step is not None and self._may_stand(step, side, where) and not step.entry.disabled:
                    placed.append(step)  # type: ignore[arg-type]
            sides[side] = tuple(placed)
        return FlowOptions.model_construct(**sides)

    def _may_stand(self, step: Any, side: str, path: Path) -> bool:
        """Check that a step has something to do where it stands (FL-10)."""
        hooks = hooks_of(type(step), FlowSpec)
        ways = {
            "request": bool({"on_request", "choose", "on_done"} & hooks.keys()) and "request" in type(step).sides,
            "response": bool({"on_response", "on_fault", "choose"} & hooks.keys()) and "response" in type(step).sides,
        }
        if side == "flow" or ways[side]:
            return True
        allowed = [name for name in ("request", "response") if ways[name]]
        message = f"{step.entry.name} cannot stand on the {side} side; it may stand in {' or '.join(['flow', *allowed])}"
        self.problems.append(Problem(path, message))
        return False

    def _exposed(self, gateway: GatewaySection | None) -> dict[str, App[Any]]:
        found: dict[str, App[Any]] = {}
        for prefix, entry in (gateway.expose if gateway else {}).items():
            app = self.builder.place("app", entry, ("gateway", "expose", prefix), "gateway.expose")
            if app is not None:
                found[prefix] = app  # type: ignore[assignment]
        return found

    def _apps(self, management: ManagementSection | None) -> list[Any]:
        if management is None or not management.enabled:
            return []
        entries = management.apps
        if entries is None:
            default = self._default("app", ("management",))
            entries = () if default is None else (default,)
        return self._placed("app", entries, ("management", "apps"), "management")

    def _default(self, family: str, path: Path) -> str | None:
        try:
            return self.catalogue.default(family)
        except LookupError as error:
            self.problems.append(Problem(path, str(error)))
            return None

    # --- connections ------------------------------------------------------------------------------------------------

    def _connections(self, sections: Mapping[str, Any]) -> dict[str, ConnectionConfig | None]:
        return {
            name: self._connection(name, raw, ("connections", name))
            for name, raw in self._mapping(sections, "connections").items()
        }

    def _connection(self, name: str, raw: Any, path: Path) -> ConnectionConfig | None:
        section = self._record(ConnectionSection, raw, path)
        if section is None:
            return None
        owner = f"connections.{name}"
        count = len(self.problems)
        transport = self._chosen("transport", section.transport, (*path, "transport"), owner)
        balancer = None
        if section.balancer is not None or len(section.targets) > 1:
            balancer = self._chosen("balancer", section.balancer, (*path, "balancer"), owner)
        monitor = None
        if section.monitor is not None:
            if isinstance(raw.get("targets"), str):
                message = "a monitor needs load balancing: write targets as a list"
                self.problems.append(Problem((*path, "monitor"), message, at_key=True))
            monitor = self.builder.place("monitor", section.monitor, (*path, "monitor"), owner)
        headers = [self._header(action, (*path, "headers", i), owner) for i, action in enumerate(section.headers)]
        credentials = self._placed("credential", section.auth, (*path, "auth"), owner)
        for index, credential in enumerate(credentials[:-1]):
            if type(credential).signs_message:
                message = f"{credential.entry.name} signs what the others add, so it comes last: move it to the end of auth"
                self.problems.append(Problem((*path, "auth", index), message))
        targets = tuple(self._target(target, transport, (*path, "targets"), i) for i, target in enumerate(section.targets))
        if len(self.problems) > count or transport is None:
            return None
        return ConnectionConfig(
            name,
            section,
            transport,
            balancer,
            monitor,  # type: ignore[arg-type]
            tuple(credentials),
            tuple(headers),
            targets,
        )

    def _chosen(self, family: str, entry: Any, path: Path, owner: str) -> Any:
        if entry is None:
            entry = self._default(family, path[:-1])
            if entry is None:
                self.problems.append(Problem(path[:-1], f"no {family} is installed that could be the default; name one"))
                return None
        return self.builder.place(family, entry, path, owner)

    def _header(self, action: Any, path: Path, owner: str) -> HeaderActionConfig:
        kind = next(kind for kind in ("set", "add", "remove") if getattr(action, kind) is not None)
        provider = None
        if action.from_ is not None:
            provider = self.builder.place("header", action.from_, (*path, "from"), owner)
        return HeaderActionConfig(kind, getattr(action, kind), provider)  # type: ignore[arg-type]

    def _target(self, target: Any, transport: Any, path: Path, index: int) -> TargetConfig:
        parts = urlsplit(target.url)
        if transport is not None and parts.scheme not in type(transport).schemes:
            known = ", ".join(sorted(type(transport).schemes))
            message = f"the transport {transport.entry.name} calls {known}, not {parts.scheme!r}"
            self.problems.append(Problem((*path, index), message))
        host = parts.hostname or ""
        if ":" in host:
            host = str(IPv6Address(host))
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        return TargetConfig(parts.scheme, host, port, target.weight, target.active)

    # --- routes -----------------------------------------------------------------------------------------------------

    def _routes(self, sections: Mapping[str, Any], connections: Mapping[str, Any]) -> list[RouteConfig]:
        raw = sections.get("routes") or []
        if not isinstance(raw, list | tuple):
            self.problems.append(Problem(("routes",), "is written as a list"))
            return []
        found: list[RouteConfig] = []
        indices: dict[str, int] = {}
        for index, each in enumerate(raw):
            path: Path = ("routes", index)
            section = self._record(RouteSection, each, path)
            if section is None:
                continue
            if section.name in indices:
                message = f"the name {section.name!r} is taken by routes[{indices[section.name]}]; names are unique"
                self.problems.append(Problem((*path, "name"), message))
                continue
            indices[section.name] = index
            steps = self._steps(section, path, f"routes.{section.name}")
            route = self._route(section, path)
            if route is not None:
                self._destination(section, route, connections, path)
                found.append(RouteConfig(section.name, section, steps, route))
        for earlier, later in conflicts([config.route for config in found]):
            message = f"takes the same calls as the route {earlier.name!r}, so it would never run; change one of them"
            self.problems.append(Problem(("routes", indices[later.name], "match"), message))
        return found

    def _route(self, section: RouteSection, path: Path) -> Route | None:
        match = section.match
        try:
            return Route(section.name, match.path, host=match.host, methods=match.methods, when=match.when)
        except ValueError as error:
            self.problems.append(Problem((*path, "match", "host" if "is not a host" in str(error) else "path"), str(error)))
            return None

    def _destination(self, section: RouteSection, route: Route, connections: Mapping[str, Any], path: Path) -> None:
        to = section.to
        if to is None:
            return
        if to.connection not in connections:
            message = f"there is no connection {to.connection!r}{near(to.connection, connections)}"
            self.problems.append(Problem((*path, "to", "connection"), message))
        if to.path is not None:
            try:
                compile_destination(to.path, route.parameters, to.path_params)
            except ValueError as error:
                self.problems.append(Problem((*path, "to", "path"), str(error)))


