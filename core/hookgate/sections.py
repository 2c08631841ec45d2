"""The sections of a document, as records. The words under the fields are what an editor shows while one writes."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from hookgate.expressions import Expression
from hookgate.listenerconfig import Address, Forwarded, Pseudonym, PublicAddress
from hookgate.plugin import Options
from hookgate.tlsconfig import TlsSection

MIB = 1024 * 1024
FRAMING_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    },
)
"""Headers that belong to one hop or to the framing and are nobody's to set (AC-19)."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\s]+)([^\s]*)")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\]")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PORT = re.compile(r"[0-9]{1,5}")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def _entry(family: str) -> Any:
    return WithJsonSchema({"x-hookgate-family": family})


def _entries(family: str) -> Any:
    return WithJsonSchema({"type": "array", "items": {"x-hookgate-family": family}})


def _as_list(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError("should be a list")  # noqa: TRY004 - pydantic collects ValueErrors
    return tuple(value)


def _method(value: str) -> str:
    if not _TOKEN.fullmatch(value):
        raise ValueError(f"{value!r} is no method")
    return value.upper()


def _name(value: str) -> str:
    if not 0 < len(value) <= 200 or value != value.strip() or not value.isprintable() or "/" in value or "#" in value:
        raise ValueError(f"{value!r} is no name: up to 200 characters, without '/', '#' and spaces around it")
    return value


class Location(NamedTuple):
    """Where a target is."""

    scheme: str
    host: str
    """Name or address, an IPv6 address without brackets."""
    port: int


def location(url: str) -> Location:
    """Take the URL of a target apart: ``scheme://host[:port]`` and nothing more (AC-2); one slash may follow.

    Raises:
        ValueError: it is no such URL; the text says what to do.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError(f"{_without_user(url)!r} is no location: write scheme://host or scheme://host:port")
    scheme, authority, rest = match[1].lower(), match[2], match[3]
    if "@" in authority:
        raise ValueError("a location has no user and password; write them as `auth: [{basic: {…}}]`")
    if rest not in ("", "/"):
        path = rest.partition("?")[0].partition("#")[0]
        if path not in ("", "/"):
            raise ValueError(
                f"a location has no path, but here is {path!r}; put it into base_path or a route's to.path"
            )
        raise ValueError("a location ends after the host or port, without query and fragment")
    host, _, port = authority.rpartition(":") if re.search(r":\d*$", authority) else (authority, "", "")
    if not _HOST.fullmatch(host) or (host.startswith("[") and not _is_ipv6(host[1:-1])):
        raise ValueError(f"{host!r} is no host: write a name (an international one in its xn-- form) or an address")
    number = int(port) if _PORT.fullmatch(port) else _DEFAULT_PORTS.get(scheme, 0) if not port else -1
    if not 0 < number < 65536:
        raise ValueError(f"{url!r} needs a port between 1 and 65535")
    return Location(scheme, host.strip("[]").lower(), number)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _base_path(value: str) -> str:
    if not value.startswith("/") or "?" in value or "#" in value:
        raise ValueError("begins with '/' and has no query")
    return value


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", url)


Interceptors = Annotated[tuple[Any, ...], BeforeValidator(_as_list), _entries("interceptor")]
Observers = Annotated[tuple[Any, ...], BeforeValidator(_as_list), _entries("observer")]
Apps = Annotated[tuple[Any, ...], BeforeValidator(_as_list), _entries("app")]
Credentials = Annotated[tuple[Any, ...], BeforeValidator(_as_list), _entries("credential")]
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


class GatewaySection(Options):
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
    flow: Interceptors = ()
    """Steps left of those of every route, on 404 and 405 too."""
    request: Interceptors = ()
    """Steps on the way in only."""
    response: Interceptors = ()
    """Steps on the way out only."""
    observers: Observers = ()
    """Who watches the calls."""
    expose: dict[str, Annotated[Any, _entry("app")]] = Field(default_factory=dict)
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
    apps: Apps | None = None
    """What is served there, under `/-/`; by default what the installed plugins offer as default."""


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


class DestinationSection(Options):
    """Where a route's calls go."""

    connection: str
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


class RouteSection(Options):
    """Calls that match, the steps they pass, and where they go."""

    name: Name
    """A name of its own; it stands in logs, traces and the ids of its steps."""
    description: str = ""
    """What the route is for."""
    match: MatchSection = MatchSection()
    """Which calls it takes; all if left out."""
    flow: Interceptors = ()
    """Steps as drawn: the client on the left, the backend on the right."""
    request: Interceptors = ()
    """Steps on the way in only, right of those in `flow`."""
    response: Interceptors = ()
    """Steps on the way out only, right of those in `flow`."""
    to: DestinationSection | None = None
    """Where the calls go; left out where a step always answers."""
    limits: RouteLimitsSection = RouteLimitsSection()
    """What differs from `gateway.limits`."""


class TargetSection(Options):
    """One address of a connection."""

    url: str
    """`scheme://host[:port]`, without a path (AC-2)."""
    weight: int = Field(default=1, ge=0, le=1000)
    """Share of the calls; 0 gets none."""
    active: bool = True
    """An inactive target gets no calls (AC-6)."""

    @field_validator("url")
    @classmethod
    def _location(cls, url: str) -> str:
        location(url)
        return url.removesuffix("/")


class HeaderActionSection(Options):
    """One thing done to a header of every attempt: `{set: Name, from: …}`, `{add: …}` or `{remove: Name}`."""

    set: str | None = None
    """Put one line in the place of all of that name."""
    add: str | None = None
    """Append a line, whatever is there."""
    remove: str | None = None
    """Take all lines of that name out."""
    from_: Annotated[Any, _entry("header")] = Field(default=None, alias="from")
    """Where the value comes from: a header plugin."""

    @model_validator(mode="after")
    def _one_action(self) -> HeaderActionSection:
        named = [name for name in (self.set, self.add, self.remove) if name is not None]
        if len(named) != 1:
            raise ValueError("write exactly one of set, add and remove")
        if (self.remove is None) != (self.from_ is not None):
            raise ValueError("set and add take their value from a header plugin: write from; remove has none")
        if not _TOKEN.fullmatch(named[0]):
            raise ValueError(f"{named[0]!r} is not a header name")
        if named[0].lower() in FRAMING_HEADERS:
            raise ValueError(f"{named[0]} belongs to one hop or to the framing and cannot be changed here")
        return self


class TimeoutsSection(Options):
    """Time limits of one attempt, in seconds; null for none."""

    connect: float | None = Field(default=5.0, gt=0)
    """To establish a connection (AC-33), or to get a free one."""
    read: float | None = Field(default=30.0, gt=0)
    """Without a byte from the backend (AC-32)."""
    request: float | None = Field(default=60.0, gt=0)
    """Until the response is complete (AC-31)."""


class PoolSection(Options):
    """Open connections that are kept and shared."""

    max_connections: int | None = None
    """Open connections at most, over all targets; null or -1 for no bound (AC-27)."""
    keep_alive: float = Field(default=60.0, ge=0)
    """Seconds an idle connection is kept."""

    @field_validator("max_connections")
    @classmethod
    def _bound(cls, value: int | None) -> int | None:
        if value is not None and value < 1 and value != -1:
            raise ValueError("is at least 1, or -1 for no bound")
        return None if value == -1 else value


def _targets(value: object) -> object:
    """Let one URL, or URLs in a list, stand for targets."""
    if isinstance(value, str):
        return [{"url": value}]
    if isinstance(value, list | tuple):
        return [{"url": each} if isinstance(each, str) else each for each in value]
    return value


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple({tag.strip().lower(): tag.strip() for tag in tags if tag.strip()}.values())


class ConnectionSection(Options):
    """A backend and the way to it, shared by every route that names it."""

    targets: Annotated[
        tuple[TargetSection, ...],
        Field(min_length=1),
        BeforeValidator(_targets, json_schema_input_type=str | list[str | TargetSection]),
    ] = ()
    """One URL, or a list of targets to balance over. Left out only where `discovery` finds them."""
    discovery: Annotated[Any, _entry("discovery")] = None
    """Finds the targets, and notices when they come and go; in place of `targets`."""
    base_path: Annotated[str, AfterValidator(_base_path)] = "/"
    """Path in front of every path on this backend."""
    balancer: Annotated[Any, _entry("balancer")] = None
    """Which target is next; the default balancer if left out."""
    max_tries: int = Field(default=1, ge=1, le=100)
    """Attempts in all; only one that could not connect is followed by another (AC-7)."""
    on_all_unhealthy: Literal["fail", "use_all"] = "fail"
    """When every target is unhealthy: answer 503, or try them all the same (AC-14)."""
    monitor: Annotated[Any, _entry("monitor")] = None
    """Checks whether targets are well; needs a list of targets."""
    headers: tuple[HeaderActionSection, ...] = ()
    """What is done to headers, in this order, before credentials sign."""
    auth: Credentials = ()
    """Credentials, in this order; one that signs the message comes last."""
    transport: Annotated[Any, _entry("transport")] = None
    """What carries the calls; the default transport if left out."""
    timeouts: TimeoutsSection = TimeoutsSection()
    """Time limits of one attempt."""
    pool: PoolSection = PoolSection()
    """Open connections that are kept and shared."""
    tags: Annotated[tuple[str, ...], AfterValidator(_tags)] = ()
    """Words to find the connection by (AC-34)."""

    @model_validator(mode="after")
    def _from_somewhere(self) -> ConnectionSection:
        if bool(self.targets) == (self.discovery is not None):
            raise ValueError("write either targets, or discovery to have them found")
        return self

    @field_validator("targets")
    @classmethod
    def _distinct(cls, targets: tuple[TargetSection, ...]) -> tuple[TargetSection, ...]:
        seen: set[Location] = set()
        for target in targets:
            where = location(target.url)
            if where in seen:
                raise ValueError(f"{target.url} is there twice; give it one weight instead")
            seen.add(where)
        return targets
