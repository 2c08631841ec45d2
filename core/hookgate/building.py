"""From an entry of a document to a plugin instance.

Constructing is validating: the options of an entry are checked by the plugin's own record, and where an option is itself a
plugin the nested one is built during that check. Mistakes are collected with their paths and never stop the rest.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from hookgate.catalogue import Catalogue
from hookgate.errors import ConfigError, Path, Problem
from hookgate.expressions import Expression
from hookgate.plugin import Entry, Options, Plugin

NESTED = "hookgate_nested"
"""Type of the pydantic error that carries the problems of a nested plugin."""
HOST_KEY = "_"
"""The key inside an entry's options that belongs to the host and never to the plugin."""

PluginT = TypeVar("PluginT", bound=Plugin[Any])


class Rejected(Exception):  # noqa: N818
    """An entry that cannot be built; the paths of its problems start at the entry."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(map(str, self.problems)))


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
        return Written(value, {}, {}, ())
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, options),) = value.items()
        if isinstance(name, str) and (options is None or isinstance(options, Mapping)):
            rest = dict(options or {})
            return Written(name, rest, rest.pop(HOST_KEY, None) or {}, (name,))
        raise Rejected([Problem((name,), f"the options of {name} are written as a mapping, or left out")])
    raise Rejected([Problem((), "an entry is a plugin's name, or one name with its options: `cors` or `cors: {…}`")])


class Builder:
    """Builds the plugins of one document; also the :class:`~hookgate.plugin.Builder` of nested fields."""

    def __init__(
        self,
        catalogue: Catalogue,
        previous: Mapping[str, Plugin[Any]] | None = None,
        shared: Mapping[str, object] | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.instances: dict[str, Plugin[Any]] = {}
        """What was built, by id, in order of construction: nested ones before those that hold them."""
        self.problems: list[Problem] = []
        self._previous = previous or {}
        self._shared = shared or {}
        self._built: dict[str, Plugin[Any] | None] = {}
        self._building: list[str] = []
        self._owner = ""
        self._ordinals: Counter[str] = Counter()

    def place(self, family: str, value: object, path: Path, owner: str) -> Plugin[Any] | None:
        """Build the entry that stands at a path; a mistake is noted and ``None`` returned."""
        before, self._owner = self._owner, owner
        try:
            return self._build(family, value)
        except Rejected as rejected:
            self.problems.extend(problem.under(path) for problem in rejected.problems)
            return None
        finally:
            self._owner = before

    def nested(self, family: str, value: object) -> Plugin[Any]:
        """Build the entry of a nested field while pydantic validates the options around it."""
        try:
            return self._build(family, value)
        except Rejected as rejected:
            raise PydanticCustomError(NESTED, "cannot be built", {"problems": rejected.problems}) from None

    def named(self, name: str) -> Plugin[Any] | None:
        """Build the shared instance of a name (once), or find it built."""
        if name in self._building:
            cycle = " -> ".join([*self._building[self._building.index(name) :], name])
            raise Rejected([Problem((), f"circular reference: {cycle}; one of them has to go")])
        if name not in self._built:
            self._building.append(name)
            try:
                self._built[name] = self.place("interceptor", self._shared[name], ("plugins", name), f"plugins.{name}")
            finally:
                self._building.pop()
        return self._built[name]

    def _build(self, family: str, value: object) -> Plugin[Any]:
        entry = written(value)
        if family == "interceptor" and entry.name in self._shared and entry.name not in self._building[-1:]:
            return self._shared_instance(entry)
        try:
            cls = self.catalogue.get(family, entry.name)
        except LookupError as error:
            raise Rejected([Problem((), str(error))]) from None
        host, problems = self._host_options(entry)
        base = f"{self._owner}/{entry.name}"
        self._ordinals[base] += 1
        number = self._ordinals[base]
        entry_id = host.id or (base if number == 1 else f"{base}#{number}")
        if entry_id in self.instances:
            problems.append(Problem((*entry.prefix, HOST_KEY, "id"), f"the id {entry_id!r} is taken; ids are unique"))
        options = self._options(cls, entry, entry_id, problems)
        if problems or options is None:
            raise Rejected(problems)
        instance = self._instance(cls, options, entry_id, entry)
        instance.entry = Entry(entry_id, entry.name, family, host.label, host.disabled, host.when)
        self.instances[entry_id] = instance
        return instance

    def _shared_instance(self, entry: Written) -> Plugin[Any]:
        if entry.options or entry.host:
            message = f"{entry.name} is an instance from `plugins:`; its options are written there and not where it is placed"
            raise Rejected([Problem((), message)])
        instance = self.named(entry.name)
        if instance is None:
            raise Rejected([])  # reported where it is defined
        return instance

    def _host_options(self, entry: Written) -> tuple[HostOptions, list[Problem]]:
        try:
            return HostOptions.model_validate(entry.host), []
        except ValidationError as error:
            return HostOptions(), flattened(error, HostOptions, entry.host, (*entry.prefix, HOST_KEY))

    def _options(self, cls: type[Plugin[Any]], entry: Written, owner: str, problems: list[Problem]) -> Options | None:
        before, self._owner = self._owner, owner
        try:
            return cls.options_type.model_validate(entry.options, context={"builder": self})
        except ValidationError as error:
            problems += flattened(error, cls.options_type, entry.options, entry.prefix)
            return None
        finally:
            self._owner = before

    def _instance(self, cls: type[Plugin[Any]], options: Options, entry_id: str, entry: Written) -> Plugin[Any]:
        before = self._previous.get(entry_id)
        if before is not None and type(before) is cls and before.options == options:
            return before  # it lives on with its state
        try:
            return cls(options)
        except Exception as error:  # noqa: BLE001 - a constructor may raise what it likes
            raise Rejected([Problem(entry.prefix, f"{type(error).__name__}: {error}")]) from error


def construct(plugin: type[PluginT], options: Mapping[str, Any], catalogue: Catalogue | None = None) -> PluginT:
    """Validate options and construct one plugin, outside of any document.

    Raises:
        ConfigError: every mistake in the options.
    """
    try:
        context = {"builder": Builder(catalogue or Catalogue())}
        return plugin(plugin.options_type.model_validate(dict(options), context=context))
    except ValidationError as error:
        raise ConfigError(flattened(error, plugin.options_type, options, ())) from None


def flattened(error: ValidationError, model: type[BaseModel], raw: object, prefix: Path) -> list[Problem]:
    """Turn pydantic's errors into problems, those of nested plugins with paths of their own."""
    problems: list[Problem] = []
    for each in error.errors(include_url=False, include_input=False):
        path = prefix + _real(raw, each["loc"], missing=each["type"] == "missing")
        if each["type"] == NESTED:
            problems += [nested.under(path) for nested in each["ctx"]["problems"]]
        elif each["type"] == "extra_forbidden":
            known = _keys(_model_at(model, each["loc"][:-1]))
            problems.append(Problem(path, f"there is no option {each['loc'][-1]!r}{near(str(each['loc'][-1]), known)}", at_key=True))
        else:
            message = each["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
            problems.append(Problem(path, "is required" if each["type"] == "missing" else _lower_first(message)))
    return problems


def near(word: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: the likely one, or what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(known)}" if known else ""


def _lower_first(message: str) -> str:
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _real(raw: object, loc: tuple[str | int, ...], *, missing: bool) -> Path:
    """Keep of pydantic's location what really stands in the document: unions and functions put names of theirs in."""
    path: list[str | int] = []
    for index, step in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(raw, Mapping) and (step in raw or (last and missing)):
            raw = raw.get(step)
        elif isinstance(raw, list | tuple) and isinstance(step, int) and step < len(raw):
            raw = raw[step]
        else:
            continue
        path.append(step)
    return tuple(path)


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [] if model is None else [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel] | None, loc: tuple[str | int, ...]) -> type[BaseModel] | None:
    """Follow a location through the fields of models as far as it goes."""
    for step in loc:
        if model is None or isinstance(step, int):
            continue
        field = next((f for name, f in model.model_fields.items() if step in (name, f.alias)), None)
        if field is not None:
            model = _first_model(field.annotation)
    return model


def _first_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _first_model(each)) is not None), None)
