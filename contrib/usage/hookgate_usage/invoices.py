"""What an application would be billed for a month, by the prices that stand in the document now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hookgate_usage.folding import Used
from hookgate_usage.keeping import Row
from hookgate_usage.prices import PriceSection

LINE = ("subscription", "tier", "key_type", "api", "version")
"""What rows of usage are told apart by, for an invoice."""
SANDBOX = "sandbox"


def invoice(application: str, month: str, rows: Iterable[Row], prices: Mapping[str, PriceSection]) -> dict[str, Any]:
    """Return an invoice: one line for each subscription, tier and kind of key, and the sums by currency. Amounts are
    texts, so that nobody reads them as binary fractions.

    Args:
        application: Whose usage it is.
        month: `2026-11`.
        rows: Usage of that month, told apart by :data:`LINE`.
        prices: By tier.
    """
    grouped: dict[tuple[str, str, str], tuple[list[str], Used]] = {}
    for row in rows:
        subscription, tier, key_type, api, version = row.names
        apis, used = grouped.setdefault((subscription, tier, key_type), ([], Used()))
        apis.append(f"{api} {version}".strip())
        used.add(row.used)
    lines, totals = [], dict[str, Decimal]()
    for (subscription, tier, key_type), (apis, used) in sorted(grouped.items()):
        line: dict[str, Any] = {"subscription": subscription, "tier": tier, "key_type": key_type}
        line |= {"apis": sorted(set(apis)), "calls": used.calls, "faults": used.faults, "refused": used.refused}
        price = prices.get(tier)
        if price is None:
            lines.append(line | {"billed": None, "currency": None, "flat": None, "variable": None, "amount": None})
            continue
        billed = used.calls - used.refused - (0 if price.faults else used.faults)
        free = key_type.lower() == SANDBOX and not price.sandbox
        charged = 0 if free else max(billed - price.included, 0)
        flat = Decimal(0) if free else _rounded(price.per_month, price)
        variable = _rounded(charged * price.each, price)
        totals[price.currency] = totals.get(price.currency, Decimal(0)) + flat + variable
        amounts = {"flat": str(flat), "variable": str(variable), "amount": str(flat + variable)}
        lines.append(line | {"billed": charged, "currency": price.currency, **amounts})
    told = {currency: str(amount) for currency, amount in sorted(totals.items())}
    return {"application": application, "month": month, "lines": lines, "totals": told}


def _rounded(amount: Decimal, price: PriceSection) -> Decimal:
    return amount.quantize(price.unit, ROUND_HALF_UP)
