"""The request that a call begins with, made from what a listener has read: the same for the lane and the edge."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network

from hookgate.exchange.clientaddress import address_of, parsed, told
from hookgate.exchange.encryption import TlsFacts
from hookgate.exchange.errors import BadRequest, Fault
from hookgate.exchange.messages import Headers, Request
from hookgate.exchange.spellings import headers_of
from hookgate.flow.paths import normalise
from hookgate.gateway.record import GatewaySection, LimitsSection
from hookgate.http.authority import is_authority
from hookgate.http.framing import FramingError, RequestHead, read_request

FORWARDED = ("forwarded", "x-real-ip")
"""Headers that speak of earlier hops, beside all of ``X-Forwarded-…``: believed of trusted proxies only."""
_METHOD = re.compile(rb"[A-Za-z-]{1,32}")
_QUERY = re.compile(r"[\x21-\x7e]*")
_VERSION = re.compile(rb" (?:HTTP/([0-9]\.[0-9])|HTTP(?:/[0-9]?\.?)?|H?T?T?)\Z")  # what a line ends with, or begins to
Networks = tuple[IPv4Network | IPv6Network, ...]


class HeadTooLarge(Fault):
    """431: the head of the request is longer than the limit."""

    status = 431
    default_reason = "head-too-large"


class UrlTooLong(Fault):
    """414: the request target is longer than the limit."""

    status = 414
    default_reason = "url-too-long"


class UnknownMethod(Fault):
    """501: no request of this method is read here."""

    status = 501
    default_reason = "unknown-method"


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


def overlong(begun: bytes, limits: LimitsSection) -> None:
    """Look at a head that is not all there, or too long.

    Raises:
        FramingError: with status 414 or 431, it is longer than the limits.
    """
    if len(begun) > limits.url + limits.header_bytes:
        if b"\r\n" not in begun[: limits.url + 64]:
            raise FramingError(f"The URL is longer than {limits.url} bytes.", 414)
        raise FramingError("The request head is longer than this gateway takes.", 431)


def split_target(target: bytes) -> tuple[str, str, str, str]:
    """Take a request target apart: the path in its one spelling, the query, and the authority if it has one; then path
    and query as they came.

    Raises:
        BadRequest: it is neither a path (origin-form) nor an ``http`` URL (absolute-form), or has a user or a fragment.
    """
    if target == b"*":  # the gateway as a whole, of OPTIONS (RFC 9110, 9.3.7)
        return "*", "", "", "*"
    if not target.isascii():
        raise Refused("The path has a byte that must be percent-encoded.")
    text = target.decode("ascii")
    authority = ""
    if not text.startswith("/") and text[:8].lower().startswith(("http://", "https://")):
        authority, slash, rest = text.partition("://")[2].partition("/")
        text = slash + rest
        if "?" in authority:
            authority, question, query = authority.partition("?")
            text = question + query
        check_authority(authority)
        if text[:1] != "/":
            text = "/" + text  # RFC 9110, 4.2.3
    path, _, query = text.partition("?")
    if "#" in query or not _QUERY.fullmatch(query):
        raise Refused("A fragment is not sent to a server, and a query has neither spaces nor control characters.")
    return normalise(path), query, authority, text


@lru_cache(maxsize=256)
def sketch(method: bytes, target: bytes, peer: str, version: str = "1.1") -> Request:
    """Make a request of what is known of one that was refused, for those who only watch."""
    text = "".join(c if "!" <= c <= "~" else f"%{ord(c):02X}" for c in target[:1024].decode("latin-1"))
    path, _, query = text.partition("?")
    known = method.decode("latin-1") if _METHOD.fullmatch(method) else ""
    return Request.of(known, path, query, text, "http", "", Headers(), peer, None, version)


def sketch_of(begun: bytes, peer: str) -> Request:
    """As :func:`sketch`, of the first line of HTTP/1.1, as far as it has come."""
    method, _, rest = begun[:8192].lstrip(b"\r\n").partition(b"\r\n")[0].partition(b" ")
    target, known = (rest[: end.start()], end[1]) if (end := _VERSION.search(rest)) else (rest, None)
    return sketch(method, target, peer, (known or b"1.1").decode())


def knows(method: str) -> bool:
    """Whether requests of a method are read here; those of others are answered 501, over whatever protocol."""
    try:
        return read_request(f"{method} / HTTP/1.0\r\n\r\n".encode()).method == method
    except FramingError:
        return False


def check_authority(authority: str) -> None:
    """Raise ``BadRequest`` for what is no host, with or without a port; users are not for servers (RFC 9110, 4.2.4)."""
    if not is_authority(authority.encode("latin-1")):
        raise Refused("The authority is not a host, with or without a port.")


_split = lru_cache(maxsize=4096)(split_target)


def split(target: bytes) -> tuple[str, str, str, str]:
    """As :func:`split_target`; short targets are remembered, since most calls ask for what was asked for before."""
    return _split(target) if len(target) <= 256 else split_target(target)


@lru_cache(maxsize=4096)
def is_trusted(address: str, networks: Networks) -> bool:
    """Whether an address is one of a proxy in front of us."""
    try:
        known = parsed(address)
    except ValueError:
        return False
    return any(known in network for network in networks)


def trust(request: Request, networks: Networks) -> None:
    """Believe what a trusted proxy says of the client; take it out of the mouth of anyone else.

    ``X-Forwarded-For`` counts, or ``Forwarded`` where there is none. From the right, the first that is no trusted proxy
    is the client. One that cannot be read is ``NOBODY``: it must not pass for the proxy behind it.
    """
    headers = request.headers
    if not networks or not is_trusted(request.peer, networks):
        headers.remove(*FORWARDED, *(name for name in headers if name.startswith("x-forwarded-")))
        return
    schemes = headers.getall("x-forwarded-proto")
    if lines := headers.getall("x-forwarded-for"):
        hops = [(address_of(hop), "", "") for hop in ",".join(lines).split(",")]
    else:
        hops = told(",".join(headers.getall("forwarded")))
    for client, scheme, _ in reversed(hops):
        request.client, told_here = client, [scheme]
        if not is_trusted(client, networks):
            break
    if hops and not schemes:
        schemes = told_here
    if schemes in (["http"], ["https"]):  # of two lines one may be a stranger's
        request.scheme = schemes[0]


def request_of(
    head: RequestHead, gateway: GatewaySection, size: int, scheme: str, peer: str, tls: TlsFacts | None
) -> Request:
    """Make the request of a head of so many bytes, which came from a peer.

    Raises:
        Fault: it is longer than the limits, or its target is none.
    """
    fields = head.fields
    check_sizes(gateway.limits, fields, len(head.target), size)
    path, query, authority, received = split(head.target)
    headers = headers_of(fields, gateway.underscored_headers) if head.forwarded else Headers.of(fields.copy())
    host = authority or (head.host.decode("ascii") if head.host is not None else "")
    request = Request.of(head.method, path, query, received, scheme, host, headers, peer, tls, head.version)
    if head.upgrade and wants_websocket(head):
        request.upgrade = "websocket"
    if head.forwarded:
        trust(request, gateway.trusted_proxies)
    return request


def wants_websocket(head: RequestHead) -> bool:
    """Whether a request asks for a WebSocket as one must: a GET of HTTP/1.1 without a body that says so in
    ``Connection``, too. Of several protocols that it offers (RFC 9110, 7.8), this is the one we speak."""
    named = head.named is not None and b"upgrade" in head.named
    offered = named and b"websocket" in [each.strip() for each in head.upgrade.lower().split(b",")]
    return offered and head.method == "GET" and head.version == "1.1" and not head.length
