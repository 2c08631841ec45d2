"""Addresses of clients: as proxies in front of us write them, and whose are counted together."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

NOBODY = "unknown"
"""The client whose address was told so that it cannot be read (RFC 7239, 6.2); who asks for an address refuses it."""

_NODE = re.compile(r'("?)(?:(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:[0-9]{1,5}|_[\w.-]+))?|([0-9A-Fa-f:.]+))\1')


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


@lru_cache(maxsize=4096)
def network_of(client: str, bits: int) -> str:
    """Return whom a client is counted with: its network of so many bits for IPv6, of which everybody has a whole one.

    An address of IPv4, and what is no address, stands for itself.
    """
    if ":" not in client:
        return client
    address = parsed(client)
    return str(address if isinstance(address, IPv4Address) else IPv6Network((int(address), bits), strict=False))
