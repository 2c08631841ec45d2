"""Change the document of a running gateway over HTTP."""

from __future__ import annotations

from typing import Any

__all__ = [
    "ADMIN",
    "AFTER",
    "ASKS",
    "CHANGES",
    "IF_MATCH",
    "LIMIT",
    "READ",
    "READS",
    "WRITES",
    "AddPages",
    "ApiClient",
    "Body",
    "Caller",
    "Calls",
    "Changer",
    "ManagementOption",
    "Operation",
    "Operations",
    "Parameter",
    "Refusal",
    "TokenOption",
    "a_text",
    "after",
    "as_json",
    "asked",
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
    "write_csv",
]
"""What stands in :mod:`hookgate_management.pages`, for distributions that add pages of their own, and what commands
need that ask a running gateway."""
_FOR_COMMANDS = {"ApiClient": "Client", "ManagementOption": "", "TokenOption": "", "asked": ""}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _FOR_COMMANDS:
        from hookgate_management import commands

        return getattr(commands, _FOR_COMMANDS[name] or name)
    if name == "write_csv":
        from hookgate_management.spreadsheets import write_csv

        return write_csv
    from hookgate_management import pages  # what the command line does not need takes a second to import

    return getattr(pages, name)
