"""Reading the sections of a document, item by item."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from hookgate.contract.plugin import Entry
from hookgate.contract.section import Item, Section
from hookgate.document.building import Builder
from hookgate.exchange.errors import ConfigError, Path, Problem, near

FIRST = ("secrets", "environments")
"""Sections that references need, which are resolved before anything is read."""


class Reader:
    """Reads the sections of one document, a few at a time: those that define what others name come first."""

    def __init__(
        self,
        builder: Builder,
        document: Mapping[str, Any],
        rest: Callable[[], Awaitable[None]],
        make: Callable[[str, type[Section[Any]], Sequence[Item[Any]]], Awaitable[Section[Any] | None]],
    ) -> None:
        self._builder = builder
        self._document = document
        self._rest = rest
        """Lets others run now and then."""
        self._make = make
        """Calls the constructor of a section, which may fail or hang."""
        self._classes: dict[str, type[Section[Any]]] = {}
        self._read: dict[str, Section[Any]] = {}
        installed = builder.catalogue.names("section")
        for name in dict.fromkeys((*document, *builder.catalogue.always())):
            if name in FIRST or name == "$schema" or name.startswith("x-"):
                continue
            if name not in installed:
                said = builder.catalogue.hint("section", name, FIRST) or near(name, [*FIRST, *installed])
                message = f"there is no section {name!r}{said}{builder.catalogue.unread()}"
                builder.problems.append(Problem((name,), message, at_key=True))
                continue
            try:
                cls: Any = builder.catalogue.get("section", name)
            except LookupError as error:
                builder.problems.append(Problem((name,), str(error), at_key=True))
                continue
            self._classes[name] = cls
            builder.named[name] = set(cls.names_in(document.get(name)))

    @property
    def sections(self) -> dict[str, Section[Any]]:
        """What has been read, in the order of the document."""
        return {name: self._read[name] for name in self._classes if name in self._read}

    async def read(self, having: str = "") -> list[Section[Any]]:
        """Read the sections that have a hook, or those that are left."""
        now = [
            name
            for name, cls in self._classes.items()
            if name not in self._read and (not having or hasattr(cls, having))
        ]
        found = []
        for name in now:
            items = tuple([item async for item in self._items(name, self._classes[name])])
            section = await self._made(name, self._classes[name], items)
            if section is not None:
                self._read[name] = section
                found.append(section)
        return found

    async def _made(self, name: str, cls: type[Section[Any]], items: tuple[Item[Any], ...]) -> Section[Any] | None:
        before = self._builder.previous.get(f"sections.{name}")
        if type(before) is cls and await self._same(before.items, items):
            return before  # it lives on with its state
        try:
            section = await self._make(name, cls, items)
        except ConfigError as error:
            self._builder.problems += error.problems
            return None
        if section is not None:
            if cls.keeps_raw:  # it lives for as long as it serves, and what is written holds secrets
                section.items = _without_raw(items)
            section.entry = Entry(f"sections.{name}", name, "section")
        return section

    async def _same(self, before: Sequence[Item[Any]], now: Sequence[Item[Any]]) -> bool:
        for first in range(0, len(now), 500):
            if before[first : first + 500] != now[first : first + 500]:
                return False
            await self._rest()
        return len(before) == len(now)

    async def _items(self, name: str, cls: type[Section[Any]]) -> AsyncIterator[Item[Any]]:
        problems, seen = self._builder.problems, dict[str, Path]()
        for key, raw, path in self._parts(name, cls, self._document.get(name)):
            await self._rest()
            owner = name if cls.shape == "record" else f"{name}.{key}" if key else f"{name}[{path[-1]}]"
            if cls.shape == "list" and key in seen:
                message = f"the name {key!r} is taken by another {cls.kind or name}; names are unique"
                problems.append(Problem((*path, cls.key[0]), message))
                owner += f"[{path[-1]}]"
            record = self._builder.record(cls.options_type, raw, path, owner)
            if record is None:
                self._builder.broken.add(key)
            elif key not in seen:
                yield Item(key, record, path, raw if cls.keeps_raw else None)
            if key:
                seen[key] = path

    def _parts(self, name: str, cls: type[Section[Any]], value: Any) -> Iterator[tuple[str, Any, Path]]:
        wrong = ""
        if cls.shape == "record":
            yield name, value, (name,)
        elif cls.shape == "names":
            if value is None or isinstance(value, Mapping):
                yield from ((key, raw, (name, key)) for key, raw in (value or {}).items())
            else:
                wrong = "should be a mapping of names"
        elif value is None or isinstance(value, list | tuple):
            for index, raw in enumerate(value or ()):
                yield cls.name_of(raw) if isinstance(raw, Mapping) else "", raw, (name, index)
        else:
            wrong = f"should be a list of {cls.plural or name}"
        if wrong:
            self._builder.problems.append(Problem((name,), wrong))


def _without_raw(items: tuple[Item[Any], ...]) -> tuple[Item[Any], ...]:
    return tuple(Item(item.name, item.record, item.path) for item in items)
