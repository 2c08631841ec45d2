"""From an entry of a document to a plugin instance.

Constructing is validating: the options of an entry are checked by the plugin's own record, and where an option is
itself a plugin the nested one is built during that check. Mistakes are collected with their paths and never stop the
rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path as FolderPath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError, PydanticOmit

from hookgate.contract.plugin import Entry, Options, Plugin
from hookgate.contract.steps import FlowOptions, Interceptor
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import Fence
from hookgate.document.entries import HOST_KEY, HostOptions, Rejected, Written, written
from hookgate.document.inside import SIDES, Inside, leave_out_disabled, may_hold_plugins, out_of_place, plugins_in
from hookgate.document.kept import Checked, Kept, digest
from hookgate.document.named import Named, Names
from hookgate.document.validation import NESTED, flattened, others_words
from hookgate.exchange.errors import Path, Problem, near, outside

ModelT = TypeVar("ModelT", bound=BaseModel)


class Builder:
    """Builds the plugins of one document; also the :class:`~hookgate.contract.plugin.Builder` of nested fields."""

    def __init__(
        self,
        catalogue: Catalogue,
        previous: Mapping[str, Plugin[Any]] | None = None,
        problems: list[Problem] | None = None,
        folder_of: Callable[[Path], FolderPath | None] = lambda _: None,
        kept: Kept | None = None,
    ) -> None:
        self._folder_of = folder_of
        self._kept = kept if kept is not None and kept.catalogue is catalogue else Kept(catalogue)
        self.kept = Kept(catalogue)
        """The records of this document."""
        self._noting: Checked | None = None
        """The record that is being checked."""
        self.catalogue = catalogue
        self.instances: dict[str, Plugin[Any]] = {}
        """What was built, by id, in order of construction: nested ones before those that hold them."""
        self.problems = [] if problems is None else problems
        self.warnings: list[Problem] = []
        """What can be meant so, and seldom is."""
        self.placed: dict[str, Path] = {}
        """Where entries stand that are no options of another one, by id."""
        self.accepts: dict[str, Mapping[str, str]] = {}
        """Warnings that entries accept, by id: the mappings of the document themselves."""
        self.connections: Collection[str] | None = None
        """Names of the connections of the document, once they are known."""
        self._named: dict[str, set[str]] = {}
        self.broken: set[str] = set()
        """Names of items that cannot be used for their mistakes: whoever refers to them hears nothing more of it."""
        self.previous = previous or {}
        self._names = Names(catalogue, self.problems, self.broken, self._named)
        self._referred: set[tuple[str, str]] = set()
        """Sections and names of their items that something refers to."""
        self._used: set[Named] = set()
        """Names that are placed."""
        self.everybodys: set[str] = set()
        """Ids of named instances, and of what is in them."""
        self._built: dict[Named, Plugin[Any] | None] = {}
        self._failed: set[Named] = set()
        self._building: list[Named] = []
        self._folder: FolderPath | None = None
        self._owner = ""
        self._origin = ""
        self._ordinals: Counter[str] = Counter()
        self._ids: dict[str, bool] = {}

    @property
    def folder(self) -> FolderPath | None:
        """From which relative paths count, where options are checked just now. Who asks stands on a file."""
        self._spoil()
        return self._folder

    @property
    def named(self) -> dict[str, set[str]]:
        """Names in sections, as they are written. Options that ask for more than a name stand on the document."""
        self._spoil()
        return self._named

    def _spoil(self) -> None:
        if self._noting is not None:
            self._noting.sound = False

    def _put(self, mapping: str, key: Any, value: Any) -> None:
        """Note something in one of the mappings here, and with the record at hand."""
        getattr(self, mapping)[key] = value
        if self._noting is not None:
            self._noting.made.append((mapping, key, value))

    def place(self, family: str, value: object, path: Path, owner: str, origin: str = "") -> Any:
        """Build the entry that stands at a path; ``None`` for a mistake, which is noted, and for a disabled entry."""
        before = self._owner, self._origin, self._folder
        self._owner, self._origin, self._folder = owner, origin, self._folder_of(path)
        try:
            built = self.build(family, value)
            if built is not None:
                self._note_place(built, value, path)
            return built
        except Rejected as rejected:
            self.problems.extend(problem.under(path) for problem in rejected.problems)
            return None
        finally:
            self._owner, self._origin, self._folder = before

    def places(self, family: str, entries: object, path: Path, owner: str) -> list[Any]:
        """Build the entries of a list, as :meth:`place` does; what is no list is for the section's record to refuse."""
        listed = entries if isinstance(entries, list | tuple) else ()
        built = [self.place(family, entry, (*path, index), owner) for index, entry in enumerate(listed)]
        return [plugin for plugin in built if plugin is not None]

    def record(self, model: type[ModelT], raw: object, path: Path, owner: str, origin: str = "") -> ModelT | None:
        """Check a record and build the plugins in it; ``None`` for one with mistakes, which are noted. One that was
        good before, and is written as it was, is taken with its plugins.
        """
        before = self._owner, self._origin, self._folder
        self._owner, self._origin, self._folder = owner, origin, self._folder_of(path)
        key, written_as, noted, warned = (model, owner, origin), digest(raw), len(self.problems), len(self.warnings)
        try:
            held = self._kept.find(key, written_as, self._folder)
            if held is not None and self._again(held, path):
                self.kept.keep(key, held)
                return held.found  # type: ignore[no-any-return]
            self._noting = None if written_as is None else Checked(written_as, self._folder)
            found = self._checked(model, raw, path)
            if (noting := self._noting) is not None and noting.sound and len(self.problems) == noted:
                noting.close(found, path, self.warnings[warned:])
                self.kept.keep(key, noting)
            return found
        finally:
            self._owner, self._origin, self._folder = before
            self._noting = None

    def _checked(self, model: type[ModelT], raw: object, path: Path) -> ModelT | None:
        try:
            found = model.model_validate({} if raw is None else raw, context={"builder": self})
            self.problems += self._fenced(found, path)
        except ValidationError as error:
            self.problems += flattened(error, model, raw, path)
            return None
        self.warnings += others_words(model, raw, path)
        if may_hold_plugins(model):
            places = list(plugins_in(found, raw, path))
            leave_out_disabled(found)
            for each in places:
                if each.plugin is not None:
                    self._note_place(each.plugin, each.raw, each.path, sure=each.sure)
            wrong = (each for each in places if each.plugin is not None or not each.optional)
            self.problems += out_of_place(wrong, getattr(model, "flow_scope", ""))
        return found

    def _again(self, held: Checked, path: Path) -> bool:
        """Take a record that was checked before; return whether everything that it stands on is as it was."""
        for mapping, key, value in held.made:
            if (mapping == "instances" and self.previous.get(key, value) is not value) or (
                mapping == "_ids" and key in self._ids
            ):
                return False
        if any(self._built.get(named) is not built for named, built in held.named):
            return False
        if any((known := self._known(section)) is not None and name not in known for section, name in held.referred):
            return False
        for mapping, key, value in held.made:
            if mapping == "placed":
                self.placed.setdefault(key, (*path, *value))
            else:
                getattr(self, mapping)[key] = value
        self._referred |= held.referred
        self._used.update(named for named, _ in held.named)
        self.warnings += [warning.under(path) for warning in held.warnings]
        return True

    def _note_place(self, plugin: Plugin[Any], raw: object, path: Path, *, sure: bool = True) -> None:
        """Keep where a plugin stands, and where those in its options do."""
        if plugin.entry.id in self.placed:
            return
        self._put("placed", plugin.entry.id, path)
        if sure and isinstance(raw, Mapping | Written):
            entry, options = written(raw), type(plugin).options_type
            self.warnings += others_words(options, entry.options, (*path, *entry.prefix))
            for inner in plugins_in(plugin.options, entry.options, (*path, *entry.prefix)):
                if inner.plugin is not None:
                    self._note_place(inner.plugin, inner.raw, inner.path, sure=inner.sure)

    def steps(
        self, lists: Mapping[str, Any], path: Path, owner: str, origin: str = "", *, scope: str = "", keep: bool = True
    ) -> FlowOptions:
        """Build the three lists of a flow, and refuse what may not stand there. Without ``keep`` that was all."""
        before = set(self.instances)
        built: dict[str, tuple[Interceptor[Any], ...]] = {}
        for side in SIDES:
            entries = lists.get(side)
            placed: list[Interceptor[Any]] = []
            for index, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
                step = self.place("interceptor", entry, (*path, side, index), owner, origin)
                if step is not None:
                    placed.append(step)
                    self.problems += out_of_place([Inside(step, (*path, side, index), side, entry)], scope)
            built[side] = tuple(placed)
        if not keep:
            self._forget(before)
        return FlowOptions.model_construct(None, **built)

    def nested(self, family: str, value: object) -> Plugin[Any]:
        """Build the entry of a nested field while pydantic validates the options around it."""
        try:
            plugin = self.build(family, value)
        except Rejected as rejected:
            raise PydanticCustomError(NESTED, "cannot be built", {"problems": rejected.problems}) from None
        if plugin is None:
            raise PydanticOmit  # pydantic leaves it out of the list it stands in
        return plugin

    def define(self, family: str, name: str, value: object, path: Path) -> None:
        """Let a name stand for one instance; without a family the entry says of which it is."""
        self._names.define(family, name, value, path)

    def refer(self, section: str, name: str) -> None:
        """Look for a name of an item in a section.

        Raises:
            ValueError: there is none.
        """
        known = self._known(section)
        self._referred.add((section, name))
        if self._noting is not None:
            self._noting.referred.add((section, name))
        if known is not None and name not in known:
            raise ValueError(f"there is no {section.removesuffix('s')} {name!r}{near(name, known)}")

    def _known(self, section: str) -> Collection[str] | None:
        """Return the names in a section, once they are known."""
        return (
            self.connections if section == "connections" and self.connections is not None else self._named.get(section)
        )

    def share(self) -> None:
        """Build the named instances and the profiles, each once."""
        for named, defined in self._names.all.items():
            with suppress(Rejected):
                self._instance_named(named, *defined)

    def warn_of_unused(self) -> None:
        """Warn of connections that nothing refers to, and of named instances that stand nowhere: but not of families of
        others, which may be found by their class.
        """
        for name in sorted(self._named["connections"]):
            if ("connections", name) not in self._referred:
                message = f"nothing calls by the connection {name}: refer to it, or take it out"
                self.warnings.append(Problem(("connections", name), message, at_key=True))
        for (family, name), (_, path) in self._names.all.items():
            if (family, name) in self._used or path[0] != "plugins" or self._built[family, name] is None:
                continue
            if self.catalogue.family(family).base.__module__.startswith("hookgate."):
                self.warnings.append(Problem(path, f"{name} stands nowhere: place it, or take it out"))

    def build(self, family: str, value: object) -> Plugin[Any] | None:
        """Build an entry for the owner at hand; ``None`` for a disabled one, which is checked all the same.

        Raises:
            Rejected: every mistake in it.
        """
        entry = written(value)
        if (known := self._names.all.get((family, entry.name))) is not None:
            return self._shared_instance((family, entry.name), entry, *known)
        try:
            cls = self.catalogue.get(family, entry.name)
        except LookupError as error:
            if entry.name in self.broken:
                raise Rejected([]) from None  # what is wrong with it is told where it is defined
            message = self._names.unknown(family, entry.name, error)
            raise Rejected([Problem(entry.prefix, message, at_key=bool(entry.prefix))]) from None
        if cls.needs and isinstance(self._folder, Fence) and (why := self._folder.refused(cls.needs, entry.name)):
            raise Rejected([Problem(entry.prefix, why)])
        if cls.needs:  # what it stands on is more than what is written
            self._spoil()
        host, problems = self._host_options(entry)
        base = f"{self._owner}/{entry.name}"
        number = self._ordinals[base] + 1
        self._put("_ordinals", base, number)
        entry_id = host.id or (base if number == 1 else f"{base}#{number}")
        if entry_id in self._ids:
            problems.append(Problem((*entry.prefix, HOST_KEY, "id"), f"the id {entry_id!r} is taken; ids are unique"))
        self._put("_ids", entry_id, True)
        before = set(self.instances) if host.disabled else set()
        options = self._options(cls, entry, entry_id, problems)
        if problems or options is None:
            raise Rejected(problems)
        if host.accept:
            self._put("accepts", entry_id, entry.host["accept"])
        if host.disabled:
            self._forget(before)
            return None
        placed = Entry(entry_id, entry.name, family, host.label, when=host.when, origin=self._origin)
        instance = self._instance(cls, options, placed, entry.prefix)
        self._put("instances", entry_id, instance)
        return instance

    def _forget(self, before: set[str]) -> None:
        """Take out what was built meanwhile, except named instances: they belong to everybody."""
        self._spoil()
        for entry_id in set(self.instances) - before - self.everybodys:
            del self.instances[entry_id]

    def _instance_named(self, named: Named, value: object, path: Path) -> Plugin[Any] | None:
        """Build a named instance (once), or find it built; ``None`` if it is disabled.

        Raises:
            Rejected: without problems when it cannot be built: they are noted where it is defined.
        """
        if named in self._building:
            names = [name for _, name in (*self._building[self._building.index(named) :], named)]
            raise Rejected([Problem((), f"circular reference: {' -> '.join(names)}")])
        if named not in self._built:
            self._spoil()
            self._building.append(named)
            noted, before = len(self.problems), set(self.instances)
            built = self._built[named] = self.place(named[0], value, path, ".".join(map(str, path)))
            self._building.pop()
            if built is not None and not built.shareable:  # it is checked, and each place makes one of its own
                self._forget(before)
                if "id" in (written(value).host or {}):
                    message = "an instance is made for each place, so no id fits them all; leave it out"
                    at = (*path, *written(value).prefix, HOST_KEY, "id")
                    self.problems.append(Problem(at, message))
            self.everybodys |= set(self.instances) - before
            if len(self.problems) > noted:
                self._failed.add(named)
        if named in self._failed:
            raise Rejected([])
        return self._built[named]

    def _shared_instance(self, named: Named, entry: Written, value: object, path: Path) -> Plugin[Any] | None:
        if entry.options or entry.host:
            message = f"{entry.name} stands in `{path[0]}:`; its options are written there and not where it is placed"
            raise Rejected([Problem(entry.prefix, message)])
        built = self._instance_named(named, value, path)
        self._used.add(named)
        if self._noting is not None:
            self._noting.named.append((named, built))
        if built is None or built.shareable:
            return built
        self._spoil()
        before, self._folder = self._folder, self._folder_of(path)
        try:
            return self.build(named[0], value)  # the name stands for its entry, where that is written
        finally:
            self._folder = before

    def _host_options(self, entry: Written) -> tuple[HostOptions, list[Problem]]:
        if entry.host is None:
            return _NOTHING_SAID, []
        try:
            return HostOptions.model_validate(entry.host), []
        except ValidationError as error:
            return _NOTHING_SAID, flattened(error, HostOptions, entry.host, (*entry.prefix, HOST_KEY))

    def _options(self, cls: type[Plugin[Any]], entry: Written, owner: str, problems: list[Problem]) -> Options | None:
        before, self._owner = self._owner, owner
        try:
            options = cls.options_type.model_validate(entry.options, context={"builder": self})
        except ValidationError as error:
            problems += flattened(error, cls.options_type, entry.options, entry.prefix)
            return None
        finally:
            self._owner = before
        problems += self._fenced(options, entry.prefix)
        if may_hold_plugins(cls.options_type):
            problems += out_of_place(plugins_in(options, entry.options, entry.prefix))
        return options

    def _fenced(self, checked: BaseModel, path: Path) -> Iterator[Problem]:
        if isinstance(self._folder, Fence):
            yield from (Problem((*path, *place), why) for place, why in self._folder.found(checked))

    def _instance(self, cls: type[Plugin[Any]], options: Options, entry: Entry, prefix: Path) -> Plugin[Any]:
        before = self.previous.get(entry.id)
        if before is not None and type(before) is cls and before.options == options and before.entry == entry:
            return before  # it lives on with its state
        try:
            instance = cls(options)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise Rejected([Problem(prefix, why, outside=outside(error), whole=True)]) from error
        instance.entry = entry
        return instance


_NOTHING_SAID = HostOptions()
