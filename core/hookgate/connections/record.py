"""The section of a connection: what a document says of a backend and the way to it."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from hookgate.connections.retrying import RetrySection
from hookgate.contract.backends import Balancer, Credential, Discovery, HeaderProvider, Monitor, Transport
from hookgate.contract.duration import Duration, PositiveDuration
from hookgate.contract.metadata import Described
from hookgate.contract.plugin import Options
from hookgate.exchange.messages import TOKEN
from hookgate.exchange.outbound import DEFAULT_PORTS
from hookgate.http.authority import is_authority
from hookgate.http.tls import UpstreamTlsSection

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
    }
)
"""Headers that belong to one hop or to the framing and are nobody's to set (AC-19)."""

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\s]+)([^\s]*)")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\]")
_PORT = re.compile(r"[0-9]{1,5}")


class Location(NamedTuple):
    """Where a target is."""

    scheme: str
    host: str
    """Name or address, an IPv6 address without brackets."""
    port: int


@lru_cache(maxsize=4096)
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
    number = int(port) if _PORT.fullmatch(port) else DEFAULT_PORTS.get(scheme, 0) if not port else -1
    if not 0 < number < 65536:
        raise ValueError(f"{url!r} needs a port between 1 and 65535")
    return Location(scheme, host.strip("[]").lower(), number)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", url)


def _host(value: str) -> str:
    if not (value.isascii() and is_authority(value.encode())):
        raise ValueError(f"{value!r} is no host: write a name or an address, and a port if need be")
    return value


def _base_path(value: str) -> str:
    if not value.startswith("/") or "?" in value or "#" in value:
        raise ValueError("begins with '/' and has no query")
    return value


def _monitors(value: object, info: ValidationInfo) -> tuple[object, ...]:
    if isinstance(value, str) and "/" in value:  # what others call health_check_url
        url = _URL.fullmatch(value)
        known = {location(target.url) for target in info.data.get("targets", ())}
        if url is not None and known and location(f"{url[1]}://{url[2]}") not in known:
            raise ValueError("each target is asked, and no other host; write a path, such as /health")
        return ({"http": {"path": (value if url is None else url[3]) or "/"}},)
    if isinstance(value, list | tuple):
        return tuple(value)
    return () if value is None else (value,)


Monitors = Annotated[
    tuple[Monitor[Any], ...],
    BeforeValidator(_monitors),
    WithJsonSchema(
        {
            "anyOf": [
                {"x-hookgate-family": "monitor"},
                {"type": "array", "items": {"x-hookgate-family": "monitor"}},
                {"type": "null"},
            ]
        }
    ),
]


class TargetSection(Options):
    """One address of a connection."""

    url: str = Field(validation_alias=AliasChoices("url", "location"))
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
    from_: HeaderProvider[Any] | None = Field(default=None, alias="from")
    """Where the value comes from: a header plugin."""

    @model_validator(mode="after")
    def _one_action(self) -> HeaderActionSection:
        named = [name for name in (self.set, self.add, self.remove) if name is not None]
        if len(named) != 1:
            raise ValueError("write exactly one of set, add and remove")
        if (self.remove is None) != ("from_" not in self.__dict__ or self.from_ is not None):  # it may be disabled
            raise ValueError("set and add take their value from a header plugin: write from; remove has none")
        if not TOKEN.fullmatch(named[0]):
            raise ValueError(f"{named[0]!r} is not a header name")
        if named[0].lower() in FRAMING_HEADERS:
            hint = "; write host on the connection" if named[0].lower() == "host" else ""
            raise ValueError(f"{named[0]} belongs to one hop or to the framing and cannot be changed here{hint}")
        return self


class TimeoutsSection(Options):
    """Time limits of one attempt, in seconds; null for none."""

    connect: PositiveDuration | None = 5.0
    """To establish a connection (AC-33), or to get a free one."""
    read: PositiveDuration | None = 30.0
    """Without a byte from the backend (AC-32). The default is for streams, and calls whose route has no `timeout`."""
    request: PositiveDuration | None = 60.0
    """Until the response is complete (AC-31). The default is for calls whose route has no `timeout`."""


class PoolSection(Options):
    """Open connections that are kept and shared."""

    max_connections: int | None = None
    """Open connections at most, over all targets; null or -1 for no bound (AC-27)."""
    queue_timeout: PositiveDuration | None = None
    """Seconds a call waits for a free connection before it is answered with 503; as long as `timeouts.connect` if left
    out."""
    keep_alive: Duration = Field(default=60.0, ge=0)
    """Seconds an idle connection is kept."""
    max_age: PositiveDuration | None = None
    """Seconds a connection may live; one that is older is closed as soon as it carries no call. null for no bound."""

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


def _distinct(targets: tuple[TargetSection, ...]) -> None:
    seen: set[Location] = set()
    for target in targets:
        where = location(target.url)
        if where in seen:
            raise ValueError(f"{target.url} is there twice; give it one weight instead")
        seen.add(where)


class ConnectionSection(Described):
    """A backend and the way to it, shared by every route that names it."""

    moved = {
        **dict.fromkeys(("url", "urls", "servers", "upstreams"), "where calls go is written targets: [URL]"),
        "health_check_url": "a URL to check is a monitor here; write monitor: [{http: {path: /health}}]",
    }

    targets: Annotated[
        tuple[TargetSection, ...],
        Field(min_length=1),
        BeforeValidator(_targets, json_schema_input_type=str | list[str | TargetSection]),
    ] = Field(default=(), validation_alias=AliasChoices("targets", "location"))
    """One URL, or a list of targets to balance over. Left out only where `discovery` finds them."""
    backups: Annotated[
        tuple[TargetSection, ...], BeforeValidator(_targets, json_schema_input_type=str | list[str | TargetSection])
    ] = Field(default=(), validation_alias=AliasChoices("backups", "backup_urls"))
    """URLs that take over, in this order, while those of `targets` cannot be reached (HC-14); the balancer is then
    `failover` unless another is named."""
    discovery: Discovery[Any] | None = None
    """Finds the targets, and notices when they come and go; in place of `targets`."""
    base_path: Annotated[str, AfterValidator(_base_path)] = "/"
    """Path in front of every path on this backend."""
    host: Annotated[str, AfterValidator(_host)] = ""
    """What backends are told in Host, `api.example` or `api.example:8080`; the host of the target if left out."""
    balancer: Balancer[Any] | None = None
    """Which target is next; the default balancer if left out."""
    max_tries: int = Field(default=1, ge=1, le=100)
    """Attempts in all; only one that could not connect is followed by another (AC-7), unless `retry` says more."""
    retry: RetrySection = RetrySection()
    """Which failures are followed by another attempt."""
    slow_start: Duration = Field(default=0.0, ge=0, le=3600)
    """Seconds in which a target that comes into rotation while calls run, or back into it, grows to its full share."""
    on_all_unhealthy: Literal["fail", "use_all"] = "fail"
    """When every target is unhealthy: answer 503, or try them all the same (AC-14)."""
    monitor: Monitors = Field(default=(), validation_alias=AliasChoices("monitor", "health_check_url"))
    """Watches whether targets are well; one monitor or a list of them. Needs a list of targets."""
    headers: tuple[HeaderActionSection, ...] = ()
    """What is done to headers, in this order, before credentials sign."""
    auth: tuple[Credential[Any], ...] = ()
    """Credentials, in this order; one that signs the message comes last."""
    transport: Transport[Any] | None = None
    """What carries the calls; the default transport if left out."""
    timeouts: TimeoutsSection = TimeoutsSection()
    """Time limits of one attempt."""
    tls: UpstreamTlsSection = UpstreamTlsSection()
    """TLS towards `https` targets."""
    pool: PoolSection = PoolSection()
    """Open connections that are kept and shared."""
    tags: Annotated[tuple[str, ...], AfterValidator(_tags)] = ()
    """Words to find the connection by (AC-34)."""

    @model_validator(mode="after")
    def _from_somewhere(self) -> ConnectionSection:
        if bool(self.targets) == ("discovery" not in self.__dict__ or self.discovery is not None):
            raise ValueError("write either targets, or discovery to have them found")
        if self.backups and len(self.targets) != 1:
            raise ValueError("backups stand behind one target; write several that share the calls into targets")
        return self

    @field_validator("targets", "backups")
    @classmethod
    def _apart(cls, targets: tuple[TargetSection, ...], info: ValidationInfo) -> tuple[TargetSection, ...]:
        first = info.data.get("targets", ()) if info.field_name == "backups" else ()
        _distinct((*first, *targets))
        return targets
