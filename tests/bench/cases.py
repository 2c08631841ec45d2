"""What is measured: the kinds of load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .managed import ORIGIN, TOKEN


@dataclass(frozen=True)
class Case:
    """One kind of load. All but `slow-readers` and `routes` are the same calls over and over on kept connections."""

    name: str
    what: str
    path: str = "/1k"
    connections: int = 64
    """How many clients call at once; each sends its next request when the last answer is complete."""
    upload: int = 0
    """Bytes of the body of each request; 0 for GET."""
    download: int = 1024
    """Bytes of the body of each answer; -1 where they differ."""
    tls: bool = False
    """Whether clients come by TLS. The backend never does."""
    kind: Literal["load", "slow readers", "routes", "managed"] = "load"
    """`managed` has contenders of its own, which do more than to pass calls on."""
    headers: tuple[tuple[str, str], ...] = ()
    """What each request carries."""


MIB = 2**20
CASES = (
    Case("1k", "1 KiB, 64 connections"),
    Case("1k-1000", "1 KiB, 1,000 connections", connections=1000),
    Case("down-1m", "downloads of 1 MiB, 64 connections", path="/1m", download=MIB),
    Case("up-1m", "uploads of 1 MiB, 64 connections", path="/upload", upload=MIB, download=-1),
    Case("tls-1k", "1 KiB by TLS, 64 connections", tls=True),
    Case(
        "slow-readers-100m",
        "downloads of 100 MiB by 8 clients that read 1 MiB/s each",
        path="/100m",
        connections=8,
        download=100 * MIB,
        kind="slow readers",
    ),
    Case(
        "managed",
        "CORS, a token, a subscription, limits, headers, a log and numbers; 1 KiB, 64 connections",
        kind="managed",
        headers=(("Authorization", f"Bearer {TOKEN}"), ("Origin", ORIGIN)),
    ),
    Case("routes", "hookgate alone, 1 KiB, 64 connections, a random one of so many routes", kind="routes"),
)
