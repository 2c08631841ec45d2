"""The checks of sections: a document with one item is loaded and brought up twice, and every hook is watched."""

from __future__ import annotations

import asyncio
import functools
import json
import pickle
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from hookgate import ConfigError, Plugin, Problem, Section
from hookgate.contract import hooks_of
from hookgate.document import Catalogue
from hookgate.gateway import Configuration, bring_up, load
from hookgate_authoring.conformance import bench
from hookgate_authoring.conformance.report import Report
from hookgate_authoring.conformance.state import changed, held

"""The name of the item, in a section of names."""
STRANGE = "no-such-key-of-conformance"
HOOKS = ("instances", "connections", "routes", "check", "detour", "readdress", "review")
FUNCTIONS = {"detour", "readdress"}
"""Those that give a function for each call."""
RIGHT = (
    ("keeps state", "return what is made of the items; only the constructor keeps anything"),
    ("raised", "return a Problem from `check`, or say site.problem: hooks of sections raise nothing"),
    ("does not come", "be done within gateway.hook_timeout; what takes long belongs to startup"),
    ("", "what hookgate.contract.hookspecs.SectionSpec says"),
)
"""What would be right, by the beginning of what the loader says."""


def check(
    cls: type[Plugin[Any]], item: str, options: Mapping[str, Any], document: Mapping[str, Any], report: Report
) -> None:
    """Run every check of sections.

    Raises:
        ConfigError: the item is not valid, or the document that it stands in.
    """
    assert issubclass(cls, Section)
    _check_schema(cls, report)
    asyncio.run(_Trial(cls, item, options, document, report).run())


def _check_schema(cls: type[Section[Any]], report: Report) -> None:
    """The schema of an item is plain JSON: it goes to editors, to forms, and into other processes."""
    name = cls.options_type.__name__
    try:
        schema = cls.options_type.model_json_schema()
        same = json.loads(json.dumps(schema)) == schema and pickle.loads(pickle.dumps(schema)) == schema  # noqa: S301
    except Exception as error:  # noqa: BLE001 - whatever a value in it raises
        report.add("schema", name, f"its JSON schema is not plain: {error}", "strings, numbers, lists and mappings")
        return
    if not same:
        seen = "its JSON schema does not come back as it was written"
        report.add("schema", name, seen, "lists in the place of tuples, strings as keys")


class _Holding(Catalogue):
    """What is installed, with one section in the place of what has its name."""

    def __init__(self, name: str, cls: type[Section[Any]]) -> None:
        super().__init__()
        self._held = name, cls

    def names(self, family: str) -> list[str]:
        """Name it, too."""
        return sorted({*super().names(family), *([self._held[0]] if family == "section" else [])})

    def get(self, family: str, name: str) -> type[Plugin[Any]]:
        """Return it under its name."""
        return self._held[1] if (family, name) == ("section", self._held[0]) else super().get(family, name)


class _Trial:
    def __init__(
        self,
        cls: type[Section[Any]],
        item: str,
        options: Mapping[str, Any],
        document: Mapping[str, Any],
        report: Report,
    ) -> None:
        self.cls, self.item, self.report = cls, item, report
        self.name = bench.installed_as(cls)
        self.written = {"names": {item: options}, "list": [options], "record": options}[cls.shape]
        self.empty: Any = {"names": {}, "list": []}.get(cls.shape)
        self.place = (self.name,) if cls.shape == "record" else (self.name, item if cls.shape == "names" else 0)
        self.beside = {"management": {"enabled": False}, **document}
        self.beside["gateway"] = {"hook_timeout": bench.PATIENCE, **self.beside.get("gateway", {})}
        self.answers: dict[str, list[list[Any]]] = defaultdict(list)
        """What each hook gave, each time it was asked."""
        self.catalogue = _Holding(self.name, self._watched())

    async def run(self) -> None:
        """Have it loaded twice, as by a reload without a change; then without items, and with what nobody knows."""
        first = await self._up(self.written)
        if first is None:
            return
        try:
            self._check_names(first.sections[self.name])
            second = await self._up(self.written, first)
            if second is not None:
                self._compare(first.sections[self.name], second.sections[self.name])
        finally:
            for plugin in reversed(first.instances.values()):
                await bench.call_hook(plugin, "shutdown")
        if self.empty is not None:
            await self._loaded(self.empty)
        await self._check_unknown()

    async def _loaded(self, written: object, before: Configuration | None = None) -> Configuration | None:
        """Load a document; what the section does wrong is noted.

        Raises:
            ConfigError: the document is wrong.
        """
        try:
            previous = before.instances if before is not None else None
            return await load({**self.beside, self.name: written}, self.catalogue, previous)
        except ConfigError as refused:
            self._note(refused)
            return None

    async def _up(self, written: object, before: Configuration | None = None) -> Configuration | None:
        """Load a document and bring it up, beside one that runs already."""
        config = await self._loaded(written, before)
        if config is None:
            return None
        house: Any = bench.House()
        house.live = await bring_up(house, before, 1) if before is not None else None
        try:
            await bring_up(house, config, 2)
        except ConfigError as refused:
            self._note(refused)
            return None
        return config

    def _note(self, refused: ConfigError) -> None:
        """Tell what the section does wrong from what is wrong with the document."""
        others = []
        for problem in refused.problems:
            name = re.escape(self.cls.__qualname__)
            said = re.fullmatch(rf"cannot be used: \S*?{name}(?:\.(\w+))? (.*)", problem.message, re.DOTALL)
            if said is not None and problem.path == (self.name,):  # those of lifecycles tell what cannot be started
                right = next(right for start, right in RIGHT if said[2].startswith(start))
                self.report.add("contract", said[1] or self.cls.__name__, said[2], right)
            elif problem.path == ("document",) or not problem.message.startswith("could not be started"):
                others.append(problem)
        if others:
            raise ConfigError(others)

    def _watched(self) -> type[Section[Any]]:
        """Derive a class whose hooks note what they give, and are compared with what the instance was before."""
        spec = Catalogue().family("section").spec
        hooks = {
            name: self._around(name, getattr(self.cls, name)) for name in hooks_of(self.cls, spec) if name in HOOKS
        }
        about = {"__module__": self.cls.__module__, "__qualname__": self.cls.__qualname__, "__doc__": self.cls.__doc__}
        return type(self.cls.__name__, (self.cls,), {**about, **hooks})

    def _around(self, name: str, hook: Any) -> Any:
        def one_by_one(section: Section[Any], given: Iterable[Any], before: Any, answers: list[Any]) -> Iterator[Any]:
            for each in given:
                answers.append(each)
                yield each
            self._compare_state(section, name, before)

        @functools.wraps(hook)
        def asked(section: Section[Any], *arguments: Any) -> Any:
            before, answers = held(section), list[Any]()
            self.answers[name].append(answers)
            given = hook(section, *arguments)
            if name not in FUNCTIONS and isinstance(given, Iterable) and not isinstance(given, str | bytes):
                return one_by_one(section, given, before, answers)
            answers.append(callable(given) if name in FUNCTIONS else given)
            self._compare_state(section, name, before)
            return given

        return asked

    def _compare_state(self, section: Section[Any], where: str, before: Mapping[str, object]) -> None:
        if way := changed(before, held(section)):
            start, right = RIGHT[0]
            self.report.add("contract", where, f"{start} in {way}", right)

    def _compare(self, first: Section[Any], second: Section[Any]) -> None:
        """An item that is the same is equal, so that the section lives on; and it gives the same again."""
        if first is not second:
            seen = "is made anew although its items are the same: they are not equal when they are read again"
            self.report.add("contract", self.cls.options_type.__name__, seen, "fields whose values can be compared")
            return
        for hook, (one, two, *_) in self.answers.items():
            if one != two:
                at = next(
                    (n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two))
                )
                seen = f"gives {_said(two, at)} when it is asked again, and gave {_said(one, at)}"
                self.report.add("contract", hook, seen, "the same for the same items: what changes belongs elsewhere")

    def _check_names(self, section: Section[Any]) -> None:
        before = held(section)
        try:
            names, again = section.names(), section.names()
        except Exception as error:  # noqa: BLE001 - the plugin's own
            self.report.add("contract", "names", f"raised {type(error).__name__}: {error}", "the names of its items")
            return
        if not isinstance(names, Collection) or isinstance(names, str) or not all(isinstance(n, str) for n in names):
            self.report.add("contract", "names", f"returned {names!r:.100}", "a list or a set of names")
            return
        self._compare_state(section, "names", before)
        if list(names) != list(again):
            self.report.add("contract", "names", f"returned {list(again)}, and {list(names)} before", "the same again")
        if missing := {item.name for item in section.items} - set(names):
            self.report.add("contract", "names", f"leaves out {min(missing)!r}", "the names of all items, and more")
        if self.cls.shape != "record" and (missing := set(names) ^ set(section.names_in(self.written))):
            seen = f"is not of one mind with names(): {min(missing)!r}"
            self.report.add("contract", "names_in", seen, "the same names, told by what is written")

    async def _check_unknown(self) -> None:
        """A key that nobody knows is refused, with its place."""
        written: Any = self.written
        if self.cls.shape == "record":
            written = {**written, STRANGE: 1}
        elif self.cls.shape == "names":
            written = {self.item: {**written[self.item], STRANGE: 1}}
        else:
            written = [{**written[0], STRANGE: 1}]
        problems: tuple[Problem, ...] = ()
        try:
            await load({**self.beside, self.name: written}, self.catalogue)
        except ConfigError as refused:
            problems = tuple(refused.problems)
        if not any(problem.path[: len(self.place)] == self.place for problem in problems):
            seen = f"takes a key {STRANGE!r} without a word"
            self.report.add(
                "schema", self.cls.options_type.__name__, seen, "extra='forbid', as hookgate.Options has it"
            )


def _said(given: list[Any], at: int) -> str:
    return f"{given[at]!r:.100}" if at < len(given) else "no more"
