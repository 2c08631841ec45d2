"""A login, which ID tokens come of (OpenID Connect Core 1.0)."""

from __future__ import annotations

from typing import NamedTuple


class Login(NamedTuple):
    """Somebody has logged in on a page of this server."""

    at: float
    """When, in Unix time."""
    nonce: str = ""
    """What the client wants to find in the ID token."""
