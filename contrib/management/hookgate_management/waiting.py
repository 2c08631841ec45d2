"""How long a write waits until every node serves it."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from hookgate import PositiveDuration
from hookgate_management.problems import Refusal

LONGEST = 300.0
"""Seconds."""
_DURATION: TypeAdapter[float] = TypeAdapter(PositiveDuration)


def patience(written: str | None, default: float) -> float | None:
    """Read ``?wait=``: ``live`` for the default, or a time; ``None`` where nobody waits.

    Raises:
        Refusal: it is no time, or too long.
    """
    if written is None:
        return None
    if written == "live":
        return default
    try:
        seconds = _DURATION.validate_python(written)
    except ValidationError:
        raise Refusal(400, f"wait={written} is no time; write wait=live or wait=30s.", "query") from None
    if seconds > LONGEST:
        raise Refusal(400, f"wait={written} is longer than {LONGEST:g} s.", "query")
    return seconds
