"""How a caller stands with the limits that a call has met, as answers tell it."""

from __future__ import annotations

import math

from hookgate import Decision, Exchange

NOTE = "rate_limit"


def note_standing(exchange: Exchange, limit: int, remaining: int, reset: float) -> None:
    """Leave the standing of a call for the way out, unless a tighter limit has left its own.

    It stands in ``vars.rate_limit``: ``limit`` and ``remaining`` in calls, ``reset`` in whole seconds.
    """
    noted = exchange.variables.get(NOTE)
    if noted is None or remaining * noted["limit"] <= noted["remaining"] * limit:
        exchange.variables[NOTE] = {"limit": limit, "remaining": remaining, "reset": math.ceil(reset)}


def standing_fields(exchange: Exchange) -> list[tuple[str, str]]:
    """Return the header fields that tell of the tightest limit: none where the call has met none."""
    noted = exchange.variables.get(NOTE)
    if noted is None:
        return []
    return [
        ("RateLimit-Limit", str(noted["limit"])),
        ("RateLimit-Remaining", str(noted["remaining"])),
        ("RateLimit-Reset", str(noted["reset"])),
    ]


def tell_standing(exchange: Exchange, *, told: bool) -> None:
    """Write these fields to the answer, if there is one and the client is to be told."""
    if told and exchange.response is not None:
        exchange.response.headers.update(standing_fields(exchange))


def refused_for(exchange: Exchange, decision: Decision, *, told: bool) -> tuple[int, list[tuple[str, str]]]:
    """Return the whole seconds after which a call that was refused may come again, at least one, and the fields of the
    answer: `Retry-After` (RFC 9110, 10.2.3) and, where the client is to be told, how it stands."""
    wait = max(1, math.ceil(decision.retry_after))
    return wait, [("Retry-After", str(wait)), *(standing_fields(exchange) if told else ())]
