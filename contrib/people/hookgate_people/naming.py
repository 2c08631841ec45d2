"""What names and permissions may be."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from hookgate_storage import Refused, is_other_path

LONGEST = 100
ADMIN = "admin"
READ = "read"
FOLLOW = "follow"
"""What a node needs that follows the ledger by HTTP: everything that is stored, secrets too, and nothing else. Nothing
includes it, not even `admin`."""
PORTAL = (
    "comment",
    "discover",
    "feedback",
    "invoke",
    "lifecycle",
    "monetization",
    "products",
    "statistics",
    "subscribe",
    "subscriptions",
)
"""What people do with APIs that others offer, and with those that they offer: none of it shows the document (KC-11)."""
PERMISSION = re.compile(rf"admin|read|follow|{'|'.join(PORTAL)}|api_[a-z0-9][a-z0-9_.-]{{0,99}}")
ALSO_CALLED = {"api_api-connection": "api_connection"}
"""Names of permissions in the systems that people come from (AC-39)."""


def sees_the_document(held: Iterable[str]) -> bool:
    """Whether one of these permissions lets somebody read what is stored: all but those of the portal, and
    that of a node.
    """
    return any(each not in PORTAL and each != FOLLOW for each in held)


def checked(kind: str, name: str, without: str) -> str:
    """Return a name of a user or a role.

    Raises:
        Refused: it is none.
    """
    plain = name == unicodedata.normalize("NFC", name) and name.isprintable() and name == name.strip()
    if not name or len(name) > LONGEST or not plain or set(without) & set(name) or is_other_path(name):
        signs = " or ".join(without)
        what = f"1 to {LONGEST} printable characters, without {signs}, blanks around, or `..`"
        message = f"{name[:50]!r} is no name: {what}"
        raise Refused(kind, name[:50], message)
    return name


def permissions(kind: str, name: str, wanted: Iterable[str]) -> frozenset[str]:
    """Return permissions by the names that we know them by.

    Raises:
        Refused: one of them is none.
    """
    found = set()
    for each in wanted:
        if not PERMISSION.fullmatch(each):
            known = ", ".join((ADMIN, READ, FOLLOW, *PORTAL))
            raise Refused(kind, name, f"{each[:50]!r} is no permission: {known}, or api_ with a kind")
        found.add(ALSO_CALLED.get(each, each))
    return frozenset(found)
