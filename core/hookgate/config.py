"""Loading a document: everything is validated, and every mistake is reported at once with its place.

References are resolved first. Sections of other distributions (entry-point group ``hookgate.sections``) are turned into
routes and connections. Then every record and every entry is checked by itself, so that a mistake in one hides none in
another, and plugins are built on the way. Nothing is started here but the secret providers that references ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from hookgate.apiinfo import Application
from hookgate.apis.routes import Apis
from hookgate.apis.tree import Tree
from hookgate.building import Builder
from hookgate.catalogue import Catalogue
from hookgate.connectionconfig import ConnectionConfig, HeaderActionConfig, TargetConfig, connection_of
from hookgate.document import Document
from hookgate.errors import ConfigError, Path, Problem
from hookgate.linting.plans import plans_never_entered
from hookgate.linting.run import Linter
from hookgate.plugin import App, FlowOptions, Host, Observer, Plugin
from hookgate.references import ENVIRONMENTS, References
from hookgate.references import SECTION as SECRETS
from hookgate.routeconfig import RouteConfig, Routes, routes_in
from hookgate.sections import GatewaySection, ManagementSection, ProfileSection
from hookgate.tlsconfig import check
from hookgate.validation import checked, near

__all__ = ["Configuration", "ConnectionConfig", "HeaderActionConfig", "RouteConfig", "TargetConfig", "load"]

SECTIONS = (
    *("gateway", "management", "plugins", "profiles", SECRETS, "routes", "connections"),
    *("apis", "applications", "plans", ENVIRONMENTS),
)
"""Top-level keys that core understands. Beside them `$schema` is for editors, and `x-…` for whatever anchors need."""
PATIENCE = 0.01
"""Seconds after which loading lets others run: calls are served meanwhile."""


@dataclass(frozen=True, slots=True, repr=False)
class Configuration:
    """Everything that a good document comes to."""

    gateway: GatewaySection
    """What the document says, except for plugins: these are below, and only there. So in all sections."""
    management: ManagementSection
    flow: FlowOptions
    """Steps left of those of every route."""
    observers: tuple[Observer[Any], ...]
    apps: tuple[App[Any], ...]
    """What the management listener serves."""
    exposed: dict[str, App[Any]]
    """What the public listener serves, by path."""
    connections: dict[str, ConnectionConfig]
    routes: tuple[RouteConfig, ...]
    instances: dict[str, Plugin[Any]]
    """Every plugin by id, in order of construction; nested ones come before those that hold them. The secret providers
    that the document asks come first, and are started already."""
    secrets: tuple[Plugin[Any], ...] = ()
    """The same providers."""
    hide: Callable[[str], str] = str
    """Puts asterisks in the place of every value that a reference was resolved to."""
    warnings: tuple[Problem, ...] = ()
    """What can be meant so, and seldom is."""
    trees: tuple[Tree, ...] = ()
    """The APIs."""
    applications: Mapping[str, Application] = field(default_factory=dict)
    """By client id."""

    def __repr__(self) -> str:
        return f"<Configuration: {len(self.routes)} routes, {len(self.connections)} connections>"


async def load(
    document: Mapping[str, Any],
    catalogue: Catalogue,
    previous: Mapping[str, Plugin[Any]] | None = None,
    host: Host | None = None,
) -> Configuration:
    """Validate a document and build what it names. Instances of ``previous`` live on where their entry, with id and
    options, is the same. ``host`` is what secret providers are started with; whoever gets the configuration shuts them
    down. If it is refused, that has been done.

    Raises:
        ConfigError: every mistake in it, in the order of the document.
    """
    located = document if isinstance(document, Document) else Document.of(document)
    references = References(catalogue, previous, host)
    try:
        config = await _loaded(located, references, catalogue, previous)
    except BaseException:
        await references.close()
        raise
    return replace(
        config,
        secrets=tuple(references.asked.values()),
        instances={**references.asked, **config.instances},
        hide=references.hide,
    )


async def _loaded(
    located: Document,
    references: References,
    catalogue: Catalogue,
    previous: Mapping[str, Plugin[Any]] | None,
) -> Configuration:
    loader = _Loader(catalogue, previous, await references.resolve(located))
    config = await loader.load()
    loader.problems += await _certificates(config.gateway, references.unresolved)
    problems = [*references.problems, *(p for p in loader.problems if not _stands_in(p.path, references.unresolved))]
    if problems:
        found = {
            located.locate(replace(problem, message=references.hide(problem.message, problem.path))): None
            for problem in problems
        }
        raise ConfigError(sorted(found, key=lambda problem: (problem.line, problem.column)))
    await loader.lint(config)
    return replace(config, warnings=tuple(located.locate(warning) for warning in loader.warnings))


async def _certificates(gateway: GatewaySection, unresolved: set[Path]) -> list[Problem]:
    """Try the files of TLS, beside the loop: it takes some milliseconds for each."""
    place = ("gateway", "tls")
    if gateway.tls is None or any(path[:2] == place for path in unresolved):  # a password may be missing
        return []
    return [problem.under(place) for problem in await asyncio.to_thread(check, gateway.tls)]


def _stands_in(path: Path, places: set[Path]) -> bool:
    return any(path[:length] in places for length in range(len(path) + 1)) if places else False


class _Part(NamedTuple):
    """A route or connection with its place, and the section it came from if that is another distribution's."""

    raw: Any
    path: Path
    origin: str


class _Loader:
    def __init__(
        self,
        catalogue: Catalogue,
        previous: Mapping[str, Plugin[Any]] | None,
        document: Mapping[str, Any],
    ) -> None:
        self.problems: list[Problem] = []
        self._catalogue = catalogue
        self._document = document
        self._routes: list[_Part] = []
        self._connections: dict[str, _Part] = {}
        self._builder = Builder(catalogue, previous, self._mapping("plugins"), self.problems, self._profiles())
        self._rested = time.monotonic()

    @property
    def warnings(self) -> list[Problem]:
        return self._builder.warnings

    async def load(self) -> Configuration:
        self._take(self._document, (), "")
        self._extend()
        self._builder.connections = self._connections.keys()
        self._builder.share()
        gateway, flow, observers, exposed = self._gateway(("gateway",))
        management, apps = self._management(("management",))
        self._check_listeners(gateway, management)
        connections: dict[str, ConnectionConfig] = {}
        for name, part in self._connections.items():
            await self._rest()
            connection = connection_of(self._builder, name, part.raw, part.path)
            if connection is not None:
                connections[name] = connection
        routes = Routes(self._builder, self._connections.keys())
        for part in self._routes:
            await self._rest()
            routes.add(part.raw, part.path, part.origin)
        apis = Apis(self._builder, self._document, gateway)
        for _ in apis.load(self._connections.keys()):
            await self._rest()
        for config, path in apis.routes:
            routes.take(config, path)
        routes.check_conflicts()
        return Configuration(
            gateway,
            management,
            flow,
            observers,
            apps,
            exposed,
            connections,
            tuple(routes.built),
            self._builder.instances,
            trees=tuple(apis.trees),
            applications=apis.applications,
        )

    async def lint(self, config: Configuration) -> None:
        """Note what is written correctly and hardly meant so."""
        linter = Linter(self._document, self._builder.placed, self._builder.accepts)
        for route in config.routes:
            await self._rest()
            linter.look(route.name, config.flow, route.steps)
        self.warnings.extend(linter.warnings())
        self.warnings.extend(plans_never_entered(config, self._mapping("plans")))

    async def _rest(self) -> None:
        if time.monotonic() - self._rested > PATIENCE:
            await asyncio.sleep(0)
            self._rested = time.monotonic()

    # --- the document as a whole ------------------------------------------------------------------------------------

    def _mapping(self, name: str) -> Mapping[str, Any]:
        value = self._document.get(name)
        if value is not None and not isinstance(value, Mapping):
            self.problems.append(Problem((name,), "should be a mapping of names"))
            return {}
        return value or {}

    def _profiles(self) -> Mapping[str, Any]:
        """Security profiles: named credentials and ways to authenticate, placed by name and swapped in one place."""
        profiles = self._mapping("profiles")
        for name, profile in profiles.items():
            checked(ProfileSection, profile, ("profiles", name), self.problems)
        return profiles

    def _take(self, fragment: Mapping[str, Any], path: Path, origin: str) -> None:
        """Take over the routes and connections of the document, or of what a section was turned into."""
        routes = routes_in(fragment.get("routes"))
        if routes is None:
            self.problems.append(Problem((*path, "routes"), "should be a list of routes"))
        self._routes += [_Part(raw, (*path, "routes", index), origin) for index, raw in enumerate(routes or ())]
        connections = fragment.get("connections")
        if connections is not None and not isinstance(connections, Mapping):
            self.problems.append(Problem((*path, "connections"), "should be a mapping of names"))
            return
        for name, raw in (connections or {}).items():
            place = (*path, "connections", name)
            if name in self._connections:
                self.problems.append(Problem(place, f"the name {name!r} is taken by another connection", at_key=True))
            else:
                self._connections[name] = _Part(raw, place, origin)

    def _extend(self) -> None:
        """Turn the sections of other distributions into routes and connections; refuse keys nobody knows."""
        offered = self._catalogue.sections()
        for name, value in self._document.items():
            if name in SECTIONS or name == "$schema" or name.startswith("x-"):
                continue
            if name not in offered:
                message = f"there is no section {name!r}{near(name, [*SECTIONS, *offered])}"
                self.problems.append(Problem((name,), message, at_key=True))
                continue
            try:
                self._take(self._catalogue.section(name)(value), (name,), name)
            except LookupError as error:
                self.problems.append(Problem((name,), str(error), at_key=True))
            except ConfigError as error:
                self.problems += [problem.under((name,)) for problem in error.problems]
            except Exception as error:  # noqa: BLE001 - another distribution's code may raise anything
                message = f"the section {name!r} cannot be understood: {type(error).__name__}: {error}"
                self.problems.append(Problem((name,), message))

    # --- gateway and management -------------------------------------------------------------------------------------

    def _gateway(
        self, path: Path
    ) -> tuple[GatewaySection, FlowOptions, tuple[Observer[Any], ...], dict[str, App[Any]]]:
        raw = self._document.get("gateway")
        section = checked(GatewaySection, raw, path, self.problems) or GatewaySection()
        given: Mapping[str, Any] = raw if isinstance(raw, Mapping) else {}
        flow = self._builder.steps(given, path, "gateway")
        observers = self._builder.places("observer", given.get("observers"), (*path, "observers"), "gateway")
        exposed: dict[str, App[Any]] = {}
        listed = given.get("expose")
        for prefix, entry in listed.items() if isinstance(listed, Mapping) else ():
            app = self._builder.place("app", entry, (*path, "expose", prefix), "gateway.expose")
            if app is not None:
                exposed[prefix] = app
        plain: dict[str, Any] = {"flow": (), "request": (), "response": (), "observers": (), "expose": {}}
        return section.model_copy(update=plain), flow, tuple(observers), exposed

    def _management(self, path: Path) -> tuple[ManagementSection, tuple[App[Any], ...]]:
        raw = self._document.get("management")
        section = checked(ManagementSection, raw, path, self.problems) or ManagementSection()
        entries = raw.get("apps") if isinstance(raw, Mapping) else None
        if entries is None:
            entries = self._default_apps(path) if section.enabled else ()
        # what a listener that is switched off would serve is checked, but never started
        builder = self._builder if section.enabled else Builder(self._catalogue, problems=self.problems)
        apps = builder.places("app", entries, (*path, "apps"), "management")
        return section.model_copy(update={"apps": ()}), tuple(apps) if section.enabled else ()

    def _default_apps(self, path: Path) -> tuple[str, ...]:
        try:
            default = self._catalogue.default("app")
        except LookupError as error:
            self.problems.append(Problem(path, str(error)))
            return ()
        return () if default is None else (default,)

    def _check_listeners(self, gateway: GatewaySection, management: ManagementSection) -> None:
        """Refuse listeners that do not fit together. What is for management is on no public listener."""
        encrypted = [index for index, address in enumerate(gateway.listen) if address.startswith("https://")]
        if encrypted and gateway.tls is None:
            message = f"{gateway.listen[encrypted[0]]} needs certificates: write tls"
            self.problems.append(Problem(("gateway", "listen", encrypted[0]), message))
        if gateway.tls is not None and not encrypted:
            message = "no listener speaks TLS; write https:// in front of an address of listen"
            self.problems.append(Problem(("gateway", "tls"), message, at_key=True))
        if gateway.proxy_protocol and not gateway.trusted_proxies:
            message = "nobody may send a PROXY header; name the networks of those who do in trusted_proxies"
            self.problems.append(Problem(("gateway", "proxy_protocol"), message))
        seen: set[str] = set()
        private = management.listen if management.enabled else ()
        for name, addresses in (("gateway", gateway.listen), ("management", private)):
            for index, address in enumerate(each.removeprefix("https://") for each in addresses):
                if address in seen and not address.endswith(":0"):
                    message = f"{address} is listened on already; every listener has an address of its own"
                    self.problems.append(Problem((name, "listen", index), message))
                seen.add(address)
