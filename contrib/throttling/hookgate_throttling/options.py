"""What a document says of the step ``throttle``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from hookgate import CounterStore, Duration, Expression, Options
from hookgate_throttling.blocks import AddressRange, address_range
from hookgate_throttling.records import Counted, TierName

OTHER = "other"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$")]


class LevelOptions(Options):
    """Whose calls a level counts, and by which tier, where no step has looked the subscription up."""

    by: Expression
    """What to count by, each value on its own. Calls for which it is null are counted together, as one unknown."""
    tier: Expression
    """Name of the tier: `identity.claims['tier']`, or always the same in quotes, `"'Gold'"`. A call for which it is
    null is not held to this level."""


def _address(text: str) -> str:
    return text if text == OTHER else address_range(text)


class AddressOptions(Counted):
    """A limit for addresses. Each address that it is for has a count of its own (KC-37)."""

    address: Annotated[str, Field(max_length=100), AfterValidator(_address)]
    """One address, a range (`10.1.1.1 - 10.1.1.30`) or a network (`10.1.1.0/24`, `2001:db8::/32`), all of its addresses
    included; or `other` for those that no other line is for."""


class ConditionOptions(Counted):
    """A limit for calls that have something in common."""

    name: Name
    """Its name, by which it is counted: unique in this step."""
    when: Expression | None = None
    """Which calls, by header, query or claim: `request.headers['user-agent'] == 'x'`, `request.query['kind'] == 'a'`,
    `identity.claims['plan'] == 'free'`. All of them, if it is left out."""
    addresses: Annotated[tuple[AddressRange, ...], Field(max_length=10_000)] = ()
    """Which clients: addresses, ranges and networks. All of them, if there is none."""
    by: Expression | None = None
    """What to count by, each value on its own; all calls of the API together without it."""


class ThrottleOptions(Options):
    """Options of `throttle`."""

    api_tier: TierName | None = None
    """Tier of the API as a whole. With it `resource_tier` counts for nothing, unless it is unlimited (KC-32)."""
    resource_tier: TierName | None = None
    """Tier of each resource and method of the API; `overrides` in an operation gives it another one (KC-34)."""
    subscription: LevelOptions | None = None
    """How subscriptions are told apart where `vars.subscription` is not set by a step that looks them up."""
    application: LevelOptions | None = None
    """How applications are told apart where `vars.subscription` is not set."""
    per_user: bool = False
    """Whether each user of an application has its whole limit. Otherwise they share it."""
    addresses: Annotated[tuple[AddressOptions, ...], Field(max_length=10_000)] = ()
    """Limits by address: the first line that is for the client counts, and `other` where none is."""
    conditions: Annotated[tuple[ConditionOptions, ...], Field(max_length=100)] = ()
    """Limits for calls that have something in common; a call has to keep all that it falls under."""
    backend: Counted | None = None
    """What the backend of the API is to get at most, from all callers together. What is above it is answered 503."""
    when_store_fails: Annotated[
        Annotated[Literal["open", "closed"], Tag("word")] | Annotated[CounterStore[Any], Tag("counters")],
        Discriminator(lambda written: "word" if written in ("open", "closed") else "counters"),
    ] = "closed"
    """What is done when the counters that gateways share do not answer in time: `closed` answers 503 with the name of
    the store, `open` lets calls through, and `local`, or other counters, counts by these until they answer."""
    patience: Duration = Field(default=0.5, gt=0, le=10)
    """Seconds that a call waits for the counters."""
    ipv6_prefix: int = Field(default=64, ge=1, le=128)
    """Bits of an IPv6 address that tell callers apart: who has a line has a whole /64. With 128 each address counts on
    its own."""
    headers: bool = True
    """Whether answers tell the client how it stands: `RateLimit-Limit`, `RateLimit-Remaining`, `RateLimit-Reset`."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        seen: set[str] = set()
        for place, names in (
            ("addresses", [each.address for each in self.addresses]),
            ("conditions", [each.name for each in self.conditions]),
        ):
            for name in names:
                if f"{place} {name}" in seen:
                    raise ValueError(f"{place}: {name!r} is there twice, and only the first one would count")
                seen.add(f"{place} {name}")
        return self
