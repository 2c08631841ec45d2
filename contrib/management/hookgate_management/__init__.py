"""Change the document of a running gateway over HTTP."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ADMIN",
    "ASKS",
    "CHANGES",
    "IF_MATCH",
    "LIMIT",
    "READ",
    "READS",
    "WRITES",
    "AddPages",
    "Caller",
    "Calls",
    "Changer",
    "Operation",
    "Operations",
    "Parameter",
    "Refusal",
    "a_text",
    "as_json",
    "current",
    "expected",
    "flag",
    "members",
    "number",
    "pointer",
    "sees",
]
"""What stands in :mod:`hookgate_management.pages`, for distributions that add pages of their own."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from hookgate_management import pages  # what the command line does not need takes a second to import

    return getattr(pages, name)
