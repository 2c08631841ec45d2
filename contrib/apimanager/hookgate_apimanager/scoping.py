"""Which scopes the APIs ask for: those of the steps `oauth` in their flows, wherever these stand."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from hookgate import Host

STEP = "oauth"
OPTION = "scopes"


def scopes_of(host: Host, apis: Collection[str]) -> frozenset[str]:
    """Return the scopes that calls of these APIs are asked for."""
    try:
        section: Any = host.section("apis")
    except LookupError:
        return frozenset()
    return frozenset(scope for item in section.items if item.name in apis for scope in _in(item.record))


def _in(written: Any) -> Iterator[str]:
    """Walk over what is written of an API: flows are lists of entries, and steps may have flows."""
    if isinstance(written, BaseModel):
        for _, each in written:
            yield from _in(each)
    elif isinstance(written, Mapping):
        for key, each in written.items():
            yield from _asked(each) if key == STEP else _in(each)
    elif isinstance(written, list | tuple):
        for each in written:
            yield from _in(each)


def _asked(options: Any) -> Iterator[str]:
    """Walk over what the step is told: scopes of its own, and of operations."""
    if isinstance(options, Mapping):
        for key, each in options.items():
            if key != OPTION:
                yield from _asked(each)
            else:
                yield from each.split() if isinstance(each, str) else map(str, each or ())
