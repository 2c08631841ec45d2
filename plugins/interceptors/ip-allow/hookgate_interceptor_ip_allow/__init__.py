"""Let through only clients from the networks you name."""

from functools import lru_cache
from ipaddress import ip_address

from pydantic import Field, IPvAnyNetwork

from hookgate import Exchange, Forbidden, Interceptor, Options, hookimpl


class IpAllowOptions(Options):
    """Options of `ip-allow`."""

    networks: tuple[IPvAnyNetwork, ...] = Field(min_length=1)
    """Networks a client may come from, in CIDR form (`10.0.0.0/8`, `2001:db8::/32`, a single address)."""


class IpAllow(Interceptor[IpAllowOptions]):
    """Answers 403 to every client outside the named networks.

    The client is the peer of the connection, or what a trusted proxy says it is.
    """

    category = "security"

    def __init__(self, options: IpAllowOptions) -> None:
        super().__init__(options)
        self._may_call = lru_cache(maxsize=4096)(self._is_inside)  # clients come back, and reading an address is slow

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Refuse a client from elsewhere.

        Raises:
            Forbidden: the address is in none of the networks.
        """
        if not self._may_call(exchange.request.client):
            raise Forbidden("This network may not call this route.", reason="network-refused")

    def _is_inside(self, address: str) -> bool:
        client = ip_address(address)
        mapped = getattr(client, "ipv4_mapped", None)
        return any((mapped or client) in network for network in self.options.networks)
