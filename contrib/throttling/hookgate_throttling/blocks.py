"""The section ``blocks``: who and what is kept out for now."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from hookgate import Exchange, Forbidden, Item, Options, Section
from hookgate.workshop import Addresses, parse_range
from hookgate_throttling.faults import Blocked


def address_range(text: str) -> str:
    """Check an address, a range or a network, and write it as ranges are written: bits behind the prefix of a network
    do not matter (KC-38).

    Raises:
        ValueError: it is none of them.
    """
    address, slash, prefix = text.strip().partition("/")
    if slash and "-" not in text:
        with suppress(ValueError):  # what is wrong with it is told below
            text = str(ip_network(f"{address.strip()}/{prefix.strip()}", strict=False))
    parse_range(text)
    return text


AddressRange = Annotated[str, Field(max_length=100), AfterValidator(address_range)]
Text = Annotated[str, Field(min_length=1, max_length=500)]


def _context(value: str) -> str:
    if not value.startswith("/") or (value != "/" and value.endswith("/")) or "?" in value:
        raise ValueError(f"{value!r} is no context: write a path such as /orders or /orders/1.0")
    return value


class BlockSection(Options):
    """One thing that is blocked."""

    description: str = ""
    """Why, for those who look after the gateway. Clients are not told."""
    user: Text | None = None
    """Subject of the identity."""
    address: AddressRange | None = None
    """Address of the client: one, a range (`10.1.1.1 - 10.1.1.30`), or a network (`10.1.1.0/24`, `2001:db8::/32`)."""
    application: Text | None = None
    """Application that calls, as the subscription or the identity names it."""
    context: Annotated[Text, AfterValidator(_context)] | None = None
    """Path in front of an API, version included or not: `/orders/1.0` blocks that path and what is below it."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.user, self.address, self.application, self.context)) != 1:
            raise ValueError("write one of user, address, application and context")
        return self


class Blocks(Section[BlockSection]):
    """What the step `throttle` keeps out: users, addresses, applications and APIs. A change counts at once."""

    def __init__(self, items: Sequence[Item[BlockSection]] = ()) -> None:
        super().__init__(items)
        records = [item.record for item in self.items]
        self._users = {each.user for each in records if each.user is not None}
        self._applications = {each.application for each in records if each.application is not None}
        self._contexts = {each.context for each in records if each.context is not None}
        listed = [each.address for each in records if each.address is not None]
        self._addresses = lru_cache(maxsize=4096)(Addresses(listed).holds) if listed else None

    def refuse(self, exchange: Exchange, user: str | None, application: str | None) -> None:
        """Refuse a call that is blocked.

        Raises:
            Blocked: it is.
            Forbidden: addresses are blocked, and that of the client cannot be read (`address-unknown`).
        """
        if not self.items:
            return
        if user in self._users or application in self._applications or (self._contexts and self._below(exchange)):
            raise Blocked("Calls like this one are blocked for now.")
        if self._addresses is not None:
            held = self._addresses(exchange.request.client)
            if held is None:
                raise Forbidden("The address of the caller cannot be read.", reason="address-unknown")
            if held:
                raise Blocked("Calls like this one are blocked for now.")

    def _below(self, exchange: Exchange) -> bool:
        """Whether the path is that of a blocked context, or below it: segments are compared whole."""
        path = exchange.request.path
        at = len(path)
        while at > 0:
            if path[:at] in self._contexts:
                return True
            at = path.rfind("/", 0, at)
        return "/" in self._contexts
