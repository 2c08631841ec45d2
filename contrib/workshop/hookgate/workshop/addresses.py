"""Sets of IP addresses: single ones, ranges and networks, merged, and found by bisection."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_Range = tuple[int, int, int]
"""Version, first and last address."""
_MAPPED = int(IPv6Address("::ffff:0:0"))
"""First of the IPv6 addresses that stand for IPv4 ones (RFC 4291, 2.5.5.2); they are 2**32."""


def parse_range(text: str) -> _Range:
    """Read one address, a range `first-last`, or a network in CIDR form. What is IPv4 written as IPv6 is IPv4.

    Raises:
        ValueError: it is none of them, with what would be right.
    """
    first, dash, last = text.partition("-")
    if dash:
        low, high = _address(first.strip()), _address(last.strip())
        if low.version != high.version:
            raise ValueError(f"{text}: the ends of a range are both IPv4 or both IPv6 addresses")
        if high < low:  # type: ignore[operator]
            raise ValueError(f"{text}: the range ends before it begins; write {last.strip()}-{first.strip()}")
        return _unmapped(low.version, int(low), int(high))
    if "/" not in text:
        address = _address(text.strip())
        return _unmapped(address.version, int(address), int(address))
    network = _network(text.strip())
    return _unmapped(network.version, int(network.network_address), int(network.broadcast_address))


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no network; write it as 10.0.0.0/8 or 2001:db8::/32") from None
    if ip_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f"{text}: there are bits behind the prefix; the network is {network}")
    return network


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        address = ip_address(text)
    except ValueError:
        address = None
    if address is None or "%" in text:
        raise ValueError(
            f"{text!r} is no IP address; write addresses (192.0.2.1), ranges (192.0.2.1-192.0.2.9) or networks"
            " (192.0.2.0/24)"
        )
    return address


def _unmapped(version: int, first: int, last: int) -> _Range:
    if version == 6 and first >= _MAPPED and last < _MAPPED + 2**32:
        return 4, first - _MAPPED, last - _MAPPED
    return version, first, last


class Addresses:
    """A set of addresses. Looking one up takes as long as reading it, however many there are."""

    def __init__(self, ranges: Iterable[str]) -> None:
        self._firsts: dict[int, list[int]] = {4: [], 6: []}
        self._lasts: dict[int, list[int]] = {4: [], 6: []}
        for version, first, last in sorted(map(parse_range, ranges)):
            firsts, lasts = self._firsts[version], self._lasts[version]
            if lasts and first <= lasts[-1] + 1:
                lasts[-1] = max(lasts[-1], last)
            else:
                firsts.append(first)
                lasts.append(last)

    def holds(self, text: str) -> bool | None:
        """Whether an address is in the set; ``None`` for what is no address."""
        try:
            address = ip_address(text)
        except ValueError:
            return None
        version, number, _ = _unmapped(address.version, int(address), int(address))
        index = bisect_right(self._firsts[version], number) - 1
        return index >= 0 and number <= self._lasts[version][index]
