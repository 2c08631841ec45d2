"""What acts towards backends: credentials, headers, balancers, monitors, transports, discovery."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import BeforeValidator, Field

from hookgate.contract.duration import Duration
from hookgate.contract.plugin import Options, OptionsT, Plugin
from hookgate.contract.secret import Secret

if TYPE_CHECKING:
    import ssl

    from hookgate.contract.hookspecs import (
        BalancerSpec,
        CredentialsSpec,
        DiscoverySpec,
        HeaderSpec,
        MonitorSpec,
        TransportSpec,
    )
    from hookgate.exchange.messages import Response
    from hookgate.exchange.outbound import Outbound, Target
else:
    BalancerSpec = CredentialsSpec = DiscoverySpec = HeaderSpec = MonitorSpec = TransportSpec = object

Send = Callable[["Outbound"], Awaitable["Response"]]
"""Sends one attempt as its connection does; what a probe is handed."""

Failure = Literal["connect-failed", "timeout", "broken"] | Annotated[int, Field(ge=400, le=599)]
_Written = list[Failure | Annotated[int, Field(ge=101500, le=101510)]]
_CODES: dict[Any, list[str]] = dict.fromkeys(range(101500, 101511), ["broken"])  # noqa: RUF024 - nobody changes it
_CODES |= {101503: ["connect-failed"], 101504: ["timeout"], 101507: ["timeout"], 101508: ["connect-failed", "broken"]}
"""What codes of transport errors stand for (KC-68), those included that have 3 added, since the request was sent."""


def _named(given: Any) -> Any:
    several = given if isinstance(given, list | tuple) else ()
    found = [_CODES.get(each, [each]) if isinstance(each, int) else [each] for each in several]
    return [each[0] for each in found] + [name for each in found for name in each[1:]] if found else given


Failures = Annotated[tuple[Failure, ...], BeforeValidator(_named, json_schema_input_type=_Written)]
"""Ways in which an attempt fails, and status codes; codes of transport errors (101503) are taken for these."""


class Credential(Plugin[OptionsT], CredentialsSpec):
    """A way to show a backend who we are; see :class:`hookgate.contract.hookspecs.CredentialsSpec`."""

    family = "credential"
    signs_message: ClassVar[bool] = False
    """It signs what the others have added, so it must come last (AC-15)."""

    @property
    def header(self) -> str | None:
        """Name of the header it writes, if it writes one: two that write the same get a warning (X7). Its option
        ``header`` unless a plugin says otherwise.
        """
        return getattr(self.options, "header", None)


class HeaderProvider(Plugin[OptionsT], HeaderSpec):
    """The value of a header action; see :class:`hookgate.contract.hookspecs.HeaderSpec`."""

    family = "header"


class Balancer(Plugin[OptionsT], BalancerSpec):
    """Chooses targets; see :class:`hookgate.contract.hookspecs.BalancerSpec`. One instance serves one connection."""

    family = "balancer"
    shareable = False
    ranks_health: ClassVar[bool] = False
    """It looks at the health of targets itself, so it is offered the unhealthy ones, too (HC-5, HC-14)."""


class MonitorOptions(Options):
    """What every monitor has: when to check and what to conclude (AC-8). Durations in seconds."""

    active: bool = True
    """Whether checks run."""
    interval: Duration = Field(default=30.0, gt=0)
    """Seconds between checks of a target that is well (HC-4)."""
    backoff: float = Field(default=2.0, ge=1)
    """Factor on the interval for each failed check in a row."""
    at_most: Duration = Field(default=120.0, gt=0)
    """Longest time between checks, in seconds; not below `interval`."""
    timeout: Duration = Field(default=5.0, gt=0)
    """Seconds to wait for the result of one check."""
    unhealthy_after: int = Field(default=1, ge=1)
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


class Monitor(Plugin[MonitorOptionsT], MonitorSpec):
    """Checks targets; see :class:`hookgate.contract.hookspecs.MonitorSpec`."""

    family = "monitor"


class Transport(Plugin[OptionsT], TransportSpec):
    """Carries attempts; see :class:`hookgate.contract.hookspecs.TransportSpec`. One instance serves one connection.

    The connection hands over its pool and TLS settings in ``configure`` before ``startup``.
    """

    family = "transport"
    shareable = False
    schemes: ClassVar[frozenset[str] | set[str]] = frozenset({"http", "https"})
    """URL schemes of the targets it can call (HC-21)."""
    inline: ClassVar[bool] = False
    """Its ``send`` and the bodies it gives wait for nothing but :class:`hookgate.exchange.waiting.Signal`, and it keeps
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


class Discovery(Plugin[OptionsT], DiscoverySpec):
    """Finds targets; see :class:`hookgate.contract.hookspecs.DiscoverySpec`. One instance serves one connection."""

    family = "discovery"
    shareable = False


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

    async def refusal(self, target: Target, *protocols: str) -> Exception | None:
        """Return why a target that broke off a new connection does not take us, if it does so once more before anything
        is sent. In TLS 1.3 it says so only when a client has sent its request."""

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
