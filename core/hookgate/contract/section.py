"""Sections: what stands at the top level of a document. A section is a plugin whose options are its items.

A section says what one of its items looks like, in a record, and what the items add to the gateway, in hooks::

    class Redirect(Options):
        source: str
        \"\"\"Path that clients ask for.\"\"\"
        target: str
        \"\"\"Where they are sent.\"\"\"

    class Redirects(Section[Redirect]):
        shape, kind, key = "list", "redirect", ("source",)

        @hookimpl
        def routes(self, site):
            for item in self.items:
                step = {"redirect": {"to": item.record.target}}
                route = {"name": item.name, "match": {"path": item.record.source}, "flow": [step]}
                yield site.route(route, item.path, {"match": "source", "flow": "target"})

The record gives positions in messages, the JSON Schema and the page of documentation. What a section makes of its items
is returned, and nothing is kept: a document may be refused after all, and an unchanged section lives on over reloads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, Protocol, TypeVar, get_args

from pydantic import ValidationInfo
from pydantic_core import core_schema

from hookgate.contract.plugin import Entry, Options, Plugin
from hookgate.contract.steps import FlowOptions, Interceptor, Ways
from hookgate.exchange.belonging import ApiInfo
from hookgate.exchange.errors import Path

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

    from hookgate.contract.hookspecs import SectionSpec
else:
    SectionSpec = object

Detour = Callable[[Any, Any], Any]
"""Takes an exchange and the flow of its route; gives the flow that the call takes instead, or ``None``."""
Readdress = Callable[[Any], tuple[str, Sequence[Ways]]]
"""Takes an exchange before its route is looked for; gives the name of the route it takes, or nothing for the one that
the router finds, and steps in front of those of the route. It may change path and query, and raise faults."""
Shape = Literal["names", "list", "record"]
RecordT = TypeVar("RecordT", bound=Options)


@dataclass(frozen=True, slots=True)
class Item(Generic[RecordT]):
    """One thing in a section."""

    name: str
    """Its key, or what the key fields of a listed record say, with blanks between them."""
    record: RecordT
    path: Path
    """Where it stands in the document."""
    raw: Any = field(default=None, repr=False, compare=False)
    """As it is written, references resolved; only in the constructor of a section that says ``keeps_raw``."""


@dataclass(frozen=True, slots=True)
class Definition:
    """Something with a name of its own that a section adds, as a document would write it."""

    name: str
    written: object
    path: Path
    """Where mistakes in it are told."""
    family: str = ""
    """Of a named instance; if empty, the entry says it: ``credential/basic``, or the name of a plugin is enough."""


class Section(Plugin[RecordT], SectionSpec):
    """A top-level section of the document; see :class:`hookgate.contract.hookspecs.SectionSpec`.

    An instance holds the items of one document. While they are the same it lives on over reloads, as every plugin does.
    """

    family = "section"
    shape: ClassVar[Shape] = "names"
    """``names`` for a mapping of names to records, ``list`` for a list of records, ``record`` for one record."""
    kind: ClassVar[str] = ""
    """What one item is called, in the singular; by default the name of the section without its last letter."""
    plural: ClassVar[str] = ""
    """What several are called, where that is not the name of the section."""
    key: ClassVar[tuple[str, ...]] = ("name",)
    """The fields that tell the records of a list apart."""

    keeps_raw: ClassVar[bool] = False
    """Its constructor needs items as they are written, since it names places inside them. Secrets stand there in clear,
    so whatever it keeps of them stays out of messages."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.shape not in get_args(Shape):
            raise TypeError(f"{cls.__name__}.shape is {cls.shape!r}; write {', '.join(get_args(Shape))}")
        fields = {name for each in cls.options_type.model_fields.items() for name in (each[0], each[1].alias)}
        if cls.shape == "list" and cls.options_type is not Options and (strange := set(cls.key) - fields):
            raise TypeError(
                f"{cls.__name__}.key names {min(strange)!r}, which is no field of {cls.options_type.__name__}"
            )

    def __init__(self, items: Sequence[Item[RecordT]] = ()) -> None:
        self.items = tuple(items)
        """What is right among its items; a document with mistakes does not go live."""
        self.entry = Entry(id=type(self).__name__, name=type(self).__name__, family=self.family)

    @property
    def record(self) -> RecordT:
        """The record of a section that is one; its defaults while there are mistakes in it."""
        return self.items[0].record if self.items else self.options_type()  # type: ignore[return-value]

    def names(self) -> Collection[str]:
        """Return the names of its items, which others may refer to."""
        return [item.name for item in self.items]

    @classmethod
    def names_in(cls, written: object) -> Collection[str]:
        """Return the names of items as they are written, before any is checked."""
        if cls.shape == "names":
            return list(written) if isinstance(written, Mapping) else ()
        listed = written if cls.shape == "list" and isinstance(written, list | tuple) else ()
        return [cls.name_of(each) for each in listed if isinstance(each, Mapping)]

    @classmethod
    def name_of(cls, written: Mapping[str, Any]) -> str:
        """Return the name of a listed item as it is written."""
        return " ".join(str(written[field]) for field in cls.key if written.get(field))


class Route(Protocol):
    """A route as core has made it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def steps(self) -> FlowOptions | Ways:
        """Its steps, those of the whole gateway left out."""

    @property
    def api(self) -> ApiInfo | None:
        """What its calls belong to."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Short texts by name, as the document has them."""

    @property
    def path(self) -> Path:
        """Where it stands in the document, or what it was made of."""


class Loaded(Protocol):
    """A document that is right, and not live yet."""

    @property
    def flow(self) -> FlowOptions:
        """Steps left of those of every route."""

    @property
    def routes(self) -> Sequence[Route]:
        """Every route, whoever has made it."""

    @property
    def sections(self) -> Mapping[str, Section[Any]]:
        """Every section, in the order of the document."""

    @property
    def placed(self) -> Mapping[str, Path]:
        """Where every entry stands, by the id of what was built of it."""

    @property
    def accepts(self) -> Mapping[str, Mapping[str, str]]:
        """Warnings that entries accept, with the reason, by id."""


class Site(Protocol):
    """What a section may ask while a document is loaded. Mistakes are noted and never stop the rest."""

    gateway: Any
    """The section ``gateway`` as a record."""
    placed: Mapping[str, Path]
    """Where every entry stands, by the id of what was built of it."""
    accepts: Mapping[str, Mapping[str, str]]
    """Warnings that entries accept, by id: the mappings of the document themselves."""

    def problem(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """Note a mistake; the same one at the same place counts once."""

    def section(self, name: str) -> Section[Any] | None:
        """Return another section of this document."""

    def names(self, section: str) -> Collection[str]:
        """Return the names that may be referred to: items of a section, and connections that others have added."""

    def step(self, entry: object, path: Path, owner: str, origin: str = "") -> Interceptor[Any] | None:
        """Build a step from its entry; ``None`` for a mistake, which is noted, and for a disabled one."""

    def flow(
        self, lists: Mapping[str, Any], path: Path, owner: str, origin: str = "", *, scope: str = "", keep: bool = True
    ) -> FlowOptions:
        """Build the steps of ``flow``, ``request`` and ``response``. One that may not stand in the ``scope`` is a
        mistake. Without ``keep`` they are checked only: they never start."""

    def adopt(self, step: Interceptor[Any], path: Path) -> None:
        """Take in a step that the section has made itself."""

    def route(
        self,
        written: Options | Mapping[str, Any],
        path: Path,
        made_of: Mapping[str, str | Path] | None = None,
        *,
        steps: FlowOptions | Ways | None = None,
        api: ApiInfo | None = None,
        strip: str = "",
        prefix: str = "",
    ) -> Route | None:
        """Make a route of what a document would say of it; ``None`` for one with a mistake, which is noted.

        A mistake is told at the item, or where ``made_of`` says what a part was made of: ``{"match.path": "source"}``
        names a field of the item, a path any other place. ``steps`` are those that the section has built itself, in
        the place of ``flow``, ``request`` and ``response``. ``api`` is what its calls belong to. ``strip`` is taken off
        the front of the path for the backend, ``prefix`` put there instead.
        """


@dataclass(frozen=True, slots=True)
class Refers:
    """Says of a text that it is the name of an item: ``Annotated[str, Refers("connections")]``. A document that has no
    item of that name in that section is refused; in the JSON Schema it stands as ``x-hookgate-section``."""

    section: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Look the name up while a document is loaded; elsewhere any name will do."""

        def check(name: str, info: ValidationInfo) -> str:
            builder = (info.context or {}).get("builder")
            if builder is not None:
                builder.refer(self.section, name)
            return name

        return core_schema.with_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Say for forms where the names are."""
        return {**handler(schema), "x-hookgate-section": self.section}


ConnectionName = Annotated[str, Refers("connections")]
"""The name of a connection."""
