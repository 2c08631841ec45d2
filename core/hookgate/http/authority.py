"""Whom a request is for (RFC 9110, 7.2)."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

_AUTHORITY = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|[A-Za-z0-9._~!$&'()*+,;=-]+)(?::([0-9]{0,5}))?")

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


def is_name(text: str) -> bool:
    """Whether that is a host name, in small letters and without a port; an address is none."""
    return _NAME.fullmatch(text) is not None and len(text) <= 253 and not text.rpartition(".")[2].isdigit()


def is_authority(value: bytes) -> bool:
    """Whether that is a host, with a port or without (RFC 9110, 4.2): a name, or an address of IPv6 in brackets."""
    match = _AUTHORITY.fullmatch(value)
    if match is None or (match[2] and int(match[2]) > 65535):
        return False
    try:
        return match[1] is None or bool(IPv6Address(match[1].decode("ascii")))
    except ValueError:
        return False
