"""What a trace must not show: values whose names say that they are secret (HC-7)."""

from __future__ import annotations

import re

from hookgate.secret import MASK

_SECRET = re.compile(r"authorization|cookie|token|secret|passw|api[-_]?key", re.IGNORECASE)
_PARAMETER = re.compile(r"([^&=]+)=([^&]*)")


def masked(name: str, value: str) -> str:
    """Return the value of a header or parameter as it may be shown."""
    return MASK if _SECRET.search(name) else value


def masked_query(query: str) -> str:
    """Return a query as it may be shown."""
    return _PARAMETER.sub(lambda pair: f"{pair[1]}={masked(pair[1], pair[2])}", query)


def masked_head(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return header fields as they may be shown."""
    return [(name, masked(name, value)) for name, value in fields]
