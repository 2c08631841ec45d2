"""What both steps do with a token: the key manager is asked, and what it says becomes who calls."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from hookgate import Fault, Host, Identity
from hookgate.workshop import CannotTell
from hookgate_keymanager.section import KeyManagement

LIFECYCLE = "lifecycle"
"""Where the state of an API stands that is called without a token, since it is a prototype (KC-13)."""
LONGEST = 8192
"""Characters of a token that anybody is asked about."""


async def asked(host: Host, token: str) -> Mapping[str, Any] | None:
    """Return what a token says, or ``None`` for one that is none.

    Raises:
        CannotTell: the key manager cannot be asked.
    """
    if len(token) > LONGEST or not token.isascii():
        return None
    management = host.section("keymanager", KeyManagement)
    try:
        return await management.said(_mark_of(token), token)
    except Fault:
        raise
    except Exception as error:
        host.log.warning("the key manager cannot be asked: %s", error)
        raise CannotTell("Nobody can tell now whether the token is good.") from error


def known(host: Host, token: str) -> Mapping[str, Any] | None:
    """Return what a good token says, if that is remembered: nobody waits for it."""
    if len(token) > LONGEST or not token.isascii():
        return None
    return host.section("keymanager", KeyManagement).known(_mark_of(token))


def _mark_of(token: str) -> str:
    return sha256(token.encode()).hexdigest()


def identity_of(said: Mapping[str, Any], method: str) -> Identity:
    """Return who calls."""
    claims = {name: value for name, value in said.items() if name not in ("roles", "family", "application")}
    return Identity(str(said["sub"]), method, tuple(said.get("roles") or ()), claims, said.get("application"))
