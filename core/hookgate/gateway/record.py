"""The sections `gateway` and `management`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from hookgate.contract.duration import Duration, PositiveDuration
from hookgate.contract.families import App, CounterStore, Observer, StateStore
from hookgate.contract.hookspecs import hookimpl
from hookgate.contract.plugin import Options
from hookgate.contract.section import Loaded, Section, Site
from hookgate.contract.steps import FlowOptions, Interceptor
from hookgate.exchange.errors import Problem
from hookgate.exchange.spellings import Underscores
from hookgate.gateway.addresses import Address, Forwarded, Network, Pseudonym, PublicAddress
from hookgate.gateway.exposed import Exposed, hidden
from hookgate.gateway.listenertls import TlsSection
from hookgate.http.authority import host_name

MIB = 1024 * 1024


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
    """Those of one address, or of one network of IPv6; trusted proxies are exempt. null for no bound."""
    ipv6_prefix: int = Field(default=64, ge=1, le=128)
    """Bits of an IPv6 address that tell clients apart for `connections_per_client`: who has a line has a whole /64."""
    in_flight: int | None = Field(default=None, ge=1)
    """Calls that are served at the same time; one more is answered with 503. null for no bound."""
    handshake: Duration = Field(default=10.0, gt=0)
    """Seconds that a TLS handshake may take."""
    head: Duration = Field(default=10.0, gt=0)
    """Seconds that the head of a request may take, from its first byte or from the connection's beginning; those that
    a PROXY header may take, too."""
    body_idle: Duration = Field(default=30.0, gt=0)
    """Seconds without a byte of a request body, after which the call ends in 408."""
    write_idle: Duration = Field(default=30.0, gt=0)
    """Seconds that a client may leave an answer unread, after which the connection is cut."""
    upgrade_idle: Duration = Field(default=600.0, gt=0)
    """Seconds without a byte either way, after which a WebSocket is closed."""
    keep_alive: Duration = Field(default=75.0, ge=0)
    """Seconds that a connection is kept between two calls."""
    keep_alive_requests: int = Field(default=10000, ge=1)
    """Calls that one connection may carry."""


class GatewaySection(FlowOptions):
    """The data path as a whole."""

    flow_scope = "gateway"
    moved = {"trace": "trace is a section of its own now: write it at the top level"}

    listen: tuple[PublicAddress, ...] = ("127.0.0.1:8080",)
    """Addresses to take calls on, `https://` in front for TLS; port 0 takes a free one."""
    tls: TlsSection | None = None
    """Certificates of the listeners with `https://`."""
    proxy_protocol: bool | Literal["required"] = False
    """Trusted proxies begin each connection with a PROXY header, version 1 or 2, which says who the client is. Others
    are clients themselves; with `required` they are turned away."""
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
    counters: CounterStore[Any] | None = None
    """Where limits are counted; in the memory of this process unless said otherwise."""
    state: StateStore[Any] | None = None
    """Where plugins keep what outlives a restart; in a file unless said otherwise."""
    expose: dict[str, Exposed] = Field(default_factory=dict)
    """Apps on the public listener, by the path they stand under: one alone, or behind a flow."""
    limits: LimitsSection = LimitsSection()
    """Bounds on what comes in."""
    trusted_proxies: tuple[Network, ...] = ()
    """Networks of proxies in front, whose X-Forwarded-For and -Proto, or else Forwarded (RFC 7239), are believed."""
    forwarded: Forwarded = "x-forwarded"
    """Tell backends who called, in X-Forwarded-For, -Proto and -Host, in Forwarded (RFC 7239), or in both. true is
    `x-forwarded`, false is `off`."""
    underscored_headers: Underscores = "guard"
    """Headers such as X_User, which many backends take for X-User. `guard`: a step or connection that sets or removes
    X-User does so to X_User, too; `drop`: requests lose all of them; `refuse`: requests with one are answered 400;
    `pass`: nothing is done."""
    via: Pseudonym | None = None
    """A name for this gateway; then Via on requests and responses says what they have come through."""
    timeout_cap: PositiveDuration | None = 60.0
    """Seconds that the time-out of an API is at most, and is where none is written; null for no bound (FL-17)."""
    timeout_status: Literal[502, 504] = 502
    """Answer when the time limit of a route's destination runs out (FL-15)."""
    hook_timeout: Duration = Field(default=30.0, gt=0)
    """Seconds one `async` hook may take."""
    startup_timeout: Duration = Field(default=60.0, gt=0)
    """Seconds that one plugin may take to start; then it is given up, and the document refused."""
    stop_timeout: Duration = Field(default=10.0, gt=0)
    """Seconds that one plugin may take to shut down, and each of its tasks to end; then it is given up. All
    together may take twice as long when the gateway stops."""
    drain: Duration = Field(default=30.0, ge=0)
    """Seconds that calls of a replaced generation have to finish."""
    lame_duck: Duration = Field(default=5.0, ge=0)
    """Seconds that a gateway that stops still takes calls, while `/-/ready` says 503 so that balancers turn to others;
    0 unless written where a terminal has started it, and in `hookgate demo`."""
    shutdown_timeout: Duration = Field(default=30.0, ge=0)
    """Seconds that calls in flight then have to finish."""

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
    """Addresses of the management listener."""
    allowed_hosts: tuple[Annotated[str, AfterValidator(host_name)], ...] = ()
    """Host names that it is called by, as in `Host` without the port; others but addresses and `localhost` get 421."""
    trusted_proxies: tuple[Network, ...] = ()
    """Networks of proxies before it, whose `X-Forwarded-For` or `Forwarded` says who calls: tries to log in are counted
    by address, and the audit shows it."""
    apps: tuple[App[Any], ...] | None = None
    """What is served there, under `/-/`; by default what the installed plugins offer as default."""


class DataPath(Section[GatewaySection]):
    """The data path as a whole."""

    shape = "record"

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Refuse listeners that do not fit together. What is for management is on no public listener."""
        gateway: GatewaySection = self.record
        found = site.section("management")
        management: ManagementSection = ManagementSection() if found is None else found.record
        encrypted = [index for index, address in enumerate(gateway.listen) if address.startswith("https://")]
        if encrypted and gateway.tls is None:
            message = f"{gateway.listen[encrypted[0]]} needs certificates: write tls"
            yield Problem(("gateway", "listen", encrypted[0]), message)
        if gateway.tls is not None and not encrypted:
            message = "no listener speaks TLS; write https:// in front of an address of listen"
            yield Problem(("gateway", "tls"), message, at_key=True)
        if gateway.proxy_protocol and not gateway.trusted_proxies:
            message = "nobody may send a PROXY header; name the networks of those who do in trusted_proxies"
            yield Problem(("gateway", "proxy_protocol"), message)
        seen: set[str] = set()
        private = management.listen if management.enabled else ()
        for name, addresses in (("gateway", gateway.listen), ("management", private)):
            for index, address in enumerate(each.removeprefix("https://") for each in addresses):
                if address in seen and not address.endswith(":0"):
                    message = f"{address} is listened on already; every listener has an address of its own"
                    yield Problem((name, "listen", index), message)
                seen.add(address)

    @hookimpl
    def review(self, configuration: Loaded) -> Iterator[Problem]:
        """Warn of routes that an exposed app hides."""
        yield from hidden(self.record.expose, configuration.routes)


class Management(Section[ManagementSection]):
    """Health, pages and APIs for those who run the gateway."""

    shape = "record"
