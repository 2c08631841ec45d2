"""The digest of a body: ``Digest`` (RFC 3230, as draft-cavage has it) and ``Content-Digest`` (RFC 9530)."""

import base64
import binascii
import hashlib
import hmac
from typing import Any, Literal

import http_sf

from hookgate import Headers

DigestAlgorithm = Literal["sha-256", "sha-512"]
_HASHES = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}
_MOST = 2048
"""Characters of a digest header."""


def digest_value(name: str, algorithm: DigestAlgorithm, body: bytes) -> str:
    """Return the value of the header of that name: ``digest`` or ``content-digest``."""
    told = base64.b64encode(_HASHES[algorithm](body).digest()).decode("ascii")
    return f"{algorithm}=:{told}:" if name == "content-digest" else f"{algorithm.upper()}={told}"


def holds(name: str, headers: Headers, body: bytes) -> bool:
    """Tell whether a digest header speaks of this body.

    Algorithms that are not SHA-256 or SHA-512 are passed over. Of those two at least one must be there, and all that
    are there must be right.
    """
    value = ", ".join(headers.getall(name))
    if len(value) > _MOST:
        return False
    try:
        given = _content_digests(value) if name == "content-digest" else _digests(value)
    except ValueError:
        return False
    known = [(_HASHES[algorithm](body).digest(), told) for algorithm, told in given if algorithm in _HASHES]
    return bool(known) and all(hmac.compare_digest(*pair) for pair in known)


def _digests(value: str) -> list[tuple[str, bytes]]:
    found = []
    for part in value.split(","):
        algorithm, equals, told = part.strip(" \t").partition("=")
        if not equals:
            raise ValueError("no value")
        if (name := algorithm.lower()) in _HASHES:  # names have no case in RFC 3230
            try:
                found.append((name, base64.b64decode(told, validate=True)))
            except binascii.Error as error:
                raise ValueError("not Base64") from error
    return found


def _content_digests(value: str) -> list[tuple[str, bytes]]:
    def twice(key: str, kind: str) -> None:
        raise ValueError(f"{key} twice")

    try:
        given: Any = http_sf.parse(value.encode("ascii"), tltype="dictionary", on_duplicate_key=twice)
    except http_sf.StructuredFieldError as error:
        raise ValueError("not a dictionary") from error
    found = []
    for algorithm, member in given.items():
        told = member[0]
        if not isinstance(told, bytes):
            raise ValueError(f"{algorithm} is not a byte sequence")  # noqa: TRY004 - of the message, not of the code
        found.append((algorithm, told))
    return found
