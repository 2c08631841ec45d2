"""What a plugin is made of: checked options, a base class for each family, and what a plugin may ask of the house.

A plugin is a plain class whose ``@hookimpl`` methods are hooks and whose options are one frozen record::

    class IpAllowOptions(Options):
        networks: tuple[IPvAnyNetwork, ...]
        \"\"\"Networks a client may come from, in CIDR form.\"\"\"

    class IpAllow(Interceptor[IpAllowOptions]):
        category = "security"

        @hookimpl
        def on_request(self, exchange): ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError, core_schema

from hookgate.contract.guards import guard

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

    from hookgate.contract.hookspecs import LifecycleSpec
    from hookgate.expressions import Expression
else:
    LifecycleSpec = object  # base classes have what their family specifies for type checkers only


class Options(BaseModel):
    """The options of a plugin: one frozen record, unknown keys refused.

    The string under a field is its description: in the JSON Schema, in ``hookgate plugins NAME`` and in the
    documentation.
    """

    moved: ClassVar[Mapping[str, str]] = {}
    """Options that stood here in earlier versions, or that others call so, with what to write."""
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Have truth values and numbers kept apart in its fields, and paths counted from the document."""
        schema = handler(source)
        guard(handler.resolve_ref_schema(schema))
        return schema


@dataclass(frozen=True, slots=True)
class Entry:
    """One placement of a plugin in a document, with what the host itself keeps about it (the reserved key ``_``)."""

    id: str
    """Owner, plugin and ordinal (``routes.orders/rate-limit#2``), or what ``_: {id: …}`` says; stable over reloads."""
    name: str
    family: str
    label: str = ""
    disabled: bool = False
    when: Expression | None = None
    """The step is skipped for calls where this is false."""
    origin: str = ""
    """What the entry came from, if not from where it stands: the scope it was inherited from, or ``plans.NAME``."""


class Builder(Protocol):
    """Builds the plugin of a nested field; put into pydantic's validation context by whoever loads a document."""

    def nested(self, family: str, value: object) -> Plugin[Any]:
        """Build from an entry: a name, or a one-key mapping of name to options."""


OptionsT = TypeVar("OptionsT", bound=Options)


class Plugin(Generic[OptionsT], LifecycleSpec):
    """Base of every plugin of every family. Constructing has no side effects."""

    family: ClassVar[str] = ""
    """Name of the family, set by its base class."""
    shareable: ClassVar[bool] = True
    """One instance may stand in several places. If not, the name of a named instance stands for its entry, and each
    place has an instance of its own."""
    needs: ClassVar[str] = ""
    """What only those may have it do who are trusted by who runs the gateway: ``code`` (it runs code that the document
    names), ``environment`` (it reads variables of the process). An option of type ``Path`` needs no word for files."""
    options_type: ClassVar[type[Options]] = Options
    """The record named in the brackets of the base class."""
    reads: frozenset[str] | set[str] = frozenset()
    """What the hooks read beyond the head: ``request.body``, ``response.body``, ``identity``, … Core keeps a body whole
    for a *sync* hook that reads it."""
    writes: frozenset[str] | set[str] = frozenset()
    """What the hooks change, and what else others should know: ``limit`` (counts and refuses calls), ``cache`` (answers
    with what it has kept), ``answer`` (always answers, so that nothing right of it is reached), ``signature`` and
    ``digest`` (over what it reads). `hookgate check` warns of orders in which steps miss each other."""

    def __init__(self, options: OptionsT) -> None:
        self.options = options
        self.entry = Entry(id=type(self).__name__, name=type(self).__name__, family=self.family)
        """Where this instance stands in the document; set by the loader."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            if isinstance(get_origin(base), type) and issubclass(get_origin(base), Plugin):
                for argument in get_args(base):
                    if isinstance(argument, type) and issubclass(argument, Options):
                        cls.options_type = argument

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Let a family's base class be the type of an option: the field then holds the built plugin."""

        def validate(value: object, info: ValidationInfo) -> Plugin[Any]:
            if isinstance(value, cls):
                return value
            builder: Builder | None = (info.context or {}).get("builder")
            if builder is None:
                raise PydanticCustomError("no_builder", "a plugin can be built only while a document is loaded")
            return builder.nested(cls.family, value)

        return core_schema.with_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(lambda plugin: plugin.entry.name)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-hookgate-family": cls.family}

    def __repr__(self) -> str:
        return f"<{self.entry.family} {self.entry.id}>"
