"""What is there while a document is loaded: its sections, read from what is written, and what they may ask for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from hookgate.building import Builder
from hookgate.errors import ConfigError, Path, Problem
from hookgate.plugin import Entry, FlowOptions, Interceptor
from hookgate.routeconfig import RouteConfig, Routes
from hookgate.section import Item, Section
from hookgate.sections import GatewaySection
from hookgate.validation import flattened, near

DEFINING = ("instances", "connections")
"""Hooks of sections that define what others may name: these are read first."""


def read_sections(builder: Builder, written: Mapping[str, Any], own: Iterable[str]) -> dict[str, Section[Any]]:
    """Read sections, in the order of the document; what is wrong with one is noted, and it is left out then."""
    classes: dict[str, type[Section[Any]]] = {}
    installed = builder.catalogue.names("section")
    for name in written:
        if name not in installed:
            message = f"there is no section {name!r}{near(name, [*own, *installed])}"
            builder.problems.append(Problem((name,), message, at_key=True))
            continue
        try:
            classes[name] = builder.catalogue.get("section", name)  # type: ignore[assignment]
        except LookupError as error:
            builder.problems.append(Problem((name,), str(error), at_key=True))
    for name, cls in classes.items():
        builder.named[name] = set(cls.names_in(written.get(name)))
    first = [name for name, cls in classes.items() if any(hasattr(cls, hook) for hook in DEFINING)]
    order = dict.fromkeys((*first, *classes))
    read = {name: _read(builder, name, classes[name], written[name]) for name in order}
    return {name: section for name in classes if (section := read[name]) is not None}


def _read(builder: Builder, name: str, cls: type[Section[Any]], value: Any) -> Section[Any] | None:
    items = list(_items(builder, name, cls, value))
    before = builder.previous.get(f"sections.{name}")
    if isinstance(before, cls) and type(before) is cls and before.items == tuple(items):
        return before  # it lives on with its state
    try:
        section = cls(items)
    except ConfigError as error:
        builder.problems += error.problems
        return None
    except Exception as error:  # noqa: BLE001 - another distribution's code may raise anything
        builder.problems.append(Problem((name,), f"cannot be understood: {type(error).__name__}: {error}"))
        return None
    section.entry = Entry(f"sections.{name}", name, "section")
    return section


def _items(builder: Builder, name: str, cls: type[Section[Any]], value: Any) -> Iterable[Item[Any]]:
    parts: list[tuple[str, Any, Path]] = []
    match cls.shape:
        case "record":
            parts = [(name, value, (name,))]
        case "names":
            if value is not None and not isinstance(value, Mapping):
                builder.problems.append(Problem((name,), "should be a mapping of names"))
                return
            parts = [(key, raw, (name, key)) for key, raw in (value or {}).items()]
        case "list":
            if value is not None and not isinstance(value, list | tuple):
                builder.problems.append(Problem((name,), f"should be a list of {cls.plural or name}"))
                return
            parts = [
                (cls.name_of(raw) if isinstance(raw, Mapping) else "", raw, (name, index))
                for index, raw in enumerate(value or ())
            ]
    seen: dict[str, Path] = {}
    for key, raw, path in parts:
        record = _record(builder, cls, raw, path)
        if cls.shape == "list" and key:
            if key in seen:
                message = f"the name {key!r} is taken by another {cls.kind or 'one'}; names are unique"
                builder.problems.append(Problem((*path, cls.key[0]), message))
                continue
            seen[key] = path
        if record is not None:
            yield Item(key, record, path, raw)


def _record(builder: Builder, cls: type[Section[Any]], raw: Any, path: Path) -> Any:
    model = cls.options_type
    try:
        return model.model_validate({} if raw is None else raw, context={"builder": builder})
    except ValidationError as error:
        builder.problems += flattened(error, model, raw, path)
        return None


class LoadingSite:
    """What sections ask; see :class:`hookgate.section.Site`."""

    def __init__(
        self, builder: Builder, sections: Mapping[str, Section[Any]], gateway: GatewaySection, routes: Routes
    ) -> None:
        self.gateway = gateway
        self._builder = builder
        self._sections = sections
        self._routes = routes

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """Note a mistake; the same one at the same place counts once."""
        problem = Problem(path, message, at_key=at_key)
        if problem not in self._builder.problems:
            self._builder.problems.append(problem)

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

    def flow(self, lists: Mapping[str, Any], path: Path, owner: str, origin: str = "") -> FlowOptions:
        """Build the steps of three lists."""
        return self._builder.steps(lists, path, owner, origin)

    def adopt(self, step: Interceptor[Any], path: Path) -> None:
        """Take in a step that the section has made itself."""
        self._builder.instances[step.entry.id] = step
        self._builder.placed.setdefault(step.entry.id, path)

    def route(
        self, written: Mapping[str, Any], path: Path, made_of: Mapping[str, str] | None = None
    ) -> RouteConfig | None:
        """Make a route of what a document would say."""
        return self._routes.make(written, path, str(path[0]), made_of or {})
