"""The URL of a callout, taken apart."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import quote

from hookgate.exchange.outbound import DEFAULT_PORTS, Target

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#\x00-\x1f\x7f]*)"
    r"(?P<path>[^?#\x00-\x1f\x7f]*)(?:\?(?P<query>[^#\x00-\x1f\x7f]*))?(?:#[^\x00-\x1f\x7f]*)?",
    re.IGNORECASE,
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]@]+\]|[^:\[\]@]+)(?::(?P<port>[0-9]{0,5}))?")
_NAME = re.compile(r"[a-z0-9._-]+")
_IPV4 = re.compile(r"[0-9]+(\.[0-9]+){3}")
_READ_IN_TWO_WAYS = re.compile("[\xdf\u03c2\u200c\u200d]")
"""Letters that the two editions of IDNA turn into different names."""
# What stays as it is, as browsers do it (WHATWG URL, 1.3); all else is percent-encoded. Letters and digits always stay.
_IN_QUERY = "!$%&'()*+,-./:;=?@[\\]^_`{|}~"
_IN_PATH = "!$%&'()*+,-./:;=@[\\]^_|~"


class Place(NamedTuple):
    """Where a callout goes."""

    target: Target
    path: str
    query: str


def parsed(url: str) -> Place:
    """Take an absolute URL apart: an international host becomes its xn-- form, dot segments are resolved, and what may
    not stand in a request line is percent-encoded. A fragment is dropped.

    Raises:
        ValueError: it is not an absolute http or https URL without user name and password. The text holds no password.
    """
    found = _URL.fullmatch(url)
    if found is not None and "@" in found["authority"]:
        host = found["authority"].rpartition("@")[2]
        raise ValueError(f"a URL with user name or password is refused ({host}): put them into a header")
    where = _AUTHORITY.fullmatch(found["authority"]) if found is not None else None
    host = _host(where["host"]) if where is not None else ""
    scheme = found["scheme"].lower() if found is not None else "http"
    port = int(where["port"] or DEFAULT_PORTS[scheme]) if where is not None else 0
    if found is None or not host or not 0 < port < 65536:
        shown = url.partition("?")[0].rpartition("@")[2]
        raise ValueError(f"{shown!r} cannot be called: write an absolute http or https URL")
    path = _resolved(quote(found["path"], safe=_IN_PATH))
    return Place(Target(scheme, host, port), path or "/", quote(found["query"] or "", safe=_IN_QUERY))


def _host(text: str) -> str:
    """Return a name or an address as it is looked up, an IPv6 address without brackets; nothing for what is none."""
    try:
        if text.startswith("["):
            return str(IPv6Address(text[1:-1]))
        if _IPV4.fullmatch(text):
            return str(IPv4Address(text))
        if not text.isascii() and not _READ_IN_TWO_WAYS.search(text):
            text = text.encode("idna").decode("ascii")
    except ValueError:
        return ""
    name = text.lower()
    return name if _NAME.fullmatch(name) else ""


def _resolved(path: str) -> str:
    """Resolve dot segments, so that whoever receives the call sees the path that is written in its log."""
    segments = path.split("/")
    if "." not in segments and ".." not in segments:
        return path
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[max(1, len(kept) - 1) :]
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)
