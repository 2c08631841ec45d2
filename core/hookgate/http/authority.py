"""Whom a request is for (RFC 9110, 7.2)."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

_AUTHORITY = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|[A-Za-z0-9._~!$&'()*+,;=-]+)(?::([0-9]{0,5}))?")

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


def host_name(text: str) -> str:
    """Return a host name in small letters, without the dot of the root.

    Raises:
        ValueError: it is none, or has a port; an address is none.
    """
    name = text.lower().removesuffix(".")
    if _NAME.fullmatch(name) is None or len(name) > 253 or name.rpartition(".")[2].isdigit():
        raise ValueError(f"{text!r} is no host name: write www.example.org (in its xn-- form), without a port")
    return name


def is_authority(value: bytes) -> bool:
    """Whether that is a host, with a port or without (RFC 9110, 4.2): a name, or an address of IPv6 in brackets."""
    match = _AUTHORITY.fullmatch(value)
    if match is None or (match[2] and int(match[2]) > 65535):
        return False
    try:
        return match[1] is None or bool(IPv6Address(match[1].decode("ascii")))
    except ValueError:
        return False
