"""Which hosts are this machine, so that nobody on the way can listen or answer."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is a loopback address, ``localhost`` or a name below it (RFC 6761, 6.3)."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
