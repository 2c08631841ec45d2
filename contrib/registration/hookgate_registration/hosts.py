"""Hosts as they register themselves, and as they are kept."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from hookgate import Options, Target

STATE = "registration"
"""The name that hosts are kept under."""
_URL = re.compile(
    r"(https?)://([a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?/?", re.IGNORECASE
)
_PORTS = {"http": 80, "https": 443}


def parts_of(endpoint: str) -> tuple[str, str, int]:
    """Take an endpoint apart: scheme, host without brackets, port.

    Raises:
        ValueError: it is none.
    """
    match = _URL.fullmatch(endpoint)
    if match is None:
        raise ValueError("an endpoint is http://host or https://host, with a port if need be and without a path")
    scheme = match[1].lower()
    port = int(match[3]) if match[3] else _PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no port")
    return scheme, match[2].lower().strip("[]"), port


def _endpoint(written: str) -> str:
    scheme, host, port = parts_of(written)
    literal = f"[{host}]" if ":" in host else host
    return f"{scheme}://{literal}" + ("" if port == _PORTS[scheme] else f":{port}")


Endpoint = Annotated[str, Field(max_length=300), AfterValidator(_endpoint)]


class Leaving(Options):
    """What a host says that leaves."""

    endpoint: Endpoint
    """Where it has been called."""


class Coming(Leaving):
    """What a host says that comes, or is still there."""

    active: bool = Field(default=True, strict=True)
    """An inactive host gets no calls."""
    weight: int = Field(default=1, ge=0, le=1000, strict=True)
    """Share of the calls; 0 gets none."""


def group(connection: str) -> str:
    """Return what the keys of the hosts of a connection begin with; a name may be longer than a key."""
    return hashlib.sha256(connection.encode()).hexdigest()[:32] + "/"


def id_of(endpoint: str) -> str:
    """Return the id of a host: the same for the same endpoint."""
    return hashlib.sha256(endpoint.encode()).hexdigest()[:16]


def target_of(kept: Any) -> Target:
    """Make a target of what is kept of a host."""
    scheme, host, port = parts_of(kept["endpoint"])
    return Target(scheme, host, port, weight=kept["weight"], active=kept["active"])
