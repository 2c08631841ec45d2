"""What other distributions need to add pages to the API, and how they are found.

A distribution names a function under the entry-point group ``hookgate.pages``. It is given the operations that it adds
to, what calls share, and the host::

    def reviews(api: Operations, calls: Calls, host: Host) -> None:
        @api.add(Operation("GET", "/reviews", "reviews", "List reviews", {200: "reviews"}, READS))
        async def listing() -> Response: ...

Its pages have the callers, the bounds, the audit and the description of ours. To people of tenants a page is closed
unless its operation says ``of_tenants``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from hookgate import Host
from hookgate_management.answers import as_json
from hookgate_management.asking import AFTER, Body, after, clean_name, invalid, listed, schema_of, sent_as
from hookgate_management.callers import ADMIN, READ, Caller, where
from hookgate_management.calls import Calls, a_text, expected, flag, members, number
from hookgate_management.changing import Changer
from hookgate_management.operations import (
    ASKS,
    CHANGES,
    IF_MATCH,
    LIMIT,
    READS,
    WRITES,
    Operation,
    Operations,
    Parameter,
)
from hookgate_management.problems import Refusal, pointer
from hookgate_management.tenancy import current, sees

GROUP = "hookgate.pages"
AddPages = Callable[[Operations, Calls, Host], None]

__all__ = [
    "ADMIN",
    "AFTER",
    "ASKS",
    "CHANGES",
    "GROUP",
    "IF_MATCH",
    "LIMIT",
    "READ",
    "READS",
    "WRITES",
    "AddPages",
    "Body",
    "Caller",
    "Calls",
    "Changer",
    "Operation",
    "Operations",
    "Parameter",
    "Refusal",
    "a_text",
    "added",
    "after",
    "as_json",
    "clean_name",
    "current",
    "expected",
    "flag",
    "invalid",
    "listed",
    "members",
    "number",
    "pointer",
    "schema_of",
    "sees",
    "sent_as",
    "where",
]


def added() -> list[AddPages]:
    """Return the functions that add pages, in the order of their names."""
    points: Any = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    return [point.load() for point in points]
