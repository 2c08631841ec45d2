"""What a token says, and whether that is good here (RFC 7519, section 4.1; RFC 8725)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hookgate.workshop import texts_of


class BadToken(Exception):
    """The token is not good here. The message is for the client: fixed words, nothing of the token."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say. Times in seconds."""

    issuer: str | None = None
    audience: frozenset[str] = frozenset()
    required: tuple[str, ...] = ()
    leeway: float = 60.0


def parsed(payload: bytes) -> dict[str, Any]:
    """Read the claims.

    Raises:
        BadToken: they are not a JSON object, or a name stands there twice.
    """
    try:
        value = json.loads(payload, object_pairs_hook=_once, parse_constant=_refused)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadToken("The token is malformed.")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # which one counts would be a matter of opinion (RFC 7519, 4)
        raise ValueError("a name occurs twice")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def check(claims: Mapping[str, Any], expected: Expected, now: float) -> None:
    """Check the registered claims against what is expected; `now` is Unix time in seconds.

    Raises:
        BadToken: one is missing, malformed, or says that the token is not for here and now.
    """
    for name in expected.required:
        if claims.get(name) in (None, "", []):
            raise BadToken(f"The token has no {name}.")
    expires, begins, issued = (_moment(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is not None and now >= expires + expected.leeway:
        raise BadToken("The token has expired.")
    if begins is not None and now < begins - expected.leeway:
        raise BadToken("The token is not valid yet.")
    if issued is not None and now < issued - expected.leeway:
        raise BadToken("The token was issued in the future.")
    if expected.issuer is not None and claims.get("iss") != expected.issuer:
        raise BadToken("The token is of another issuer.")
    if expected.audience and not expected.audience & set(texts_of(claims.get("aud"))):
        raise BadToken("The token is for another service.")
    if claims.get("cnf") is not None:
        raise BadToken("The token is bound to a key, and possession of keys is not checked here.")


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise BadToken(f"The {name} of the token is not a time.")
    return float(value)


def claim(claims: Mapping[str, Any], path: str) -> Any:
    """Return the claim of a name, or what is found by the names between dots: `realm_access.roles`."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value
