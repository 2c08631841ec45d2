"""Whose a name is: ``orders@acme.example`` is of the tenant ``acme.example``, be it a user, a role or an object."""

from __future__ import annotations

import re
from collections.abc import Collection

NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
LONGEST = 100
NOBODY = "?"
"""Whose a name is that says several tenants; no tenant is called so."""


def tenant_of(name: str, tenants: Collection[str]) -> str:
    """Return the tenant whose a name is; nothing for what is of no tenant. A name may have several words, such as those
    of an API with its version.
    """
    said = {word.rpartition("@")[2].casefold() for word in name.split(" ") if "@" in word}
    found = [each for each in said if each in tenants]
    return "" if not found else found[0] if len(found) == 1 else NOBODY


def covers(domain: str, host: str) -> bool:
    """Whether a domain, or ``*.domain``, has a host, which may be a pattern itself."""
    if domain.startswith("*."):
        return host.removeprefix("*").endswith(domain[1:]) and host != domain[2:]
    return host == domain


def bare(host: str) -> str:
    """Return a host without case, port, and the dot of the root."""
    name, colon, port = host.casefold().rpartition(":")
    return (name if colon and port.isdigit() else host.casefold()).rstrip(".")
