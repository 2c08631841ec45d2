"""``Forwarded`` (RFC 7239) and ``Via`` (RFC 9110, 7.6.3): what a message has come through, for whoever gets it next."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from hookgate.messages import RawHeader, Request


class Disclosure(NamedTuple):
    """What others are told of the way that a message has taken."""

    x_forwarded: bool = True
    """``X-Forwarded-For``, ``-Proto`` and ``-Host`` on requests."""
    forwarded: bool = False
    """``Forwarded`` on requests."""
    via: str | None = None
    """The pseudonym in ``Via`` of requests and responses."""


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNQUOTED = re.compile(r'(["\\])')


def add_forwarded(raw: list[RawHeader], request: Request) -> None:
    """Add to the fields of a request, in place, whom it came from; ``Forwarded`` is one line afterwards.

    What stands there already is kept in front. So it has to have been removed at the door unless a trusted proxy wrote
    it, as :func:`hookgate.http.intake.trust` does.
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
    return text if _TOKEN.fullmatch(text) else '"' + _UNQUOTED.sub(r"\\\1", text) + '"'


def _append(raw: list[RawHeader], name: bytes, value: bytes) -> None:
    before = [said for key, said in raw if key.lower() == name and said]
    raw[:] = [field for field in raw if field[0].lower() != name]
    raw.append((name, b", ".join([*before, value])))
