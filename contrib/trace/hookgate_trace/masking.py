"""What a trace must not show: values whose names say that they are secret (HC-7)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from inspect import isawaitable
from typing import Any

from hookgate import MASK, Credential, Exchange, Outbound
from hookgate.workshop import SECRET_NAME

_PARAMETER = re.compile(r"([^&=]+)=([^&]*)")


def masked(name: str, value: str, also: Collection[str] = ()) -> str:
    """Return the value of a header or parameter as it may be shown; ``also`` holds more secret names, in lower case."""
    return MASK if SECRET_NAME.search(name) or name.lower() in also else value


def masked_query(query: str, also: Collection[str] = ()) -> str:
    """Return a query as it may be shown."""
    return _PARAMETER.sub(lambda pair: f"{pair[1]}={masked(pair[1], pair[2], also)}", query)


def masked_head(fields: Iterable[tuple[str, str]], also: Collection[str] = ()) -> list[tuple[str, str]]:
    """Return header fields as they may be shown."""
    return [(name, masked(name, value, also)) for name, value in fields]


def note_signatures(credential: Credential[Any], names: set[str]) -> None:
    """Have a credential note the headers and query parameters that it writes: secrets, whatever their names.

    The instance stays changed, so it must not be live anywhere else.
    """
    sign = credential.sign

    async def noting(exchange: Exchange, outbound: Outbound) -> None:
        before = {*outbound.headers.items(), *_pairs(outbound.query)}
        try:
            result = sign(exchange, outbound)
            if isawaitable(result):
                await result
        finally:
            after = {*outbound.headers.items(), *_pairs(outbound.query)}
            names.update(name.lower() for name, _ in after - before)

    credential.sign = noting  # type: ignore[method-assign]


def _pairs(query: str) -> list[tuple[str, str]]:
    return [(pair[1], pair[2]) for pair in _PARAMETER.finditer(query)]
