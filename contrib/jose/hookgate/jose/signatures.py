"""Whether the signature of a token is right (RFC 7515, RFC 8725)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key

from hookgate.jose.claims import BadToken
from hookgate.jose.keys import Registry

MALFORMED = "The token is malformed."
UNSIGNED = "The signature of the token is not right."
_WRONG = (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
"""What joserfc raises for a token that is none."""

Find = Callable[[str | None, str], Awaitable[Sequence[Key]]]
"""Takes the ``kid`` of a token, if it has one, and its algorithm, and returns the keys it may have been signed with."""


class Signed(NamedTuple):
    """A token whose signature is right."""

    header: Mapping[str, Any]
    payload: bytes


async def signed(token: str, registry: Registry, find: Find, type: str | None = None) -> Signed:  # noqa: A002
    """Return a token whose signature is right. The header of a token chooses among the algorithms of the registry and
    among keys that fit it, and nothing else. ``type`` is what ``typ`` has to be, in any case.

    Raises:
        BadToken: it is malformed, of another type, or not signed by such a key.
    """
    if not token.isascii():
        raise BadToken(MALFORMED)
    try:
        signature = jws.extract_compact(token.encode("ascii"), None, registry)
        header = signature.headers()
        registry.check_header(header)
        algorithm: str = registry.get_alg(header["alg"]).name
    except _WRONG as error:
        wrong = "The algorithm of the token is not allowed." if _is_algorithm(error) else MALFORMED
        raise BadToken(wrong) from None
    if "crit" in header or header.get("b64") is False:
        raise BadToken("The token needs an extension that is not known here.")
    if type is not None and _type(header.get("typ")) != _type(type):
        raise BadToken("The token is of another type.")
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise BadToken(MALFORMED)
    keys = await find(kid, algorithm)
    if not any(_is_signed(signature, key, registry) for key in keys):
        raise BadToken(UNSIGNED)
    return Signed(header, signature.payload)


def _is_signed(signature: jws.CompactSignature, key: Key, registry: Registry) -> bool:
    try:
        return jws.validate_compact(signature, key, registry=registry)
    except _WRONG:
        return False


def _is_algorithm(error: Exception) -> bool:
    return getattr(error, "error", "") == "unsupported_algorithm"


def _type(value: Any) -> str:
    """Bring a `typ` to the form in which two of them are compared (RFC 7515, 4.1.9)."""
    return value.lower().removeprefix("application/") if isinstance(value, str) else ""
