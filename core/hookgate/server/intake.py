"""The request that a call begins with, made from what a listener has read: the same for the lane and the edge."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address

from hookgate.exchange.encryption import TlsFacts
from hookgate.exchange.errors import BadRequest, Fault
from hookgate.exchange.messages import Headers, Request
from hookgate.flow.paths import normalise
from hookgate.gateway.record import GatewaySection, LimitsSection
from hookgate.http.framing import RequestHead

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip")
"""Headers that speak of earlier hops: believed of trusted proxies, taken out of the mouth of anyone else."""
Networks = tuple[IPv4Network | IPv6Network, ...]


class HeadTooLarge(Fault):
    """431: the head of the request is longer than the limit."""

    status = 431
    default_reason = "head-too-large"


class UrlTooLong(Fault):
    """414: the request target is longer than the limit."""

    status = 414
    default_reason = "url-too-long"


class Refused(BadRequest):
    """400: the target is no path."""

    default_reason = "bad-path"


def check_sizes(limits: LimitsSection, fields: list[tuple[bytes, bytes]], target: int, head: int | None = None) -> None:
    """Hold a head against the limits; lengths in bytes, ``head`` that of the whole if it is known.

    Raises:
        HeadTooLarge: too many header lines, or too many bytes of them.
        UrlTooLong: path and query are too long.
    """
    if target > limits.url:
        raise UrlTooLong(f"The URL is longer than {limits.url} bytes.")
    short = head is not None and head <= limits.header_bytes
    if len(fields) > limits.header_count or not (
        short or sum([len(name) + len(value) for name, value in fields]) <= limits.header_bytes
    ):
        raise HeadTooLarge("The request head is longer than this gateway takes.")


def split_target(target: bytes) -> tuple[str, str, str]:
    """Take a request target apart: the path in its one spelling, the query, and the authority if it has one.

    Raises:
        BadRequest: it is neither a path (origin-form) nor an ``http`` URL (absolute-form), or has a fragment.
    """
    if not target.isascii():
        raise Refused("The path has a byte that must be percent-encoded.")
    text = target.decode("ascii")
    authority = ""
    if not text.startswith("/") and text[:8].lower().startswith(("http://", "https://")):
        authority, slash, rest = text.partition("://")[2].partition("/")
        text = slash + rest
        if "?" in authority:
            authority, question, query = authority.partition("?")
            text = "/" + question + query
    path, _, query = text.partition("?")
    if "#" in query:
        raise Refused("A fragment is not sent to a server.")
    return normalise(path), query, authority


_split = lru_cache(maxsize=4096)(split_target)


def split(target: bytes) -> tuple[str, str, str]:
    """As :func:`split_target`; short targets are remembered, since most calls ask for what was asked for before."""
    return _split(target) if len(target) <= 256 else split_target(target)


@lru_cache(maxsize=4096)
def is_trusted(address: str, networks: Networks) -> bool:
    """Whether an address is one of a proxy in front of us."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def trust(request: Request, networks: Networks) -> None:
    """Believe what a trusted proxy says of the client; take it out of the mouth of anyone else."""
    headers = request.headers
    if not networks or not is_trusted(request.peer, networks):
        headers.remove(*FORWARDED)
        return
    for hop in reversed([part.strip() for line in headers.getall("x-forwarded-for") for part in line.split(",")]):
        try:
            address = str(ip_address(hop))
        except ValueError:
            break
        request.client = address
        if not is_trusted(address, networks):
            break
    if (scheme := headers.get("x-forwarded-proto")) in ("http", "https"):
        request.scheme = scheme


def request_of(
    head: RequestHead, gateway: GatewaySection, size: int, scheme: str, peer: str, tls: TlsFacts | None
) -> Request:
    """Make the request of a head of so many bytes, which came from a peer.

    Raises:
        Fault: it is longer than the limits, or its target is none.
    """
    fields = head.fields
    check_sizes(gateway.limits, fields, len(head.target), size)
    path, query, authority = split(head.target)
    request = Request.of(
        head.method,
        path,
        query,
        scheme,
        authority or (head.host.decode("ascii") if head.host is not None else ""),
        Headers.of(fields.copy()),  # the head may be remembered
        peer,
        tls,
        head.version,
    )
    if head.upgrade == b"websocket" and _may_upgrade(head):
        request.upgrade = "websocket"
    if head.forwarded:
        trust(request, gateway.trusted_proxies)
    return request


def _may_upgrade(head: RequestHead) -> bool:
    """Whether a request asks for another protocol as one must: in ``Connection``, without a body, not in HTTP/1.0."""
    named = head.named is not None and b"upgrade" in head.named
    return named and head.version == "1.1" and not head.length
