"""From an entry of a document to a plugin instance.

Constructing is validating: the options of an entry are checked by the plugin's own record, and where an option is
itself a plugin the nested one is built during that check. Mistakes are collected with their paths and never stop the
rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic_core import PydanticCustomError, PydanticOmit

from hookgate.catalogue import Catalogue
from hookgate.errors import ConfigError, Path, Problem
from hookgate.expressions import Expression
from hookgate.hooks import hooks_of
from hookgate.hookspecs import FlowSpec
from hookgate.plugin import Entry, FlowOptions, Interceptor, Options, Plugin
from hookgate.section import Item, Section
from hookgate.validation import NESTED, flattened, near

HOST_KEY = "_"
"""The key inside an entry's options that belongs to the host and never to the plugin."""
SIDES = ("flow", "request", "response")
"""The three lists of a flow."""

PROFILE_SIDES = {"inbound": "auth", "outbound": "credential"}
"""What a security profile may say, with the family of what stands there (AC-36)."""
_Named = tuple[str, str]
"""Family and name of an instance that has a name of its own."""

PluginT = TypeVar("PluginT", bound=Plugin[Any])
ModelT = TypeVar("ModelT", bound=BaseModel)


class Rejected(Exception):
    """An entry that cannot be built; the paths of its problems start at the entry."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(map(str, self.problems)))


def _reason(text: str) -> str:
    if not text.strip():
        raise ValueError("say why it is meant so")
    return text


class HostOptions(Options):
    """What an entry may say to the host, under `_`."""

    id: str | None = None
    """A name for this entry that stays the same when others are added or moved."""
    label: str = ""
    """What people see instead of the plugin's name."""
    disabled: bool = False
    """Checked, but left out of the flow."""
    when: Expression | None = None
    """The step is skipped for calls where this is false."""
    accept: dict[str, Annotated[str, Field(max_length=1000), AfterValidator(_reason)]] = Field(default_factory=dict)
    """Warnings of `hookgate check` that are meant so: the name of the rule, and the reason."""


@dataclass(frozen=True, slots=True)
class Written:
    """An entry as it was written: a name, or a one-key mapping of the name to options."""

    name: str
    options: dict[str, Any]
    host: Any
    prefix: Path
    """Where the options stand, seen from the entry."""


def written(value: object) -> Written:
    """Take an entry apart.

    Raises:
        Rejected: it has neither of the two forms.
    """
    if isinstance(value, str) and value:
        return Written(value, {}, None, ())
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, options),) = value.items()
        if options is None or isinstance(options, Mapping):
            rest = dict(options or {})
            return Written(name, rest, rest.pop(HOST_KEY, None), (name,))
        raise Rejected([Problem((name,), f"the options of {name} are written as a mapping, or left out")])
    message = "an entry is a plugin's name, or one name with its options: `cors` or `cors: {…}`"
    if isinstance(value, Mapping) and value:
        message += f"; here stand {' and '.join(map(str, value))}, so indent the options under their name"
    raise Rejected([Problem((), message)])


class Builder:
    """Builds the plugins of one document; also the :class:`~hookgate.plugin.Builder` of nested fields."""

    def __init__(
        self,
        catalogue: Catalogue,
        previous: Mapping[str, Plugin[Any]] | None = None,
        shared: Mapping[str, object] | None = None,
        problems: list[Problem] | None = None,
        profiles: Mapping[str, object] | None = None,
    ) -> None:
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
        self.named: dict[str, set[str]] = {}
        """Names in sections, as they are written."""
        self.broken: set[str] = set()
        """Names of items that cannot be used for their mistakes: whoever refers to them hears nothing more of it."""
        self.previous = previous or {}
        self._shared = _named(shared or {}, profiles or {})
        self._built: dict[_Named, Plugin[Any] | None] = {}
        self._failed: set[_Named] = set()
        self._building: list[_Named] = []
        self._owner = ""
        self._origin = ""
        self._ordinals: Counter[str] = Counter()
        self._ids: set[str] = set()

    def place(self, family: str, value: object, path: Path, owner: str, origin: str = "") -> Any:
        """Build the entry that stands at a path; ``None`` for a mistake, which is noted, and for a disabled entry."""
        before = self._owner, self._origin
        self._owner, self._origin = owner, origin
        try:
            built = self.build(family, value)
            if built is not None:
                self._note_place(built, value, path)
            return built
        except Rejected as rejected:
            self.problems.extend(problem.under(path) for problem in rejected.problems)
            return None
        finally:
            self._owner, self._origin = before

    def places(self, family: str, entries: object, path: Path, owner: str) -> list[Any]:
        """Build the entries of a list, as :meth:`place` does; what is no list is for the section's record to refuse."""
        listed = entries if isinstance(entries, list | tuple) else ()
        built = [self.place(family, entry, (*path, index), owner) for index, entry in enumerate(listed)]
        return [plugin for plugin in built if plugin is not None]

    def record(self, model: type[ModelT], raw: object, path: Path, owner: str, origin: str = "") -> ModelT | None:
        """Check a record and build the plugins in it; ``None`` for one with mistakes, which are noted."""
        before = self._owner, self._origin
        self._owner, self._origin = owner, origin
        try:
            found = model.model_validate({} if raw is None else raw, context={"builder": self})
        except ValidationError as error:
            self.problems += flattened(error, model, raw, path)
            return None
        finally:
            self._owner, self._origin = before
        if _may_hold_plugins(model):
            places = list(plugins_in(found, raw, path))
            _leave_out_disabled(found)
            for each in places:
                if each.plugin is not None:
                    self._note_place(each.plugin, each.raw, each.path, sure=each.sure)
            self.problems += _out_of_place(each for each in places if each.plugin is not None)
        return found

    def _note_place(self, plugin: Plugin[Any], raw: object, path: Path, *, sure: bool = True) -> None:
        """Keep where a plugin stands, and where those in its options do."""
        if plugin.entry.id in self.placed:
            return
        self.placed[plugin.entry.id] = path
        if sure and isinstance(raw, Mapping) and len(raw) == 1 and _may_hold_plugins(type(plugin).options_type):
            ((name, options),) = raw.items()
            for inner in plugins_in(plugin.options, options, (*path, name)):
                if inner.plugin is not None:
                    self._note_place(inner.plugin, inner.raw, inner.path, sure=inner.sure)

    def steps(self, raw: Mapping[str, Any], path: Path, owner: str, origin: str = "") -> FlowOptions:
        """Build the three lists of a flow."""
        built: dict[str, tuple[Interceptor[Any], ...]] = {}
        for side in SIDES:
            entries = raw.get(side)
            placed: list[Interceptor[Any]] = []
            for index, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
                step = self.place("interceptor", entry, (*path, side, index), owner, origin)
                if step is not None:
                    placed.append(step)
                    if reason := misplaced(step, side):
                        self.problems.append(Problem((*path, side, index), reason))
            built[side] = tuple(placed)
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
        """Let a name stand for one instance; one that is taken already is a mistake."""
        if (family, name) in self._shared:
            self.problems.append(Problem(path, f"the name {name!r} is taken by another {family}", at_key=True))
            return
        self._shared[family, name] = value, path

    def refer(self, section: str, name: str) -> None:
        """Look for a name of an item in a section.

        Raises:
            ValueError: there is none.
        """
        known = (
            self.connections if section == "connections" and self.connections is not None else self.named.get(section)
        )
        if known is not None and name not in known:
            raise ValueError(f"there is no {section.removesuffix('s')} {name!r}{near(name, known)}")

    def share(self) -> None:
        """Build the named instances and the profiles, each once."""
        for named, (_, path) in self._shared.items():
            if named[1] in self.catalogue.names(named[0]):
                message = f"{named[1]!r} is the name of an installed plugin; give the instance a name of its own"
                self.problems.append(Problem(path[:2], message, at_key=True))
                self._failed.add(named)
                continue
            with suppress(Rejected):
                self._instance_named(named)

    def build(self, family: str, value: object) -> Plugin[Any] | None:
        """Build an entry for the owner at hand; ``None`` for a disabled one, which is checked all the same.

        Raises:
            Rejected: every mistake in it.
        """
        entry = written(value)
        if (family, entry.name) in self._shared:
            return self._shared_instance((family, entry.name), entry)
        try:
            cls = self.catalogue.get(family, entry.name)
        except LookupError as error:
            if entry.name in self.broken:
                raise Rejected([]) from None  # what is wrong with it is told where it is defined
            raise Rejected([Problem(entry.prefix, str(error), at_key=bool(entry.prefix))]) from None
        host, problems = self._host_options(entry)
        base = f"{self._owner}/{entry.name}"
        self._ordinals[base] += 1
        number = self._ordinals[base]
        entry_id = host.id or (base if number == 1 else f"{base}#{number}")
        if entry_id in self._ids:
            problems.append(Problem((*entry.prefix, HOST_KEY, "id"), f"the id {entry_id!r} is taken; ids are unique"))
        self._ids.add(entry_id)
        before = set(self.instances) if host.disabled else set()
        options = self._options(cls, entry, entry_id, problems)
        if problems or options is None:
            raise Rejected(problems)
        if host.accept:
            self.accepts[entry_id] = entry.host["accept"]
        if host.disabled:
            self._forget(before)
            return None
        placed = Entry(entry_id, entry.name, family, host.label, when=host.when, origin=self._origin)
        instance = self.instances[entry_id] = self._instance(cls, options, placed, entry.prefix)
        return instance

    def _forget(self, before: set[str]) -> None:
        """Take out what was built inside a disabled entry, except named instances: they belong to everybody."""
        for entry_id in set(self.instances) - before:
            if not entry_id.startswith(("plugins.", "profiles.")):
                del self.instances[entry_id]

    def _instance_named(self, named: _Named) -> Plugin[Any] | None:
        """Build a named instance (once), or find it built; ``None`` if it is disabled.

        Raises:
            Rejected: without problems when it cannot be built: they are noted where it is defined.
        """
        if named in self._building:
            names = [name for _, name in (*self._building[self._building.index(named) :], named)]
            raise Rejected([Problem((), f"circular reference: {' -> '.join(names)}")])
        if named not in self._built:
            self._building.append(named)
            noted = len(self.problems)
            value, path = self._shared[named]
            self._built[named] = self.place(named[0], value, path, ".".join(map(str, path)))
            self._building.pop()
            if len(self.problems) > noted:
                self._failed.add(named)
        if named in self._failed:
            raise Rejected([])
        return self._built[named]

    def _shared_instance(self, named: _Named, entry: Written) -> Plugin[Any] | None:
        if entry.options or entry.host:
            section = self._shared[named][1][0]
            message = f"{entry.name} stands in `{section}:`; its options are written there and not where it is placed"
            raise Rejected([Problem(entry.prefix, message)])
        return self._instance_named(named)

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
        if _may_hold_plugins(cls.options_type):
            problems += _out_of_place(plugins_in(options, entry.options, entry.prefix))
        return options

    def _instance(self, cls: type[Plugin[Any]], options: Options, entry: Entry, prefix: Path) -> Plugin[Any]:
        before = self.previous.get(entry.id)
        if before is not None and type(before) is cls and before.options == options and before.entry == entry:
            return before  # it lives on with its state
        try:
            instance = cls(options)
        except Exception as error:
            raise Rejected([Problem(prefix, f"{type(error).__name__}: {error}")]) from error
        instance.entry = entry
        return instance


_NOTHING_SAID = HostOptions()


def _named(shared: Mapping[str, object], profiles: Mapping[str, object]) -> dict[_Named, tuple[object, Path]]:
    """What has a name of its own, by family and name, with its place."""
    found: dict[_Named, tuple[object, Path]] = {
        ("interceptor", name): (value, ("plugins", name)) for name, value in shared.items()
    }
    for name, profile in profiles.items():
        for side, family in PROFILE_SIDES.items():
            if isinstance(profile, Mapping) and profile.get(side) is not None:
                found[family, name] = profile[side], ("profiles", name, side)
    return found


def misplaced(step: Plugin[Any], side: str) -> str:
    """Say why a step has nothing to do in a list of a flow (FL-10); empty if it has."""
    cls: Any = type(step)  # mypy takes a class for one of its instances where it must be hashable
    fits = _lists_for(cls)
    if side in fits:
        return ""
    allowed = " or ".join(f"`{name}`" for name in fits)
    return f"{step.entry.name} cannot stand in `{side}`" + (f"; it may stand in {allowed}" if allowed else "")


@lru_cache(maxsize=4096)
def _lists_for(cls: Any) -> tuple[str, ...]:
    """The lists of a flow in which an interceptor has something to do."""
    hooks, sides = hooks_of(cls, FlowSpec).keys(), cls.sides
    fits = {
        "request": "request" in sides and bool({"on_request", "choose", "on_done"} & hooks),
        "response": "response" in sides and bool({"on_response", "on_fault", "choose"} & hooks),
    }
    fits["flow"] = any(fits.values())
    return tuple(side for side in SIDES if fits[side])


@lru_cache(maxsize=4096)
def _may_hold_plugins(options: Any) -> bool:
    """Whether options have room for a plugin; most have none, and need no looking through."""
    seen: list[Any] = []
    pending: list[Any] = [options]
    while pending:
        annotation = pending.pop()
        if annotation in seen:
            continue
        seen.append(annotation)
        kind = get_origin(annotation) or annotation
        if isinstance(kind, type) and issubclass(kind, Plugin):
            return True
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            pending += [field.annotation for field in kind.model_fields.values()]
        pending += get_args(annotation)
    return False


class Inside(NamedTuple):
    """A plugin in options or a record, with its place."""

    plugin: Plugin[Any] | None
    """``None`` for one that is disabled where none may be missing."""
    path: Path
    side: str = ""
    """The list of a flow that it stands in, if it stands in one."""
    raw: object = None
    """The entry that it was made of."""
    sure: bool = True
    """Its place is its own, and not that of a list in which entries are disabled."""


def plugins_in(value: object, raw: object, path: Path, side: str = "") -> Iterator[Inside]:
    """Walk over the plugins that options or a record hold, beside what they were made of; not over what is in these."""
    if isinstance(value, Plugin):
        yield Inside(value, path, side, raw)
    elif isinstance(value, BaseModel):
        if not _may_hold_plugins(type(value)):
            return
        raw, in_flow = raw if isinstance(raw, Mapping) else {}, isinstance(value, FlowOptions)
        for name, field in type(value).model_fields.items():
            key = str(field.alias if field.alias in raw else name)
            if name not in value.__dict__:
                yield Inside(None, (*path, key))
            else:
                in_list = name if in_flow and name in SIDES else ""
                yield from plugins_in(value.__dict__[name], raw.get(key), (*path, key), in_list)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from plugins_in(item, raw.get(key) if isinstance(raw, Mapping) else None, (*path, key), side)
    elif isinstance(value, list | tuple):
        listed = raw if isinstance(raw, list | tuple) else (raw,) * (len(value) == 1)
        places = [index for index, entry in enumerate(listed) if not is_disabled(entry)]
        sure = len(places) == len(value)
        for number, item in enumerate(value):
            if sure:
                at = (*path, places[number]) if listed is raw else path
                yield from plugins_in(item, listed[places[number]], at, side)
            else:
                yield from (found._replace(path=path, sure=False) for found in plugins_in(item, None, path, side))


def _leave_out_disabled(value: object) -> None:
    """Let an optional plugin that is disabled be one that is not written."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            if name not in value.__dict__:
                value.__dict__[name] = field.default
            elif isinstance(value.__dict__[name], BaseModel | tuple):
                _leave_out_disabled(value.__dict__[name])
    elif isinstance(value, tuple):
        for item in value:
            _leave_out_disabled(item)


def is_disabled(entry: object) -> bool:
    """Whether an entry says that it is to be left out."""
    if isinstance(entry, Mapping) and len(entry) == 1:
        (options,) = entry.values()
        host = options.get(HOST_KEY) if isinstance(options, Mapping) else None
        return isinstance(host, Mapping) and host.get("disabled") is True
    return False


def _out_of_place(found: Iterable[Inside]) -> Iterator[Problem]:
    """Look for misplaced steps of contained flows, and for plugins that may not be disabled."""
    for each in found:
        if each.plugin is None:
            yield Problem(each.path, "this plugin cannot be disabled; another one has to stand here")
        elif each.side and (reason := misplaced(each.plugin, each.side)):
            yield Problem(each.path, reason)


@lru_cache(maxsize=1)
def _installed() -> Catalogue:
    return Catalogue()


def construct(plugin: type[PluginT], options: Mapping[str, Any], catalogue: Catalogue | None = None) -> PluginT:
    """Check the hooks of a class, validate options and construct, outside of any document.

    Raises:
        ConfigError: every mistake in the options.
        HookError: the hooks are not as their family wants them.
    """
    catalogue = catalogue or _installed()
    hooks_of(plugin, catalogue.family(plugin.family).spec)
    try:
        checked = plugin.options_type.model_validate(dict(options), context={"builder": Builder(catalogue)})
    except ValidationError as error:
        raise ConfigError(flattened(error, plugin.options_type, options, ())) from None
    problems = list(_out_of_place(plugins_in(checked, options, ())))
    if problems:
        raise ConfigError(problems)
    if issubclass(plugin, Section):
        return plugin((Item("", checked, (), dict(options)),))
    return plugin(checked)
