"""The section ``prices``: what the use of an API costs, by tier (KC-81)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Self

from pydantic import Field, model_validator

from hookgate import Item, Options, Problem, Section, Site, hookimpl

Price = Annotated[Decimal, Field(ge=0, max_digits=20, decimal_places=9, allow_inf_nan=False)]
DECIMALS = {
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(
        (
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ),
        0,
    ),
}
"""Digits behind the point of amounts, for currencies that have not two (ISO 4217)."""


class PriceSection(Options):
    """What subscriptions of a tier cost. Amounts are decimal numbers; write them in quotes."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    """Code of the currency, such as `EUR` (ISO 4217)."""
    per_month: Price = Decimal(0)
    """Flat price for each month of the calendar in which the subscription was used."""
    included: int = Field(default=0, ge=0)
    """Calls of a month that cost nothing more."""
    per_call: Price | None = None
    """Price of each further call."""
    per_1000: Price | None = None
    """Price of a thousand further calls; parts of a thousand cost their part."""
    faults: bool = False
    """Whether calls that were answered with 500 or above cost something. Calls that a limit has refused never do."""
    sandbox: bool = False
    """Whether calls with sandbox keys cost something."""

    @model_validator(mode="after")
    def _one_price(self) -> Self:
        if self.per_call is not None and self.per_1000 is not None:
            raise ValueError("per_1000: write either per_call or per_1000")
        if self.included and not self.each:
            raise ValueError("included: without per_call or per_1000 all calls are included; leave it out")
        return self

    @property
    def each(self) -> Decimal:
        """The price of one call beyond those included."""
        return self.per_call or (self.per_1000 or Decimal(0)) / 1000

    @property
    def unit(self) -> Decimal:
        """The smallest amount of the currency."""
        return Decimal(1).scaleb(-DECIMALS.get(self.currency, 2))


class Prices(Section[PriceSection]):
    """Prices of tiers, by the name of the tier. The section is there without being written: a tier that does not stand
    in it has no price, and its usage stands on invoices without an amount."""

    kind = "price"

    def __init__(self, items: Sequence[Item[PriceSection]] = ()) -> None:
        super().__init__(items)
        self.prices: Mapping[str, PriceSection] = {item.name: item.record for item in self.items}
        """By tier."""

    @hookimpl
    def check(self, site: Site) -> Iterator[Problem]:
        """Look for the tiers, where the section that has them is installed."""
        if site.section("tiers") is None:
            return
        tiers = site.names("tiers")
        for item in self.items:
            if item.name not in tiers:
                yield Problem(item.path, f"there is no tier {item.name!r}", at_key=True)
