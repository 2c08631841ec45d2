"""Header rules of a proxy: what is for one hop only, and what a backend is told about the client."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from hookgate.exchange.messages import STALE_WHEN_BODY_CHANGES, TOKEN, RawHeader, Request, Response

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
    },
)
"""Never passed on (RFC 9110, 7.6.1); ``Connection`` may name more."""


EXPECT_A_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose empty body is told as such (RFC 9110, 8.6)."""


_CLIENTS_OWN = HOP_BY_HOP | {b"host", b"content-length", b"expect"}
"""What a request to a backend does not take over: what is for one hop only, and the framing, which is new."""


_REWRITTEN = _CLIENTS_OWN | {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}


def end_to_end(raw: list[RawHeader]) -> list[RawHeader]:
    """Return the fields that were not meant for this hop only."""
    kept = [field for field in raw if field[0].lower() not in HOP_BY_HOP]
    if len(kept) != len(raw):
        return _unnamed(raw, kept)
    return kept


def _unnamed(raw: list[RawHeader], kept: list[RawHeader]) -> list[RawHeader]:
    """Take out what ``Connection`` names."""
    named = {
        token.strip() for name, value in raw if name.lower() == b"connection" for token in value.lower().split(b",")
    }
    return kept if named <= _HARMLESS else [field for field in kept if field[0].lower() not in named]


_HARMLESS = frozenset({b"close", b"keep-alive", b"upgrade", b"te", b""})


def onward(request: Request, host: bytes, *, add_forwarded: bool) -> list[RawHeader]:
    """Return the fields of a request as a backend gets them, before header actions and credentials.

    With ``add_forwarded`` it is told who called: ``X-Forwarded-For`` grows by the peer, ``-Proto`` and ``-Host`` are
    ours. What the client itself wrote there was removed at the door unless it came from a trusted proxy.
    """
    raw, unwanted = request.headers.raw, _REWRITTEN if add_forwarded else _CLIENTS_OWN
    kept = [field for field in raw if field[0].lower() not in unwanted]
    before = b""
    if len(raw) - len(kept) > 1:  # one is Host
        kept = _unnamed(raw, kept)
        before = b", ".join([value for name, value in raw if name.lower() == b"x-forwarded-for"])
    kept.insert(0, (b"host", host))
    length = request.body.length
    if length is None:
        kept.append((b"transfer-encoding", b"chunked"))
    elif length or request.method in EXPECT_A_BODY:
        kept.append((b"content-length", b"%d" % length))
    if add_forwarded:
        peer = request.peer.encode("ascii", "replace")
        kept.append((b"x-forwarded-for", b"%b, %b" % (before, peer) if before else peer))
        kept.append((b"x-forwarded-proto", request.scheme.encode()))
        if request.host:
            kept.append((b"x-forwarded-host", request.host.encode("latin-1")))
    return kept


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
    """Take out what speaks of the bytes that the body had before a hook changed them."""
    headers = response.headers
    headers.raw = [field for field in headers.raw if field[0].lower() not in STALE_WHEN_BODY_CHANGES]


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
