"""The mathematics of Digest: hashes of names, passwords, requests and bodies (RFC 7616, 3.4).

Everything is bytes here, since what is hashed is what goes over the wire: names and passwords in UTF-8, the rest as it
stood in the header.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}


class Algorithm(NamedTuple):
    """One value of the parameter ``algorithm``."""

    name: str
    """As the registry writes it: ``SHA-256-sess``."""
    base: str
    """The hash behind it: ``SHA-256``."""
    session: bool
    """The password is hashed together with the first nonces (``-sess``)."""

    def hash(self, *parts: bytes) -> bytes:
        """Return the hash over the parts with colons between them, in lower case hexadecimal."""
        return hashlib.new(_HASHES[self.base], b":".join(parts), usedforsecurity=False).hexdigest().encode()


def _known() -> dict[str, Algorithm]:
    """Every algorithm by its name in lower case; SHA-512/256 only where this Python has it."""
    found: dict[str, Algorithm] = {}
    for base, hashed in _HASHES.items():
        if hashed not in hashlib.algorithms_available:
            continue
        for name in (base, f"{base}-sess"):
            found[name.lower()] = Algorithm(name, base, name != base)
    return found


ALGORITHMS = _known()
"""By name in lower case, since it is compared without case."""


def user_hash(algorithm: Algorithm, user: bytes, realm: bytes) -> bytes:
    """Return what stands for a name that shall not be seen (RFC 7616, 3.4.4)."""
    return algorithm.hash(user, realm)


def ha1_of(algorithm: Algorithm, user: bytes, realm: bytes, password: bytes) -> bytes:
    """Return the hash that stands for a password; it is as good as the password itself within the realm."""
    return algorithm.hash(user, realm, password)


def response_of(
    algorithm: Algorithm,
    ha1: bytes,
    *,
    method: bytes,
    uri: bytes,
    nonce: bytes,
    qop: bytes = b"",
    count: bytes = b"",
    cnonce: bytes = b"",
    body: bytes = b"",
) -> bytes:
    """Return the parameter ``response``: the proof of knowing the password for one request (RFC 7616, 3.4.1).

    ``count`` is the eight digits of ``nc``; ``body`` counts with the ``qop`` ``auth-int`` only; without a ``qop`` it is
    the old way of RFC 2069.
    """
    if algorithm.session:
        ha1 = algorithm.hash(ha1, nonce, cnonce)
    request = (method, uri, algorithm.hash(body)) if qop == b"auth-int" else (method, uri)
    ha2 = algorithm.hash(*request)
    if not qop:
        return algorithm.hash(ha1, nonce, ha2)
    return algorithm.hash(ha1, nonce, count, cnonce, qop, ha2)
