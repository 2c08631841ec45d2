"""TLS of a listener, as it stands in a document, and whether the files that it names can be used.

The records say nothing about files: a document may be read where its certificates are not. :func:`check` looks at the
files when a gateway loads. Messages name files and never show what a key or a password is.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Field

from hookgate.contract.plugin import Options
from hookgate.contract.secret import Secret
from hookgate.exchange.errors import Problem, outside
from hookgate.http.authority import host_name
from hookgate.http.tls import ciphers_known, openssl_reason

log = logging.getLogger("hookgate.tls")

MODERN = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Cipher suites of TLS 1.2 that have forward secrecy and authenticate what they encrypt; HTTP/2 allows no others."""

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name."""


def _host(value: str) -> str:
    wild = "*." if value.startswith("*.") else ""
    return wild + host_name(value.removeprefix(wild))


class CertificateSection(Options):
    """A certificate of a listener and its key. Both files are read again when they change."""

    certificate: Path
    """File with the certificate and those of the intermediate authorities after it, in PEM."""
    key: Path
    """File with the private key, in PEM."""
    password: Secret | None = None
    """Opens the key if that is encrypted."""
    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = ()
    """Hosts to use it for, such as `www.example.org` or `*.example.org`; those it was made out for if left out."""


class ClientCertificatesSection(Options):
    """Certificates that clients show."""

    authorities: Path
    """File with the certificates of the authorities whose clients are known, in PEM."""
    mode: Literal["optional", "required"] = "required"
    """Whether a client without one is let in. One that is not right is refused in both."""


class TlsSection(Options):
    """TLS on a listener."""

    certificates: tuple[CertificateSection, ...] = Field(min_length=1)
    """The first that fits the host a client asks for is used; for any other host, or none, the first of all."""
    minimum: Literal["1.2", "1.3"] = "1.2"
    """Oldest version of TLS that is spoken."""
    ciphers: Annotated[str | None, AfterValidator(ciphers_known)] = None
    """Cipher suites of TLS 1.2 as OpenSSL writes them; if left out, those with ECDHE and AES-GCM or ChaCha20."""
    client_certificates: ClientCertificatesSection | None = None
    """Ask clients for certificates."""
    alpn: tuple[Literal["h2", "http/1.1"], ...] = ("h2", "http/1.1")
    """Protocols that are offered, the preferred one first; HTTP/1.1 is spoken with a client that names none of them."""

    def files(self) -> Iterator[Path]:
        """Every file that the section names."""
        for each in self.certificates:
            yield from (each.certificate, each.key)
        if self.client_certificates is not None:
            yield self.client_certificates.authorities


def check(section: TlsSection) -> list[Problem]:
    """Return what is wrong with the files, with places relative to the section; log which certificates have expired."""
    problems: list[Problem] = []
    for index, each in enumerate(section.certificates):
        try:
            found = facts(each)
        except ValueError as error:
            problems.append(Problem(("certificates", index), str(error), outside=outside(error)))
            continue
        if index and not (each.hosts or found.hosts):  # the first is used for hosts that nothing fits, too
            text = f"{each.certificate} is made out for no host name, so it would never be used; write hosts"
            problems.append(Problem(("certificates", index), text))
        if found.not_after < time.time():
            log.warning("%s expired on %s", each.certificate, datetime.fromtimestamp(found.not_after, UTC))
    if section.client_certificates is not None:
        try:
            load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), section.client_certificates)
        except ValueError as error:
            problems.append(Problem(("client_certificates", "authorities"), str(error), outside=outside(error)))
    return problems


def load_certificate(context: ssl.SSLContext, section: CertificateSection) -> None:
    """Have a context use a certificate and its key.

    Raises:
        ValueError: a file cannot be read, is none such, or the two do not belong together; the text says what to do.
    """
    asked = False

    def password() -> str:  # without this function OpenSSL would ask at the terminal
        nonlocal asked
        asked = True
        return section.password.reveal() if section.password is not None else ""

    certificate, key = section.certificate, section.key
    _hold(certificate, b"CERTIFICATE-----", "a certificate")
    _hold(key, b"PRIVATE KEY-----", "a private key")
    try:
        context.load_cert_chain(certificate, key, password)
    except (OSError, ValueError) as error:  # an SSLError is an OSError; a password can be too long, a ValueError
        if "MISMATCH" in (getattr(error, "reason", None) or ""):
            text = f"{key} is not the key of {certificate}, whose first certificate should be that of this server"
        elif asked and section.password is None:
            text = f"{key} is encrypted; write its password, such as password: ${{env:TLS_KEY_PASSWORD}}"
        elif asked:
            text = f"the password does not open {key}"
        else:
            text = f"OpenSSL cannot use {certificate} with {key}: {openssl_reason(error)}"
        raise ValueError(text) from None


def load_authorities(context: ssl.SSLContext, section: ClientCertificatesSection) -> None:
    """Have a context trust what authorities sign. Each counts by itself, without those above it.

    Raises:
        ValueError: the file cannot be read or holds no certificate of an authority; the text says what to do.
    """
    _hold(section.authorities, b"CERTIFICATE-----", "a certificate")
    try:
        context.load_verify_locations(section.authorities)
    except OSError as error:
        raise ValueError(f"OpenSSL cannot use {section.authorities}: {openssl_reason(error)}") from None
    if not context.cert_store_stats()["x509_ca"]:
        raise ValueError(
            f"{section.authorities} holds no certificate of an authority: its basicConstraints say CA:FALSE"
        )
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN


class Facts(NamedTuple):
    """What a certificate says of itself."""

    hosts: tuple[str, ...]
    """Host names it is made out for, in lower case; some are of the kind `*.example.org`."""
    not_after: int
    """When it expires, in seconds since 1970."""


def facts(section: CertificateSection) -> Facts:
    """Read what a certificate says.

    Python reads a certificate only once a peer has shown it. So both sides of a handshake are made here, in memory;
    that also finds certificates that every client would refuse.

    Raises:
        ValueError: as :func:`load_certificate`, or no client would take the certificate as that of a server.
    """
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_certificate(ours, section)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.check_hostname = False
    theirs.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME  # trust it whoever signed it
    try:
        theirs.load_verify_locations(section.certificate)
        shown = _shown(ours, theirs)
    except OSError as error:
        raise ValueError(
            f"clients would refuse {section.certificate} as that of a server: {openssl_reason(error)}"
        ) from None
    hosts = tuple(name.lower() for kind, name in shown.get("subjectAltName", ()) if kind == "DNS")
    return Facts(hosts, ssl.cert_time_to_seconds(shown["notAfter"]))


def _shown(ours: ssl.SSLContext, theirs: ssl.SSLContext) -> dict[str, Any]:
    """Shake hands with ourselves and return what the client is shown."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ours.wrap_bio(to_server, to_client, server_side=True)
    client = theirs.wrap_bio(to_client, to_server)
    for side in (client, server, client):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return client.getpeercert() or {}


def _hold(path: Path, mark: bytes, what: str) -> None:
    """Make sure that a file can be read and looks right: OpenSSL does not say which of two files it means."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}, which should hold {what}: {error.strerror}") from None
    if mark not in text:
        raise ValueError(f"{path} does not hold {what} in PEM: there is no line ending in {mark.decode()}")
