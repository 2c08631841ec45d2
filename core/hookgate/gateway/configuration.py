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
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path as FolderPath
from typing import Any

from hookgate.connections.record import ConnectionSection
from hookgate.connections.section import ConnectionConfig, connection_of
from hookgate.contract.duration import seconds
from hookgate.contract.families import App, CounterStore, Observer, StateStore
from hookgate.contract.host import Host
from hookgate.contract.plugin import Plugin
from hookgate.contract.section import Definition, Item, Section
from hookgate.contract.steps import FlowOptions
from hookgate.document.building import Builder
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import Document
from hookgate.document.kept import Kept
from hookgate.document.reading import Reader
from hookgate.document.references import References
from hookgate.exchange.errors import ConfigError, Path, Problem
from hookgate.flow.routes import RouteConfig
from hookgate.gateway.asking import Asking
from hookgate.gateway.exposed import apps_alone, routes_of
from hookgate.gateway.listenertls import check
from hookgate.gateway.record import GatewaySection, ManagementSection
from hookgate.gateway.site import LoadingSite, Table

log = logging.getLogger("hookgate")

PATIENCE = 0.0005
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
    """What the public listener serves without a flow, by path."""
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
    counters: CounterStore[Any] | None = None
    """Where limits are counted, if anything is installed that does."""
    state: StateStore[Any] | None = None
    """Where plugins keep what outlives a restart."""
    sections: Mapping[str, Section[Any]] = field(default_factory=dict)
    """By name, in the order of the document."""
    placed: Mapping[str, Path] = field(default_factory=dict)
    """Where every entry stands, by the id of what was built of it."""
    accepts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Warnings that entries accept, by id."""
    kept: Kept | None = None
    """The checked records, for the next document."""

    def pieces(self) -> list[Any]:
        """Return what it holds, so that it can be let go of in pieces: else it goes at once, and no call is served."""
        items = (item for section in self.sections.values() for item in section.items)
        named = (self.instances, self.connections, self.placed, {} if self.kept is None else self.kept.records)
        return [*self.routes, *items, *(each for one in named for each in one.values())]


async def load(
    document: Mapping[str, Any],
    catalogue: Catalogue,
    previous: Mapping[str, Plugin[Any]] | None = None,
    host_of: Callable[[Plugin[Any]], Host] | None = None,
    *,
    secrets: bool = True,
    kept: Kept | None = None,
    review: bool = True,
) -> Configuration:
    """Validate a document and build what it names. Instances of ``previous`` live on where their entry, with id and
    options, is the same, and records of ``kept`` where they are written the same. ``host_of`` gives the hosts that
    secret providers are started with; whoever gets the configuration shuts them down. If it is refused, that has been
    done. Without ``secrets`` none is asked, and what stands on references is not looked at; without ``review``
    nothing is warned of.

    Raises:
        ConfigError: every mistake in it, in the order of the document.
    """
    located = document if isinstance(document, Document) else Document.of(document)
    references = References(catalogue, previous, host_of, ask=secrets, folder_of=located.folder_of)
    try:
        config = await _loaded(located, references, catalogue, previous, kept, review)
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
    kept: Kept | None,
    review: bool,
) -> Configuration:
    loader = _Loader(catalogue, previous, await references.resolve(located), references.hide, located.folder_of, kept)
    try:
        config = await loader.load()
        loader.problems += await _certificates(config.gateway, references.unresolved)
        _refuse(located, references, loader.problems)
        if review and not loader.problems:  # others come of references that nobody was to look up
            await loader.review(config)
            _refuse(located, references, loader.problems)
    except KeyError:  # a section of the house did not come to its end in time
        _refuse(located, references, loader.problems)
        raise
    finally:
        loader.close()
    warnings = () if loader.problems else loader.warnings
    return replace(config, warnings=await asyncio.to_thread(lambda: tuple(map(located.locate, warnings))))


def _refuse(located: Document, references: References, problems: list[Problem]) -> None:
    """Refuse a document with mistakes, in its order; what only follows from a reference that is missing is no news."""
    told = [*references.problems, *(problem for problem in problems if not references.explain(problem))]
    if told:
        found = {
            located.locate(replace(problem, message=references.hide(problem.message, problem.path))): None
            for problem in told
        }
        raise ConfigError(
            sorted(
                found, key=lambda problem: (problem.file != located.file, problem.file, problem.line, problem.column)
            )
        )


def _patience(document: Mapping[str, Any]) -> float:
    """Return the seconds that a hook of a section may take, before the section `gateway` has been read."""
    gateway = document.get("gateway")
    said = gateway.get("hook_timeout") if isinstance(gateway, Mapping) else None
    with suppress(ValueError, TypeError):  # what is no time is told when the section is read
        if 0 < (patience := float(seconds(said))) < inf:
            return patience
    return GatewaySection().hook_timeout


async def _certificates(gateway: GatewaySection, unresolved: set[Path]) -> list[Problem]:
    """Try the files of TLS, beside the loop: it takes some milliseconds for each."""
    place = ("gateway", "tls")
    if gateway.tls is None or any(path[:2] == place for path in unresolved):  # a password may be missing
        return []
    return [problem.under(place) for problem in await asyncio.to_thread(check, gateway.tls)]


class _Loader:
    def __init__(
        self,
        catalogue: Catalogue,
        previous: Mapping[str, Plugin[Any]] | None,
        document: Mapping[str, Any],
        hide: Callable[[str], str],
        folder_of: Callable[[Path], FolderPath | None],
        kept: Kept | None,
    ) -> None:
        self.problems: list[Problem] = []
        self._catalogue = catalogue
        self._document = document
        self._builder = Builder(catalogue, previous, self.problems, folder_of, kept)
        self._asking = Asking(self.problems, _patience(document), hide)
        self._rested = time.monotonic()

    @property
    def warnings(self) -> list[Problem]:
        return self._builder.warnings

    async def load(self) -> Configuration:
        builder = self._builder
        reader = await asyncio.to_thread(Reader, builder, self._document, self._rest, self._asking.make)
        for section in await reader.read("instances"):
            async for found in self._asking.each(section, "instances", Definition):
                builder.define(found.family, found.name, found.written, found.path)
        await reader.read("connections")
        added = [
            found
            for section in reader.sections.values()
            async for found in self._asking.each(section, "connections", Definition)
        ]
        builder.connections = {*builder.named["connections"], *(found.name for found in added)}
        builder.share()
        await reader.read()
        sections = reader.sections
        gateway: GatewaySection = sections["gateway"].record
        self._asking.patience = gateway.hook_timeout
        connections = {}
        written = self._document.get("connections")
        for item in sections["connections"].items:
            await self._rest()
            if (connection := connection_of(builder, item, written[item.name])) is not None:  # type: ignore[index]
                connections[item.name] = connection
        for item in self._added(added):
            if (connection := connection_of(builder, item, item.raw)) is not None:
                connections[item.name] = connection
        table = Table(self.problems)
        site = LoadingSite(builder, sections)
        for section in sorted(sections.values(), key=lambda each: each.entry.name != "routes"):  # they keep their names
            async for config in self._asking.each(section, "routes", RouteConfig, site):
                await self._rest()
                table.take(config)
        for config in routes_of(gateway.expose, site):
            table.take(config)
        if gateway.proxy_protocol:
            site.part("proxyprotocol", ("gateway", "proxy_protocol"), "a listener for PROXY headers")
        for section in sections.values():
            self.problems += [problem async for problem in self._asking.each(section, "check", Problem, site)]
        await asyncio.to_thread(table.check_conflicts)  # thousands of routes take a second, in which calls are served
        await asyncio.to_thread(table.check_parameters, gateway, builder.placed)
        builder.warn_of_unused()
        counters = self._default("counters") if gateway.counters is None else gateway.counters  # empty ones are false
        state = self._default("state") if gateway.state is None else gateway.state
        own = [*(each for each in (state, counters) if each is not None), *sections.values()]  # they start first
        return Configuration(
            gateway,
            sections["management"].record,
            gateway,
            gateway.observers,
            self._apps(sections["management"].record),
            apps_alone(gateway.expose),
            connections,
            tuple(table.routes),
            await asyncio.to_thread(dict, ((p.entry.id, p) for p in (*own, *builder.instances.values()))),
            counters=counters,
            state=state,
            sections=sections,
            placed=builder.placed,
            accepts=builder.accepts,
            kept=builder.kept,
        )

    def _added(self, added: Iterable[Definition]) -> Iterator[Item[ConnectionSection]]:
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
                if app.entry.id not in self._builder.everybodys:
                    self._builder.instances.pop(app.entry.id)
            return ()
        if management.apps is not None:
            return management.apps
        default = self._default("app", "management", "apps")
        return () if default is None else (default,)

    def _default(self, family: str, section: str = "gateway", key: str = "") -> Any:
        """Build what serves where a document chooses nothing; ``None`` if nothing is installed for it."""
        try:
            name = self._catalogue.default(family)
        except LookupError as error:
            self.problems.append(Problem((section,), str(error)))
            return None
        return None if name is None else self._builder.place(family, name, (section, key or family), section)

    async def review(self, config: Configuration) -> None:
        """Note what is written correctly and hardly meant so."""
        for section in config.sections.values():
            self.warnings.extend([warning async for warning in self._asking.each(section, "review", Problem, config)])

    def close(self) -> None:
        """Let go of what was needed for loading."""
        self._asking.close()

    async def _rest(self) -> None:
        if time.monotonic() - self._rested > PATIENCE:
            await asyncio.sleep(0)
            self._rested = time.monotonic()
