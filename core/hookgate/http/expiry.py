"""When certificates expire: read from the certificate itself, remembered, and warned of in time."""

from __future__ import annotations

import hashlib
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

log = logging.getLogger("hookgate.tls")

SOON = 14 * 86400.0
"""Seconds before its end from which on a certificate is warned of."""
MOST = 1000
"""Peers that are remembered."""
_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"


class _Shown(NamedTuple):
    """What somebody has shown last."""

    digest: bytes
    not_after: int | None


class Expiry:
    """What certificates were seen with one connection, and until when they hold. Each is warned of once."""

    def __init__(self, name: str, wall: Callable[[], float] = time.time) -> None:
        self._name = name
        self._wall = wall
        self._seen: dict[str, _Shown] = {}
        self._warned: set[tuple[str, bytes]] = set()

    def note(self, whose: str, der: bytes | None) -> None:
        """Somebody shows a certificate, at the beginning of a connection; ``whose`` is an origin, or ``client``."""
        if not der:
            return
        digest = hashlib.sha256(der).digest()
        shown = self._seen.pop(whose, None)
        if shown is None or shown.digest != digest:
            shown = _Shown(digest, not_after(der))
        self._seen[whose] = shown  # at the end, so that those long not seen stand first
        while len(self._seen) > MOST:
            del self._seen[next(iter(self._seen))]
        if shown.not_after is not None and shown.not_after - self._wall() < SOON:
            self._warn(whose, digest, shown.not_after)

    def _warn(self, whose: str, digest: bytes, until: int) -> None:
        if (whose, digest) in self._warned:
            return
        if len(self._warned) >= MOST:
            self._warned.clear()
        self._warned.add((whose, digest))
        left = until - self._wall()
        when = f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M} UTC"
        what = "client certificate" if whose == "client" else f"certificate of {whose}"
        if left < 0:
            log.warning("connection %s: the %s expired on %s", self._name, what, when)
        else:
            log.warning("connection %s: the %s expires on %s, in %d days", self._name, what, when, left // 86400)

    def forget(self, whose: str) -> None:
        """Somebody shows none any more."""
        self._seen.pop(whose, None)

    def known(self) -> Mapping[str, int | None]:
        """Return until when what was shown last holds, in Unix time, by who showed it."""
        return {whose: shown.not_after for whose, shown in self._seen.items()}


def der_of(pem: str) -> bytes | None:
    """Return the first certificate in a text, or ``None`` where there is none."""
    begin = pem.find(_BEGIN)
    end = pem.find(_END, begin)
    if begin < 0 or end < 0:
        return None
    try:
        return ssl.PEM_cert_to_DER_cert(pem[begin : end + len(_END)])
    except ValueError:
        return None


def not_after(der: bytes) -> int | None:
    """Read when a certificate ends to hold (RFC 5280, 4.1.2.5), in Unix time; ``None`` if it cannot be read.

    Python tells this only of certificates that it has verified, and of none that is ours.
    """
    try:
        _, _, (place, _) = _element(der, 0)  # Certificate
        _, _, (place, _) = _element(der, place)  # TBSCertificate
        tag, after, _ = _element(der, place)
        if tag == 0xA0:  # the version, which the first version of all leaves out
            place = after
        for _ in range(3):  # serialNumber, signature, issuer
            _, place, _ = _element(der, place)
        _, _, (place, _) = _element(der, place)  # Validity
        _, place, _ = _element(der, place)  # notBefore
        tag, _, (first, last) = _element(der, place)
        text = der[first:last].decode("ascii")
        if tag == 0x17:  # UTCTime: two digits of the year, of 1950 to 2049
            text = ("19" if text[:2] >= "50" else "20") + text
        return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())
    except (IndexError, ValueError):
        return None


def _element(der: bytes, place: int) -> tuple[int, int, tuple[int, int]]:
    """Return tag, place of what follows, and where the content is (X.690, 8.1)."""
    tag, length = der[place], der[place + 1]
    start = place + 2
    if length >= 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 4:
            raise ValueError("a length that no certificate has")
        length = int.from_bytes(der[start : start + octets])
        start += octets
    if start + length > len(der):
        raise ValueError("it ends too early")
    return tag, start + length, (start, start + length)
