"""Who a client is by its certificate, in the words that plugins and backends use."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from ipaddress import ip_address
from typing import Any

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""The short names of RFC 4514; other attributes keep the name that OpenSSL has for them, or their number."""
_KINDS = {"IP Address": "ip", "Registered ID": "oid", "DirName": "directory"}
_SPECIAL = {each: f"\\{each}" for each in '"+,;<>\\'} | {chr(code): f"\\{code:02x}" for code in (*range(32), 127)}

Name = Iterable[Iterable[tuple[str, str]]]
"""A distinguished name as the module `ssl` gives it: its parts, each of one or several attributes."""


@dataclass(frozen=True)
class ClientCertificate:
    """A certificate that the client proved to have the key of, and that an authority of the listener has signed."""

    subject: str
    """Who the client is, as RFC 4514 writes names: ``CN=orders,O=Example``."""
    issuer: str
    """Who says so, written likewise."""
    serial: str
    """Its number at the issuer, in upper case hexadecimal."""
    names: tuple[tuple[str, str], ...]
    """The subject's alternative names, each with its kind: `dns`, `email`, `uri`, `ip`, `directory`, `oid`."""
    not_before: datetime
    """When it begins to hold."""
    not_after: datetime
    """When it ends to hold."""
    der: bytes = field(repr=False)
    """The certificate itself."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the certificate, 64 digits of lower case hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @cached_property
    def pem(self) -> str:
        """The certificate as text, several lines."""
        return ssl.DER_cert_to_PEM_cert(self.der)

    @classmethod
    def of(cls, der: bytes, decoded: Mapping[str, Any]) -> ClientCertificate:
        """Put a certificate into words; ``decoded`` is what ``getpeercert()`` says of it."""
        return cls(
            subject=_distinguished(decoded["subject"]),
            issuer=_distinguished(decoded["issuer"]),
            serial=decoded["serialNumber"],
            names=tuple(_names(decoded.get("subjectAltName", ()))),
            not_before=_when(decoded["notBefore"]),
            not_after=_when(decoded["notAfter"]),
            der=der,
        )


def _distinguished(name: Name) -> str:
    """Write a name: its last part comes first (RFC 4514, 2.1)."""
    parts = ["+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in part) for part in name]
    return ",".join(reversed(parts))


def _escaped(value: str) -> str:
    """Escape a value (RFC 4514, 2.4), control characters too: what a client chose must not end a line of a header."""
    text = "".join(_SPECIAL.get(each, each) for each in value)
    if value.startswith((" ", "#")):
        text = f"\\{text}"
    if value.endswith(" ") and len(value) > 1:
        text = f"{text[:-1]}\\ "
    return text


def _names(found: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, str]]:
    for kind, value in found:
        if kind == "othername":  # OpenSSL does not say what it holds
            continue
        if kind == "DirName":
            value = _distinguished(value)  # noqa: PLW2901
        elif kind == "IP Address":
            with suppress(ValueError):
                value = str(ip_address(value.strip()))  # noqa: PLW2901 - one spelling for each address
        yield _KINDS.get(kind, kind.lower()), value


def _when(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)
