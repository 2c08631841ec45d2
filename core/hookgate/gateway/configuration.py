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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hookgate.connections.record import ConnectionSection
from hookgate.connections.section import ConnectionConfig, connection_of
from hookgate.contract.families import App, Observer
from hookgate.contract.host import Host
from hookgate.contract.plugin import Plugin
from hookgate.contract.section import Definition, Item, Section
from hookgate.contract.steps import FlowOptions
from hookgate.document.building import Builder
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import Document
from hookgate.document.reading import Reader
from hookgate.document.references import References
from hookgate.exchange.errors import ConfigError, Path, Problem
from hookgate.flow.routes import RouteConfig
from hookgate.gateway.listenertls import check
from hookgate.gateway.record import GatewaySection, ManagementSection
from hookgate.gateway.site import LoadingSite, Table

log = logging.getLogger("hookgate")

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
    """By name, in the order of the document."""
    placed: Mapping[str, Path] = field(default_factory=dict)
    """Where every entry stands, by the id of what was built of it."""
    accepts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Warnings that entries accept, by id."""

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
    await loader.review(config)
    return replace(config, warnings=tuple(located.locate(warning) for warning in loader.warnings))


async def _certificates(gateway: GatewaySection, unresolved: set[Path]) -> list[Problem]:
    """Try the files of TLS, beside the loop: it takes some milliseconds for each."""
    place = ("gateway", "tls")
    if gateway.tls is None or any(path[:2] == place for path in unresolved):  # a password may be missing
        return []
    return [problem.under(place) for problem in await asyncio.to_thread(check, gateway.tls)]


def _stands_in(path: Path, places: set[Path]) -> bool:
    return any(path[:length] in places for length in range(len(path) + 1)) if places else False


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
        self._builder = Builder(catalogue, previous, problems=self.problems)
        self._rested = time.monotonic()

    @property
    def warnings(self) -> list[Problem]:
        return self._builder.warnings

    async def load(self) -> Configuration:
        builder = self._builder
        reader = Reader(builder, self._document, self._rest)
        for section in await reader.read("instances"):
            for found in self._asked(section, "instances"):
                builder.define(found.family, found.name, found.written, found.path)
        await reader.read("connections")
        added = [found for section in reader.sections.values() for found in self._asked(section, "connections")]
        builder.connections = {*builder.named["connections"], *(found.name for found in added)}
        builder.share()
        await reader.read()
        sections = reader.sections
        gateway: GatewaySection = sections["gateway"].record
        connections = {}
        for item in [*sections["connections"].items, *self._written(added)]:
            await self._rest()
            connection = connection_of(builder, item)
            if connection is not None:
                connections[item.name] = connection
        table = Table(self.problems)
        site = LoadingSite(builder, sections)
        for section in sorted(sections.values(), key=lambda each: each.entry.name != "routes"):  # they keep their names
            for config in self._asked(section, "routes", site):
                await self._rest()
                if config is not None:
                    table.take(config)
        for section in sections.values():
            self.problems += self._asked(section, "check", site)
        table.check_conflicts()
        return Configuration(
            gateway,
            sections["management"].record,
            gateway,
            gateway.observers,
            self._apps(sections["management"].record),
            dict(gateway.expose),
            connections,
            tuple(table.routes),
            {**builder.instances, **{section.entry.id: section for section in sections.values()}},
            sections=sections,
            placed=builder.placed,
            accepts=builder.accepts,
        )

    def _written(self, added: Iterable[Definition]) -> Iterator[Item[ConnectionSection]]:
        """Check the connections that sections add. Those of the document keep their names, whatever the order."""
        seen = set(self._builder.named["connections"])
        for each in added:
            if each.name in seen:
                message = f"this makes a connection {each.name!r}, and there is one of that name"
                self.problems.append(Problem(each.path, message))
                continue
            seen.add(each.name)
            record = self._builder.record(ConnectionSection, each.written, each.path, f"connections.{each.name}")
            if record is not None:
                yield Item(each.name, record, each.path, each.written)

    def _apps(self, management: ManagementSection) -> tuple[App[Any], ...]:
        """What the management listener serves; what one that is off would serve is checked, but never started."""
        if not management.enabled:
            for app in management.apps or ():
                self._builder.instances.pop(app.entry.id)
            return ()
        if management.apps is not None:
            return management.apps
        try:
            default = self._catalogue.default("app")
        except LookupError as error:
            self.problems.append(Problem(("management",), str(error)))
            return ()
        listed = () if default is None else (default,)
        return tuple(self._builder.places("app", listed, ("management", "apps"), "management"))

    async def review(self, config: Configuration) -> None:
        """Note what is written correctly and hardly meant so."""
        for section in config.sections.values():
            for warning in self._asked(section, "review", config):
                await self._rest()
                if warning is not None:
                    self.warnings.append(warning)

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
        except Exception as error:
            log.error("%s failed in %s", section.entry.id, hook, exc_info=error)
            message = f"cannot be understood: {type(error).__name__}: {error}"
            self.problems.append(Problem((section.entry.name,), message))
