"""Addresses of clients: as proxies in front of us write them, and whose are counted together."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

NOBODY = "unknown"
"""The client whose address was told so that it cannot be read (RFC 7239, 6.2); who asks for an address refuses it."""

_NODE = re.compile(r'("?)(?:(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[\w.-]+))?|([0-9A-Fa-f:.]+))\1')
_PAIR = re.compile(r'[ \t]*([!#$%&\'*+.^_`|~\w-]+)=("(?:[^"\\]|\\.)*"|[^\s",;]*)[ \t]*([,;]|\Z)')
_ESCAPED = re.compile(r"\\(.)")


def parsed(text: str) -> IPv4Address | IPv6Address:
    """Read a bare address; one of IPv4 that is written as IPv6 (``::ffff:192.0.2.1``) is that of IPv4.

    Raises:
        ValueError: it is none.
    """
    address = ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def address_of(node: str) -> str:
    """Read an entry as balancers write it: an address, in brackets or quotes, with a port or not; else ``NOBODY``."""
    match = _NODE.fullmatch(node.strip(" \t"))
    try:
        return NOBODY if match is None else str(parsed(match[2] or match[3] or match[4]))
    except ValueError:
        return NOBODY


def told(forwarded: str) -> list[tuple[str, str, str]]:
    """Read ``Forwarded`` (RFC 7239, 4): address, scheme and host of each hop. What is malformed is nobody's."""
    hops: list[dict[str, str]] = [{}] if forwarded else []
    at = 0
    while at < len(forwarded):
        pair = _PAIR.match(forwarded, at)
        if pair is None or pair[1].lower() in hops[-1]:
            return [(NOBODY, "", "")]
        hops[-1][pair[1].lower()] = _ESCAPED.sub(r"\1", pair[2][1:-1]) if pair[2][:1] == '"' else pair[2]
        if pair[3] == ",":
            hops.append({})
        at = pair.end()
    return [(address_of(hop.get("for", "")), hop.get("proto", ""), hop.get("host", "")) for hop in hops]


@lru_cache(maxsize=4096)
def network_of(client: str, bits: int) -> str:
    """Return whom a client is counted with: its network of so many bits for IPv6, of which everybody has a whole one.

    An address of IPv4, and what is no address, stands for itself.
    """
    if ":" not in client:
        return client
    address = parsed(client)
    return str(address if isinstance(address, IPv4Address) else IPv6Network((int(address), bits), strict=False))
