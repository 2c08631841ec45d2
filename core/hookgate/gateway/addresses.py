"""Values of a document that concern listeners: addresses, and what is said of the hops of a call."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, IPvAnyNetwork

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\]")
_PORT = re.compile(r"[0-9]{1,5}")
_PSEUDONYM = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(:[0-9]{1,5})?")


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or int(port) > 65535 or not _HOST.fullmatch(host or "any"):
        raise ValueError(f"{value!r} is no address: write host:port, :port for every interface, or [::1]:port")
    return value


def _public_address(value: str) -> str:
    scheme, separator, address = value.rpartition("://")
    if separator and scheme != "https":
        raise ValueError(f"{value!r} is no address: write https://host:port for TLS, or host:port for plain HTTP")
    _address(address)
    return value


def _pseudonym(value: str) -> str:
    if not _PSEUDONYM.fullmatch(value):
        raise ValueError(f"{value!r} cannot stand in Via: write one word such as edge, or host:port")
    return value


def _forwarded(value: object) -> object:
    """Let true and false stand for what they meant before there was a choice."""
    return {True: "x-forwarded", False: "off"}[value] if isinstance(value, bool) else value


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Take networks of IPv4 that are written as IPv6 for what they are, as is done with addresses."""
    first = network.network_address
    mapped = first.ipv4_mapped if isinstance(first, IPv6Address) and network.prefixlen >= 96 else None
    return network if mapped is None else IPv4Network((mapped, network.prefixlen - 96))


Address = Annotated[str, AfterValidator(_address)]
"""``host:port``, ``:port`` for every interface, or ``[::1]:port``."""
PublicAddress = Annotated[str, AfterValidator(_public_address)]
"""An address, with ``https://`` in front where it is for TLS."""
Network = Annotated[IPvAnyNetwork, AfterValidator(_unmapped)]
"""A network in CIDR form, or one address."""
ForwardedStyle = Literal["x-forwarded", "forwarded", "both", "off"]
Forwarded = Annotated[ForwardedStyle, BeforeValidator(_forwarded, json_schema_input_type=ForwardedStyle | bool)]
"""By which headers backends are told who called: ``X-Forwarded-*``, or ``Forwarded`` (RFC 7239)."""
Pseudonym = Annotated[str, AfterValidator(_pseudonym)]
"""A name of this gateway for ``Via`` (RFC 9110, 7.6.3)."""
