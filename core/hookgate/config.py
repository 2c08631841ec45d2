"""Loading a document: everything is validated, and every mistake is reported at once with its place.

References are resolved first. Then sections are read, those first that define what others name; what they add to the
gateway is asked of them in phases, over all of them: instances, connections, routes, checks (``section.py``). Every
record and every entry is checked by itself, so that a mistake in one hides none in another, and plugins are built on
the way. Nothing is started here but the secret providers that references ask.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from hookgate.building import Builder
from hookgate.catalogue import Catalogue
from hookgate.connectionconfig import ConnectionConfig, HeaderActionConfig, TargetConfig, connection_of
from hookgate.document import Document
from hookgate.errors import ConfigError, Path, Problem
from hookgate.linting.run import Linter
from hookgate.plugin import App, FlowOptions, Host, Observer, Plugin
from hookgate.references import ENVIRONMENTS, References
from hookgate.references import SECTION as SECRETS
from hookgate.routeconfig import RouteConfig, Routes, routes_in
from hookgate.section import Definition, Section
from hookgate.sections import GatewaySection, ManagementSection, ProfileSection
from hookgate.site import LoadingSite, read_sections
from hookgate.tlsconfig import check
from hookgate.validation import checked

log = logging.getLogger("hookgate")

__all__ = ["Configuration", "ConnectionConfig", "HeaderActionConfig", "RouteConfig", "TargetConfig", "load"]

SECTIONS = (
    *("gateway", "management", "plugins", "profiles", SECRETS, ENVIRONMENTS, "routes", "connections"),
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
    sections: Mapping[str, Section[Any]] = field(default_factory=dict)
    """Those of other distributions, by name."""

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
    """A connection with its place."""

    raw: Any
    path: Path


def _is_own(name: str) -> bool:
    return name in SECTIONS or name == "$schema" or name.startswith("x-")


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
        self._connections: dict[str, _Part] = {}
        self._builder = Builder(catalogue, previous, self._mapping("plugins"), self.problems, self._profiles())
        self._rested = time.monotonic()

    @property
    def warnings(self) -> list[Problem]:
        return self._builder.warnings

    async def load(self) -> Configuration:
        builder = self._builder
        written = {name: value for name, value in self._document.items() if not _is_own(name)}
        sections = read_sections(builder, written, SECTIONS)
        for section in sections.values():
            for found in self._asked(section, "instances"):
                builder.define(found.family, found.name, found.written, found.path)
        self._name_connections(self._mapping("connections").items())
        for section in sections.values():
            self._add_connections(self._asked(section, "connections"))
        builder.connections = self._connections.keys()
        builder.share()
        gateway, flow, observers, exposed = self._gateway(("gateway",))
        management, apps = self._management(("management",))
        self._check_listeners(gateway, management)
        connections: dict[str, ConnectionConfig] = {}
        for name, part in self._connections.items():
            await self._rest()
            connection = connection_of(builder, name, part.raw, part.path)
            if connection is not None:
                connections[name] = connection
        routes = Routes(builder, self._connections.keys())
        listed = routes_in(self._document.get("routes"))
        if listed is None:
            self.problems.append(Problem(("routes",), "should be a list of routes"))
        for index, raw in enumerate(listed or ()):
            await self._rest()
            routes.add(raw, ("routes", index))
        site = LoadingSite(builder, sections, gateway, routes)
        for section in sections.values():
            for config in self._asked(section, "routes", site):
                await self._rest()
                if config is not None:
                    routes.take(config)
        for section in sections.values():
            self.problems += self._asked(section, "check", site)
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
            {**builder.instances, **{section.entry.id: section for section in sections.values()}},
            sections=sections,
        )

    async def lint(self, config: Configuration) -> None:
        """Note what is written correctly and hardly meant so."""
        linter = Linter(self._document, self._builder.placed, self._builder.accepts)
        for route in config.routes:
            await self._rest()
            linter.look(route.name, config.flow, route.steps)
        self.warnings.extend(linter.warnings())
        for section in config.sections.values():
            self.warnings.extend(self._asked(section, "review", config))

    async def _rest(self) -> None:
        if time.monotonic() - self._rested > PATIENCE:
            await asyncio.sleep(0)
            self._rested = time.monotonic()

    def _asked(self, section: Section[Any], hook: str, *arguments: Any) -> Iterable[Any]:
        """Ask a hook of a section, if it has that; what goes wrong in it is told as a mistake in the section."""
        method = getattr(section, hook, None)
        if method is None:
            return
        try:
            yield from method(*arguments)
        except Exception as error:  # noqa: BLE001 - another distribution's code may raise anything
            log.error("%s failed in %s", section.entry.id, hook, exc_info=error)
            message = f"cannot be understood: {type(error).__name__}: {error}"
            self.problems.append(Problem((section.entry.name,), message))

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

    def _name_connections(self, written: Iterable[tuple[str, Any]]) -> None:
        for name, raw in written:
            self._connections[name] = _Part(raw, ("connections", name))

    def _add_connections(self, found: Iterable[Definition]) -> None:
        """Take over the connections that a section adds. The document's own come first, whatever the order."""
        for each in found:
            if each.name in self._connections:
                message = f"this makes a connection {each.name!r}, and there is one of that name"
                self.problems.append(Problem(each.path, message))
            else:
                self._connections[each.name] = _Part(each.written, each.path)

    # --- gateway and management -------------------------------------------------------------------------------------

    def _gateway(
        self, path: Path
    ) -> tuple[GatewaySection, FlowOptions, tuple[Observer[Any], ...], dict[str, App[Any]]]:
        section = self._builder.record(GatewaySection, self._document.get("gateway"), path, "gateway")
        section = section or GatewaySection()
        return section, section, section.observers, dict(section.expose)

    def _management(self, path: Path) -> tuple[ManagementSection, tuple[App[Any], ...]]:
        raw = self._document.get("management")
        enabled = not isinstance(raw, Mapping) or raw.get("enabled", True) is not False
        # what a listener that is switched off would serve is checked, but never started
        builder = self._builder if enabled else Builder(self._catalogue, problems=self.problems)
        section = builder.record(ManagementSection, raw, path, "management") or ManagementSection()
        apps = section.apps
        if apps is None and section.enabled:
            apps = tuple(builder.places("app", self._default_apps(path), (*path, "apps"), "management"))
        return section, (apps or ()) if section.enabled else ()

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
