"""Let clients through, or keep them out, by their IP address."""

from functools import lru_cache
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from hookgate import Exchange, Forbidden, Interceptor, Options, hookimpl
from hookgate.workshop import Addresses, parse_range


def _range(text: str) -> str:
    parse_range(text)
    return text


Range = Annotated[str, AfterValidator(_range)]


class IpFilterOptions(Options):
    """Options of `ip-filter`. Exactly one of the two lists is written."""

    allow: Annotated[tuple[Range, ...], Field(min_length=1, max_length=100_000)] | None = None
    """Whom to let through; everybody else is refused. Each is an address (`192.0.2.1`), a range
    (`192.0.2.1-192.0.2.9`, both ends included) or a network in CIDR form (`192.0.2.0/24`), of IPv4 or IPv6."""
    block: Annotated[tuple[Range, ...], Field(min_length=1, max_length=100_000)] | None = None
    """Whom to refuse; everybody else passes. Written as in `allow`."""

    @model_validator(mode="after")
    def _one_list(self) -> Self:
        if (self.allow is None) == (self.block is None):
            raise ValueError("write either allow or block; for both, place the step twice")
        return self


class IpFilter(Interceptor[IpFilterOptions]):
    """Answers 403 to clients by their IP address.

    Several may stand one after the other, and a call has to pass all of them: allow a network, then block an address in
    it. The client is the peer of the connection, or what a trusted proxy says it is. An IPv4 address that is written as
    IPv6 (`::ffff:192.0.2.1`) is that IPv4 address, here and in the lists; so `::/0` is all of IPv6 and nobody of IPv4.
    A client whose address cannot be read is refused by both kinds of list.
    """

    category = "security"
    sides = {"request"}

    def __init__(self, options: IpFilterOptions) -> None:
        super().__init__(options)
        self._listed = Addresses(options.allow or options.block or ())
        self._passes = options.allow is not None
        """What it means to be in the list."""
        self._may_call = lru_cache(maxsize=4096)(self._is_let_in)  # clients come back, and reading an address is slow

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        """Refuse a client by its address.

        Raises:
            Forbidden: with the reason `address-refused`.
        """
        if not self._may_call(exchange.request.client):
            raise Forbidden("Calls from this address are not accepted here.", reason="address-refused")

    def _is_let_in(self, client: str) -> bool:
        return self._listed.holds(client) is self._passes
