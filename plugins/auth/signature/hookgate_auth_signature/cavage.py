"""Draft-cavage-http-signatures-12: the signing string, and the header that carries a signature."""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from hookgate import Headers

MOST = 16 * 1024
"""Characters of a header with a signature that are looked at."""
MOST_NAMES = 64
"""Headers that one signature may cover."""
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+|\((?:request-target|created|expires)\)")
_PARAMETER = re.compile(r'[ \t]*([A-Za-z]{1,32})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\["\\])*)"|([0-9]{1,15}))[ \t]*(,|$)')
_ESCAPE = re.compile(r'\\(["\\])')
_QUOTED = frozenset({"keyId", "algorithm", "headers", "signature"})
_NUMBERS = frozenset({"created", "expires"})


class Malformed(ValueError):
    """A header that is not as the draft has it; the text is for the caller."""


class Missing(LookupError):
    """A header that the signature covers is not there; the argument is its name."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the header says of a signature."""

    key_id: str
    signature: bytes
    covered: tuple[str, ...]
    """Names in lower case, in the order of the signing string."""
    algorithm: str = ""
    created: int | None = None
    """Unix time, as is ``expires``."""
    expires: int | None = None


def covered_name(name: str) -> str:
    """Return the name of a covered header in lower case.

    Raises:
        ValueError: it is neither a header name nor ``(request-target)``, ``(created)`` or ``(expires)``.
    """
    if not _NAME.fullmatch(lower := name.lower()):
        raise ValueError(f"{name!r} is no header name, and not (request-target), (created) or (expires)")
    return lower


def parse(text: str) -> Parameters:
    """Read what stands behind the scheme: ``keyId="…",algorithm="…",headers="…",signature="…"``.

    Raises:
        Malformed: it is not of this form, a parameter stands twice, or one that must be there is missing.
    """
    if len(text) > MOST:
        raise Malformed(f"The signature header is longer than {MOST} characters.")
    found: dict[str, str] = {}
    place = 0
    while True:
        match = _PARAMETER.match(text, place)
        if match is None:
            raise Malformed('The signature header is not a list of name="value".')
        name, quoted, number, comma = match.groups()
        if name in found:
            raise Malformed(f"The signature header has {name} twice.")
        if name in (_QUOTED if quoted is None else _NUMBERS):
            kind = "a number" if quoted is None else "in quotation marks"
            raise Malformed(f"The signature header has {name} {kind}, which it is not in the draft.")
        found[name] = number if quoted is None else _ESCAPE.sub(r"\1", quoted)
        place = match.end()
        if not comma:
            break
    key_id, signature = found.get("keyId"), found.get("signature")
    if not key_id or not signature:
        raise Malformed("The signature header needs keyId and signature.")
    try:
        raw = base64.b64decode(signature, validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("The signature is not Base64.") from None
    created, expires = (int(found[name]) if name in found else None for name in ("created", "expires"))
    covered = found.get("headers", "date" if created is None else "(created)")
    return Parameters(key_id, raw, _names(covered), found.get("algorithm", ""), created, expires)


def _names(listed: str) -> tuple[str, ...]:
    names = tuple(listed.lower().split(" "))
    if len(names) > MOST_NAMES:
        raise Malformed(f"The signature covers more than {MOST_NAMES} headers.")
    if len(set(names)) != len(names):
        raise Malformed("The signature covers a header twice.")
    if not all(map(_NAME.fullmatch, names)):
        raise Malformed("The signature covers something that is no header name.")
    return names


def signing_string(
    covered: Sequence[str],
    *,
    method: str,
    target: str,
    headers: Headers,
    created: int | None = None,
    expires: int | None = None,
) -> bytes:
    """Return the text that is signed (AC-26): ``name: value`` for each name, joined by line feeds.

    Args:
        covered: names in lower case, in order.
        method: of the request, in any case.
        target: path and query of the request.
        headers: of the request; several lines of a name count as one, joined by ``, ``.
        created: Unix time of the signature, for ``(created)``.
        expires: Unix time at which it ends, for ``(expires)``.

    Raises:
        Missing: something covered is not there.
    """
    lines = []
    for name in covered:
        if name == "(request-target)":
            lines.append(f"{name}: {method.lower()} {target}")
            continue
        if name == "(created)":
            values = [] if created is None else [str(created)]
        elif name == "(expires)":
            values = [] if expires is None else [str(expires)]
        else:
            values = headers.getall(name)
        if not values:
            raise Missing(name)
        lines.append(f"{name}: {', '.join(value.strip() for value in values)}")
    return "\n".join(lines).encode("latin-1")


def header_value(parameters: Parameters, prefix: str = "Signature") -> str:
    """Write a header with a signature (AC-26); an empty prefix leaves the scheme out."""
    parts = [f'keyId="{parameters.key_id}"']
    if parameters.algorithm:
        parts.append(f'algorithm="{parameters.algorithm}"')
    if parameters.created is not None:
        parts.append(f"created={parameters.created}")
    if parameters.expires is not None:
        parts.append(f"expires={parameters.expires}")
    told = base64.b64encode(parameters.signature).decode("ascii")
    parts += [f'headers="{" ".join(parameters.covered)}"', f'signature="{told}"']
    return f"{prefix} {','.join(parts)}" if prefix else ",".join(parts)
