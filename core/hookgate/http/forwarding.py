"""Header rules of a proxy: what is for one hop only, and what a backend is told about the client."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from hookgate.exchange.clientaddress import address_of, told
from hookgate.exchange.errors import BadRequest
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import STALE_WHEN_BODY_CHANGES, TOKEN, RawHeader, Request, Response
from hookgate.http.authority import is_authority

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Never passed on (RFC 9110, 7.6.1); ``Connection`` may name more."""

EXPECT_A_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose empty body is told as such (RFC 9110, 8.6)."""
BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Methods whose body means nothing (RFC 9110, 9.3)."""

_CLIENTS_OWN = HOP_BY_HOP | {b"host", b"content-length", b"expect"}
"""What a request to a backend does not take over: what is for one hop only, and the framing, which is new."""

_REWRITTEN = _CLIENTS_OWN | {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}


def end_to_end(raw: list[RawHeader], status: int = 0) -> list[RawHeader]:
    """Return the fields that were not meant for this hop only; those of a response with status 426 say ``Upgrade``."""
    unwanted = HOP_BY_HOP if status != 426 else HOP_BY_HOP - {b"upgrade"}
    kept = [field for field in raw if field[0].lower() not in unwanted]
    return _unnamed(raw, kept) if len(kept) != len(raw) else kept


def _unnamed(raw: list[RawHeader], kept: list[RawHeader]) -> list[RawHeader]:
    """Take out what ``Connection`` names."""
    named = {
        token.strip() for name, value in raw if name.lower() == b"connection" for token in value.lower().split(b",")
    }
    return kept if named <= _HARMLESS else [field for field in kept if field[0].lower() not in named - _HARMLESS]


def is_last_hop(request: Request) -> bool:
    """Whether OPTIONS or TRACE ends here (RFC 9110, 7.6.2, 9.3.7); if not, ``Max-Forwards`` counts this hop.

    Raises:
        BadRequest: ``Max-Forwards`` is no number.
    """
    left = request.headers.getall("max-forwards")
    if not left:
        return request.path == "*"
    if len(left) > 1 or not (left[0].isascii() and left[0].isdigit() and len(left[0]) < 10):
        raise BadRequest("Max-Forwards is not a number.")
    if left[0].strip("0"):
        request.headers.set("max-forwards", str(int(left[0]) - 1))
    return request.path == "*" or not left[0].strip("0")


_HARMLESS = frozenset({b"close", b"keep-alive", b"upgrade", b"te", b""})


def without_content(raw: list[RawHeader]) -> list[RawHeader]:
    """Leave out what tells of a body, where none is sent."""
    telling = (b"content-", b"transfer-encoding", b"digest", b"repr-digest")
    return [field for field in raw if not field[0].lower().startswith(telling)]


def onward(request: Request, host: bytes, *, add_forwarded: bool) -> list[RawHeader]:
    """Return the fields of a request as a backend gets them, before header actions and credentials.

    With ``add_forwarded`` it is told who called: ``X-Forwarded-For`` grows by the peer, ``-Proto`` is ours, and so is
    ``-Host`` where none is told, nor in ``Forwarded``. What strangers wrote there was removed at the door.
    """
    raw, unwanted = request.headers.raw, _REWRITTEN if add_forwarded else _CLIENTS_OWN
    kept = [field for field in raw if field[0].lower() not in unwanted]
    before = b""
    hosts: list[RawHeader] = []
    if len(raw) - len(kept) > (request.http_version == "1.1"):  # where one is Host
        kept = _unnamed(raw, kept)
        before = b", ".join([value for name, value in raw if name.lower() == b"x-forwarded-for"])
        hosts = [field for field in raw if field[0].lower() == b"x-forwarded-host"]
    kept.insert(0, (b"host", host))
    length = request.body.length
    if length is None:
        kept.append((b"transfer-encoding", b"chunked"))
    elif length or request.method in EXPECT_A_BODY:
        kept.append((b"content-length", b"%d" % length))
    if add_forwarded:
        peer = request.peer.encode("ascii", "replace")
        if not before and request.client != request.peer:  # told in Forwarded
            before = request.client.encode("ascii", "replace")
            if not hosts:
                hosts = [(b"x-forwarded-host", host) for host in _told_host(request)]
        kept.append((b"x-forwarded-for", b"%b, %b" % (before, peer) if before else peer))
        kept.append((b"x-forwarded-proto", request.scheme.encode()))
        if hosts:
            kept += hosts
        elif request.host:
            kept.append((b"x-forwarded-host", request.host.encode("latin-1")))
    return kept


def _told_host(request: Request) -> list[bytes]:
    """Return what ``Forwarded`` says which host the client has asked for, if that is one."""
    hops = told(",".join(request.headers.getall("forwarded")))
    hosts = [host.encode("latin-1") for client, _, host in hops if client == request.client]
    return [host for host in hosts[-1:] if is_authority(host)]


def framed(response: Response, method: str) -> bool:
    """Make the framing headers agree with the body; return whether a body is sent at all (RFC 9110, 6.4)."""
    headers, body = response.headers, response.body
    if body.changed:
        drop_stale(response)
    if response.status in (204, 304) or response.status < 200:
        if response.status != 304:
            headers.remove("content-length")
        return False
    if method == "HEAD":
        if body.changed:
            headers.remove("content-length")
        elif body.length is not None and not body.empty:
            headers.set("content-length", str(body.length))
        return False
    if body.length is None:
        headers.remove("content-length")
    else:
        headers.set("content-length", str(body.length))
    return True


def drop_stale(response: Response) -> None:
    """Take out what speaks of the bytes that the body had before a hook changed them; a weak ETag does not."""
    headers = response.headers
    headers.raw = [
        field
        for field in headers.raw
        if (name := field[0].lower()) not in STALE_WHEN_BODY_CHANGES or (name == b"etag" and field[1][:2] == b"W/")
    ]


_IN_HEADS = HOP_BY_HOP | {
    *(b"host", b"content-length", b"set-cookie", b"authorization", b"content-encoding", b"content-type")
}
"""What belongs into the head of an answer, so that it means nothing, or harm, before and behind it."""


def trailers_of(response: Response, request: Request) -> list[RawHeader]:
    """Return what stood behind a body that nobody changed, for a client that asked for that (RFC 9110, 6.5.1)."""
    if response.body.changed or "trailers" not in request.headers.tokens("te"):
        return []
    fields = [line.partition(b":") for line in response.body.trailers]
    return [(name, value.strip()) for name, _, value in fields if name.lower() not in _IN_HEADS]


def hints(exchange: Exchange, fields: list[RawHeader]) -> list[RawHeader]:
    """Return what may pass of an interim answer: steps on the way out have not seen it, so beside them it is links."""
    if exchange.walk is not None and exchange.walk.flow.way_out:
        return [field for field in fields if field[0].lower() == b"link"]
    return [field for field in fields if field[0].lower() not in _IN_HEADS]


class Disclosure(NamedTuple):
    """What others are told of the way that a message has taken."""

    x_forwarded: bool = True
    """``X-Forwarded-For``, ``-Proto`` and ``-Host`` on requests."""
    forwarded: bool = False
    """``Forwarded`` on requests."""
    via: str | None = None
    """The pseudonym in ``Via`` of requests and responses."""


_UNQUOTED = re.compile(r'(["\\])')


def add_forwarded(raw: list[RawHeader], request: Request) -> None:
    """Add to the fields of a request, in place, whom it came from; ``Forwarded`` is one line afterwards.

    What stands there already is kept in front. So it has to have been removed at the door unless a trusted proxy wrote
    it, as :func:`hookgate.server.intake.trust` does.
    """
    if (told := request.headers.getall("x-forwarded-for")) and "forwarded" not in request.headers:
        hops = [f"for={_node(address_of(each))}".encode() for each in ",".join(told).split(",")]
        _append(raw, b"forwarded", b", ".join(hops))
    _append(raw, b"forwarded", element(request.peer, request.scheme, request.host))


def add_via(raw: list[RawHeader], pseudonym: str, version: str = "1.1") -> None:
    """Add this gateway to the ``Via`` of a message, in place; the version is that of HTTP in which it was received."""
    _append(raw, b"via", f"{version} {pseudonym}".encode("ascii"))


@lru_cache(maxsize=1024)
def element(peer: str, scheme: str, host: str) -> bytes:
    """Write what is said of one hop: ``for="[2001:db8::1]";host=example.org;proto=https`` (RFC 7239, 4).

    A peer that is no IP address is ``unknown``. A host that is no header value, such as one with a line end, is left
    out, as is an empty one.
    """
    parts = [f"for={_node(peer)}"]
    if host and host.isascii() and host.isprintable():
        parts.append(f"host={_value(host)}")
    parts.append(f"proto={_value(scheme)}")
    return ";".join(parts).encode("ascii")


def _node(peer: str) -> str:
    """Write an address (RFC 7239, 6): one of IPv6 in brackets, and therefore in quotes; its zone is nobody else's."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return "unknown"
    return f'"[{address}]"' if isinstance(address, IPv6Address) else str(address)


def _value(text: str) -> str:
    """Write a token as it is and anything else as a quoted string (RFC 9110, 5.6.4), such as a host with a port."""
    return text if TOKEN.fullmatch(text) else '"' + _UNQUOTED.sub(r"\\\1", text) + '"'


def _append(raw: list[RawHeader], name: bytes, value: bytes) -> None:
    before = [said for key, said in raw if key.lower() == name and said]
    raw[:] = [field for field in raw if field[0].lower() != name]
    raw.append((name, b", ".join([*before, value])))
