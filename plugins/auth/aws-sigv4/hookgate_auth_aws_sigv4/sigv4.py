"""AWS Signature Version 4: the canonical request, the string to sign, and the signature."""

import hashlib
import hmac
import re
from collections.abc import Iterable
from urllib.parse import quote, unquote_to_bytes

from hookgate import Headers

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
_BLANKS = re.compile(r"[ \t]+")


def canonical_path(path: str, *, s3: bool) -> str:
    """Return the path as it is signed.

    S3 encodes each byte of the key once, whatever the wire has. Other services encode what is on the wire once more,
    without dot segments and empty ones.
    """
    if s3:
        return quote(unquote_to_bytes(path), safe="/~") or "/"
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    last = "/" if kept and path.endswith("/") else ""
    return quote("/" + "/".join(kept), safe="/~") + last


def canonical_query(query: str) -> str:
    """Return the query as it is signed: each name and value encoded in one way, sorted. A plus is a blank."""
    pairs = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part:
            pairs.append((_encoded(name), _encoded(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _encoded(text: str) -> str:
    return quote(unquote_to_bytes(text.replace("+", " ")), safe="~")


def canonical_request(
    method: str, path: str, query: str, headers: Headers, signed: Iterable[str], payload: str, *, s3: bool
) -> bytes:
    """Return the canonical request.

    Args:
        method: as on the wire.
        path: percent-encoded, as on the wire.
        query: without the question mark.
        headers: of the request; several lines of a name count as one.
        signed: names of signed headers, in lower case and sorted.
        payload: the SHA-256 of the body in hexadecimal, or ``UNSIGNED-PAYLOAD``.
        s3: whether the rules of S3 for paths hold.
    """
    names = list(signed)
    lines = [method, canonical_path(path, s3=s3), canonical_query(query)]
    for name in names:
        values = (_BLANKS.sub(" ", value.strip(" \t")) for value in headers.getall(name))
        lines.append(f"{name}:{','.join(values)}")
    lines += ["", ";".join(names), payload]
    return "\n".join(lines).encode("latin-1")


def string_to_sign(request: bytes, stamp: str, scope: str) -> bytes:
    """Return the text that is signed; ``stamp`` is ``YYYYMMDDThhmmssZ``."""
    return f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request).hexdigest()}".encode("ascii")


def signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    """Derive the key of one day (``YYYYMMDD``), region and service."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode("ascii"), "sha256")
    return key
