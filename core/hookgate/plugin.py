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

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError, core_schema

from hookgate.clock import Clock
from hookgate.secret import MASK, Secret

if TYPE_CHECKING:
    import ssl

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

    from hookgate.counters import Counters
    from hookgate.exchange import Outbound, Target
    from hookgate.expressions import Expression
    from hookgate.messages import Response

__all__ = [
    "MASK",
    "App",
    "AuthMethod",
    "Balancer",
    "Blueprint",
    "Branch",
    "Certificate",
    "Clock",
    "Command",
    "Commands",
    "Credential",
    "Discovery",
    "Entry",
    "FlowOptions",
    "HeaderProvider",
    "Host",
    "HttpClient",
    "Interceptor",
    "Monitor",
    "MonitorOptions",
    "Observer",
    "Options",
    "Plugin",
    "Secret",
    "SecretProvider",
    "Send",
    "Source",
    "Transport",
]

Blueprint = Any
"""A ``quart.Blueprint``; this floor does not import Quart."""
Commands = Any
"""A ``typer.Typer``; this floor does not import typer."""
Send = Callable[["Outbound"], Awaitable["Response"]]


class Options(BaseModel):
    """The options of a plugin: one frozen record, unknown keys refused.

    The string under a field is its description: in the JSON Schema, in ``hookgate plugins NAME`` and in the
    documentation.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
        populate_by_name=True,
    )


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


class HttpClient(Protocol):
    """A small HTTP client for everything off the data path: probes, callouts, token endpoints."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Response:
        """Send and return the answer with its body read. Raises the faults of ``TransportSpec.send``."""


class Host(Protocol):
    """What a plugin may ask of the house. It outlives configurations, so a kept instance never holds a dead one."""

    clock: Clock
    counters: Counters
    http: HttpClient
    log: logging.Logger

    def connection(self, name: str) -> Any:
        """Return the live connection of that name: ``await connection.request("GET", "/users/1")`` calls its backend.

        Raises:
            LookupError: there is none.
        """

    def section(self, name: str) -> Any:
        """Return a section of the live document, ``None`` if it has none of that name. Ask anew for each use: a reload
        puts another one in its place."""

    def start(self, name: str, coroutine: Coroutine[Any, Any, None]) -> Any:
        """Run a task that the house ends with itself; a failure is logged under the name."""

    def status(self) -> Mapping[str, Any]:
        """Return what ``/-/health`` shows: state, generation, problems, connections and their targets."""

    def overview(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what ``/-/connections`` shows, by name of the connection: tags, health, plugins, targets, pool and
        counts. None of it is secret.
        """

    async def reload(self) -> int:
        """Read the document again and put it live; return the generation's number.

        Raises:
            ConfigError: the document is bad; the running one stays.
        """


class Builder(Protocol):
    """Builds the plugin of a nested field; put into pydantic's validation context by whoever loads a document."""

    def nested(self, family: str, value: object) -> Plugin[Any]:
        """Build from an entry: a name, or a one-key mapping of name to options."""


OptionsT = TypeVar("OptionsT", bound=Options)


class Plugin(Generic[OptionsT]):
    """Base of every plugin of every family. Constructing has no side effects."""

    family: ClassVar[str] = ""
    """Name of the family, set by its base class."""
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
            validate,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda plugin: plugin.entry.name),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-hookgate-family": cls.family}

    def __repr__(self) -> str:
        return f"<{self.entry.family} {self.entry.id}>"


class Interceptor(Plugin[OptionsT]):
    """A step of a flow; see :class:`hookgate.hookspecs.FlowSpec`."""

    family = "interceptor"
    category: ClassVar[str] = "custom"
    """Traffic, security, mediation, tracing, transformation or custom (FL-7), in lower case."""
    scopes: ClassVar[frozenset[str] | set[str]] = frozenset({"gateway", "api", "resource", "operation", "plan"})
    """Where the step may be placed (FL-11)."""
    sides: ClassVar[frozenset[str] | set[str]] = frozenset({"request", "response"})
    """``{"request"}`` for a step that has other hooks but may stand on the way in only (FL-10)."""
    paired: ClassVar[bool] = False
    """Its way out comes along even when only ``request:`` names it."""


class FlowOptions(Options):
    """A contained flow, drawn as everywhere: client on the left, backend on the right."""

    flow: tuple[Interceptor[Any], ...] = ()
    """Steps that are placed in every phase they have."""
    request: tuple[Interceptor[Any], ...] = ()
    """Steps on the way in only, after those of `flow`."""
    response: tuple[Interceptor[Any], ...] = ()
    """Steps on the way out only, right of those of `flow`."""


class Ways(NamedTuple):
    """A flow whose ways differ in more than what one of them leaves out: both as drawn, steps known by a key."""

    way_in: tuple[tuple[str, Interceptor[Any]], ...] = ()
    way_out: tuple[tuple[str, Interceptor[Any]], ...] = ()


class Branch(Interceptor[OptionsT]):
    """A step that contains flows. Its ``choose`` hook names the one a call enters, on the way in or, placed on the way
    out only, on the way out; the steps of that flow then stand in the place of the branch."""

    paired = True
    """What it contains decides for itself on which way it runs."""

    @property
    def branches(self) -> Mapping[str, FlowOptions]:
        """The contained flows by the names that ``choose`` may return."""
        raise NotImplementedError


class AuthMethod(Plugin[OptionsT]):
    """A way to find out who is calling; see :class:`hookgate.hookspecs.AuthSpec`."""

    family = "auth"


class Credential(Plugin[OptionsT]):
    """A way to show a backend who we are; see :class:`hookgate.hookspecs.CredentialsSpec`."""

    family = "credential"
    signs_message: ClassVar[bool] = False
    """It signs what the others have added, so it must come last (AC-15)."""

    @property
    def header(self) -> str | None:
        """Name of the header it writes, if it writes one: two that write the same get a warning (X7). Its option
        ``header`` unless a plugin says otherwise.
        """
        return getattr(self.options, "header", None)


class HeaderProvider(Plugin[OptionsT]):
    """The value of a header action; see :class:`hookgate.hookspecs.HeaderSpec`."""

    family = "header"


class Balancer(Plugin[OptionsT]):
    """Chooses targets; see :class:`hookgate.hookspecs.BalancerSpec`. One instance serves one connection."""

    family = "balancer"
    ranks_health: ClassVar[bool] = False
    """It looks at the health of targets itself, so it is offered the unhealthy ones, too (HC-5, HC-14)."""


class MonitorOptions(Options):
    """What every monitor has: when to check and what to conclude (AC-8). Durations in seconds."""

    active: bool = True
    """Whether checks run."""
    interval: float = Field(default=10.0, gt=0)
    """Seconds between checks of a target that is well."""
    backoff: float = Field(default=2.0, ge=1)
    """Factor on the interval for each failed check in a row."""
    at_most: float = Field(default=120.0, gt=0)
    """Longest time between checks, in seconds; not below `interval`."""
    timeout: float = Field(default=5.0, gt=0)
    """Seconds to wait for the result of one check."""
    unhealthy_after: int = Field(default=3, ge=1)
    """Failed checks in a row that make a target unhealthy."""
    healthy_after: int = Field(default=1, ge=1)
    """Good checks in a row that make it healthy again."""
    floor: float = Field(default=0.0, ge=0, le=1)
    """Share of the targets that stay in rotation whatever this monitor finds, from 0 to 1."""

    def model_post_init(self, context: Any, /) -> None:
        """Check the bounds against each other (AC-9)."""
        if self.at_most < self.interval:
            raise ValueError(f"at_most ({self.at_most:g} s) must not be below interval ({self.interval:g} s)")


MonitorOptionsT = TypeVar("MonitorOptionsT", bound=MonitorOptions)


class Monitor(Plugin[MonitorOptionsT]):
    """Checks targets; see :class:`hookgate.hookspecs.MonitorSpec`."""

    family = "monitor"


class Observer(Plugin[OptionsT]):
    """Watches; see :class:`hookgate.hookspecs.ObserverSpec`."""

    family = "observer"


class Source(Plugin[OptionsT]):
    """Provides the document; see :class:`hookgate.hookspecs.SourceSpec`."""

    family = "source"


class Transport(Plugin[OptionsT]):
    """Carries attempts; see :class:`hookgate.hookspecs.TransportSpec`. One instance serves one connection.

    The connection hands over its pool and TLS settings in ``configure`` before ``startup``.
    """

    family = "transport"
    schemes: ClassVar[frozenset[str] | set[str]] = frozenset({"http", "https"})
    """URL schemes of the targets it can call (HC-21)."""
    inline: ClassVar[bool] = False
    """Its ``send`` and the bodies it gives wait for nothing but :class:`hookgate.waiting.Signal`, and it keeps
    ``outbound.due`` itself, so that a call needs no task, and its responses have no headers that are for one hop only.
    One that does not say so is bounded from outside, and cleaned up after."""

    def configure(self, pool: Pool) -> None:
        """Take over the settings of the connection this instance serves."""
        self.pool = pool

    def facts(self) -> Mapping[str, Any]:
        """Return what there is to know of its connections now, for pages: counts such as ``open``, ``idle``,
        ``in_use``, ``waiting`` and ``limit``, and until when ``certificates`` hold. Empty where it keeps none.
        """
        return {}


class SecretProvider(Plugin[OptionsT]):
    """Resolves references; see :class:`hookgate.hookspecs.SecretsSpec`."""

    family = "secret"


class Discovery(Plugin[OptionsT]):
    """Finds targets; see :class:`hookgate.hookspecs.DiscoverySpec`."""

    family = "discovery"


class App(Plugin[OptionsT]):
    """Pages and APIs; see :class:`hookgate.hookspecs.AppSpec`."""

    family = "app"


class Command(Plugin[OptionsT]):
    """A command of ``hookgate``; see :class:`hookgate.hookspecs.CommandSpec`. It has no options: none is written down."""

    family = "command"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A TLS client certificate: chain and key, both PEM (HC-13)."""

    chain: str
    key: Secret
    password: Secret | None = None


class Tls(Protocol):
    """TLS towards the targets of a connection, as its section ``tls`` says."""

    async def latest(self, *protocols: str) -> ssl.SSLContext:
        """Return what to open a connection with, offering these protocols (ALPN); ask anew for each, since files and
        client certificates are replaced while the gateway runs. Raises ``ConnectFailed`` when it cannot be had.
        """

    def name_of(self, target: Target) -> str:
        """Return the name to ask for (SNI) and to check the certificate of a target by."""

    def opened(self, target: Target, connection: ssl.SSLObject | ssl.SSLSocket | None) -> None:
        """Tell what a target has shown, so that certificates that end soon are warned of."""

    def failed(self, target: Target, error: BaseException) -> None:
        """Tell that TLS with a target failed, so that the log says why."""

    def facts(self) -> Mapping[str, Any]:
        """Return ``certificates`` (until when they hold, in Unix time, by origin), ``client_certificate`` and
        ``warnings``.
        """


@dataclass(frozen=True, slots=True)
class Pool:
    """What a transport is told about the connection it serves."""

    name: str = ""
    max_connections: int | None = None
    """Open connections at most, over all targets; ``None`` for no bound (AC-27)."""
    keep_alive: float = 60.0
    """Seconds an idle connection is kept."""
    max_age: float | None = None
    """Seconds a connection may live: one that is older is closed when its call is over; ``None`` for no bound."""
    queue_timeout: float | None = None
    """Seconds a call waits for a free connection; ``None`` for as long as it may take to connect (AC-27)."""
    certificates: Callable[[], Sequence[Certificate]] = tuple
    """Returns the client certificates to show. They may be others each time; ``tls`` asks for them."""
    tls: Tls | None = None
    """How to call ``https`` targets; ``None`` for what this machine trusts."""
