"""The sections of a document, as records. The words under the fields are what an editor shows while one writes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    field_validator,
    model_validator,
)

from hookgate.entries import TOKEN, as_list, entries, entry
from hookgate.expressions import Expression
from hookgate.listenerconfig import Address, Forwarded, Pseudonym, PublicAddress
from hookgate.plugin import App, FlowOptions, Interceptor, Observer, Options
from hookgate.section import ConnectionName
from hookgate.tlsconfig import TlsSection

MIB = 1024 * 1024


def _method(value: str) -> str:
    if not TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is no method")
    return value.upper()


def _name(value: str) -> str:
    if not 0 < len(value) <= 200 or value != value.strip() or not value.isprintable() or "/" in value or "#" in value:
        raise ValueError(f"{value!r} is no name: up to 200 characters, without '/', '#' and spaces around it")
    return value


Interceptors = Annotated[tuple[Any, ...], BeforeValidator(as_list), entries("interceptor")]
Method = Annotated[str, AfterValidator(_method)]
Name = Annotated[str, AfterValidator(_name)]


class LimitsSection(Options):
    """Bounds on what comes in, in bytes where nothing else is said."""

    request_body: int = Field(default=1024 * MIB, ge=0)
    """Longest request body that is passed on."""
    response_body: int = Field(default=16 * 1024 * MIB, ge=0)
    """Longest response body that is passed on."""
    buffered_body: int = Field(default=8 * MIB, ge=0)
    """Longest body that a step may read whole."""
    url: int = Field(default=8192, ge=64)
    """Longest path and query."""
    header_bytes: int = Field(default=32768, ge=256)
    """All header names and values of a request together."""
    header_count: int = Field(default=100, ge=1)
    """Header lines of a request."""
    connections: int | None = Field(default=10000, ge=1)
    """Open connections of clients at most; one more is answered with 503 and closed. null for no bound."""
    connections_per_client: int | None = Field(default=2000, ge=1)
    """Those of one address, or of one /64 network of IPv6; trusted proxies are exempt. null for no bound."""
    in_flight: int | None = Field(default=None, ge=1)
    """Calls that are served at the same time; one more is answered with 503. null for no bound."""
    handshake: float = Field(default=10.0, gt=0)
    """Seconds that a TLS handshake may take."""
    head: float = Field(default=10.0, gt=0)
    """Seconds that the head of a request may take, from its first byte or from the connection's beginning; those that
    a PROXY header may take, too."""
    body_idle: float = Field(default=30.0, gt=0)
    """Seconds without a byte of a request body, after which the call ends in 408."""
    write_idle: float = Field(default=30.0, gt=0)
    """Seconds that a client may leave an answer unread, after which the connection is cut."""
    upgrade_idle: float = Field(default=600.0, gt=0)
    """Seconds without a byte either way, after which a WebSocket is closed."""
    keep_alive: float = Field(default=75.0, ge=0)
    """Seconds that a connection is kept between two calls."""
    keep_alive_requests: int = Field(default=10000, ge=1)
    """Calls that one connection may carry."""


class RouteLimitsSection(Options):
    """What a route sets differently from `gateway.limits`, in bytes."""

    request_body: int | None = Field(default=None, ge=0)
    """Longest request body that is passed on."""
    response_body: int | None = Field(default=None, ge=0)
    """Longest response body that is passed on."""
    buffered_body: int | None = Field(default=None, ge=0)
    """Longest body that a step may read whole."""


class GatewaySection(FlowOptions):
    """The data path as a whole."""

    listen: tuple[PublicAddress, ...] = ("127.0.0.1:8080",)
    """Addresses to take calls on, `https://` in front for TLS; port 0 takes a free one. A change needs a restart."""
    tls: TlsSection | None = None
    """Certificates of the listeners with `https://`."""
    proxy_protocol: bool | Literal["required"] = False
    """Trusted proxies begin each connection with a PROXY header, version 1 or 2, which says who the client is. Others
    are clients themselves; with `required` they are turned away. A change needs a restart."""
    lane: bool = True
    """Read HTTP/1.1 in the fast lane; off, everything goes through Hypercorn."""
    environment: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$|^$")] = ""
    """Name of the environment that this gateway serves, such as `dev` or `prod`: steps and values may depend on it."""
    flow: tuple[Interceptor[Any], ...] = ()
    """Steps left of those of every route, on 404 and 405 too."""
    request: tuple[Interceptor[Any], ...] = ()
    """Steps on the way in only."""
    response: tuple[Interceptor[Any], ...] = ()
    """Steps on the way out only."""
    observers: tuple[Observer[Any], ...] = ()
    """Who watches the calls."""
    expose: dict[str, App[Any]] = Field(default_factory=dict)
    """Apps on the public listener, by the path they stand under."""
    limits: LimitsSection = LimitsSection()
    """Bounds on what comes in."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """Networks of proxies in front, whose X-Forwarded-For and X-Forwarded-Proto are believed."""
    forwarded: Forwarded = "x-forwarded"
    """Tell backends who called, in X-Forwarded-For, -Proto and -Host, in Forwarded (RFC 7239), or in both. true is
    `x-forwarded`, false is `off`."""
    via: Pseudonym | None = None
    """A name for this gateway; then Via on requests and responses says what they have come through."""
    timeout_cap: float | None = Field(default=60.0, gt=0)
    """Seconds that the time-out of an API is at most, and is where none is written; null for no bound (FL-17)."""
    timeout_status: Literal[502, 504] = 502
    """Answer when the time limit of a route's destination runs out (FL-15)."""
    hook_timeout: float = Field(default=30.0, gt=0)
    """Seconds one `async` hook may take."""
    drain: float = Field(default=30.0, ge=0)
    """Seconds that calls of a replaced generation have to finish."""
    shutdown_timeout: float = Field(default=30.0, ge=0)
    """Seconds that calls in flight have to finish when the gateway stops."""

    @field_validator("expose")
    @classmethod
    def _prefixes(cls, expose: dict[str, Any]) -> dict[str, Any]:
        for prefix in expose:
            if not prefix.startswith("/") or prefix == "/" or prefix.endswith("/"):
                raise ValueError(f"{prefix!r} is no prefix: write a path such as /status")
        return expose


class ManagementSection(Options):
    """Health, pages and APIs for those who run the gateway; never on the public port."""

    enabled: bool = True
    """Whether there is a management listener."""
    listen: tuple[Address, ...] = ("127.0.0.1:8001",)
    """Addresses of the management listener. A change needs a restart."""
    apps: tuple[App[Any], ...] | None = None
    """What is served there, under `/-/`; by default what the installed plugins offer as default."""


class ProfileSection(Options):
    """A security profile: what stands for its name in the `methods` of `auth`, and in the `auth` of connections."""

    inbound: Annotated[Any, entry("auth")] = None
    """How callers authenticate."""
    outbound: Annotated[Any, entry("credential")] = None
    """How the gateway authenticates itself to backends."""

    @model_validator(mode="after")
    def _either(self) -> ProfileSection:
        if self.inbound is None and self.outbound is None:
            raise ValueError("write inbound, outbound or both")
        return self


class MatchSection(Options):
    """Which calls a route takes."""

    host: str | None = None
    """A host, or `*.example.org`; any if left out."""
    path: str = "/{rest...}"
    """`/exact`, `/prefix/*`, `*.ext`, or a template with `{variables}` and a `{catch-all...}` at the end."""
    methods: tuple[Method, ...] | None = Field(default=None, min_length=1)
    """Methods, any if left out; HEAD comes with GET."""
    when: Expression | None = None
    """A condition on the request, such as `request.headers['x-env'] == 'test'`."""

    @field_validator("when")
    @classmethod
    def _without_body(cls, when: Expression | None) -> Expression | None:
        if when is not None and when.reads_body:
            raise ValueError("a route is chosen before the body is read: ask `request.body` in a `when` step instead")
        return when


class DestinationSection(Options):
    """Where a route's calls go."""

    connection: ConnectionName
    """Name of a connection."""
    path: str | None = None
    """Path on the backend, with the variables of the match; the path of the request if left out."""
    path_params: Literal["positional", "by_name"] = "positional"
    """Whether variables are filled in the order received (FL-20) or by their names (FL-21)."""
    timeout: float | None = Field(default=None, gt=0)
    """Seconds until the response is complete, over all tries."""
    preserve_host: bool = False
    """Pass on the Host of the client instead of that of the target."""
    stream: bool = False
    """Answers may go on for as long as they like: time limits end at the response head, the idle limit goes on."""


class RouteSection(FlowOptions):
    """Calls that match, the steps they pass, and where they go."""

    name: Name
    """A name of its own; it stands in logs, traces and the ids of its steps."""
    description: str = ""
    """What the route is for."""
    match: MatchSection = MatchSection()
    """Which calls it takes; all if left out."""
    flow: tuple[Interceptor[Any], ...] = ()
    """Steps as drawn: the client on the left, the backend on the right."""
    request: tuple[Interceptor[Any], ...] = ()
    """Steps on the way in only, right of those in `flow`."""
    response: tuple[Interceptor[Any], ...] = ()
    """Steps on the way out only, right of those in `flow`."""
    to: DestinationSection | None = None
    """Where the calls go; left out where a step always answers."""
    limits: RouteLimitsSection = RouteLimitsSection()
    """What differs from `gateway.limits`."""
