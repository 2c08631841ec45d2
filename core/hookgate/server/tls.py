"""TLS of a listener: which certificate a client gets, who the client is, and new certificates without a restart."""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hookgate.exchange.certificate import ClientCertificate
from hookgate.exchange.encryption import TlsFacts
from hookgate.exchange.errors import Problem
from hookgate.gateway.listenertls import MODERN, TlsSection, check, facts, load_authorities, load_certificate
from hookgate.http.tls import stamp_of

__all__ = ["ClientCertificate", "TlsContexts", "client_identity", "tls_facts"]

log = logging.getLogger("hookgate.tls")

_MINIMUM = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_MODE = {"optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class TlsContexts:
    """What a listener needs for TLS: give :attr:`context` to ``loop.create_server(ssl=…)`` and keep this object.

    Every new connection gets what is in force when it begins; those that are open keep what they began with.
    """

    def __init__(self, section: TlsSection) -> None:
        """Read the files.

        Raises:
            ValueError: they cannot be used; the text says what to do.
        """
        self._section = section
        self._stamps = _stamps(section)
        self._failing = False
        self._latest = _Latest(ssl.PROTOCOL_TLS_SERVER)
        self._latest.current = _first(section)

    @property
    def context(self) -> ssl.SSLContext:
        """The one context of the listener, for as long as it listens."""
        return self._latest

    @property
    def section(self) -> TlsSection:
        """What is in force."""
        return self._section

    def changed(self) -> bool:
        """Whether a file was changed or replaced since it was last read; costs one ``stat`` for each."""
        return _stamps(self._section) != self._stamps

    def reload(self, section: TlsSection | None = None) -> list[Problem]:
        """Read the files again, or those of another section, for connections to come.

        Return what is wrong, with places relative to the section: then everything stays as it was, and
        :meth:`changed` is false until a file changes again. It takes some milliseconds for each certificate, and may
        run in a thread.
        """
        section = section or self._section
        stamps = _stamps(section)  # before reading, so that what changes meanwhile is noticed
        problems = check(section)
        if not problems:
            try:
                until = [datetime.fromtimestamp(facts(each).not_after, UTC) for each in section.certificates]
                self._latest.current = _first(section)
            except ValueError as error:  # a file was changed just now
                problems = [Problem((), str(error))]
        if not problems:
            again = "again " if self._failing else ""
            for each, end in zip(section.certificates, until, strict=True):
                log.info("%s was read and is %sin force for new connections, until %s", each.certificate, again, end)
            self._section = section
        self._failing = bool(problems)
        if section is self._section:
            self._stamps = stamps
        for problem in problems:
            log.error("the certificates in use stay as they are: %s", problem)
        return problems


class _Latest(ssl.SSLContext):
    """A context that leaves each connection to the one in force.

    A server keeps the context it was opened with. Exchanging certificates inside of it would leave the tickets of
    sessions alone: a client known to an authority that is trusted no more could come back with one.
    """

    current: ssl.SSLContext

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        return self.current.wrap_bio(*args, **options)


class _Connection(ssl.SSLObject):
    """A connection that remembers which host its client has asked for."""

    server_name: str | None = None


def tls_facts(connection: ssl.SSLObject) -> TlsFacts:
    """Say what the handshake of a connection has settled, and who the client is; call it once a connection.

    Raises:
        ValueError: the certificate of the client cannot be read.
    """
    cipher = connection.cipher()
    return TlsFacts(
        getattr(connection, "server_name", None),
        connection.version() or "",
        cipher[0] if cipher is not None else "",
        connection.selected_alpn_protocol(),
        client_identity(connection),
    )


def client_identity(ssl_object: ssl.SSLObject | ssl.SSLSocket | None) -> ClientCertificate | None:
    """Say who the client of a connection is: ``transport.get_extra_info("ssl_object")`` after the handshake.

    ``None`` without TLS or without a certificate. It reads the certificate each time; call it once a connection.

    Raises:
        ValueError: the certificate holds something that cannot be read; do not take the client for a stranger.
    """
    der = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
    if ssl_object is None or der is None:
        return None
    try:
        decoded = ssl_object.getpeercert()
    except ssl.SSLError as error:
        raise ValueError("the certificate of the client cannot be read") from error
    return ClientCertificate.of(der, decoded) if decoded else None  # empty: nobody has verified it


def _first(section: TlsSection) -> ssl.SSLContext:
    """Return the context a connection begins with. It turns to another when the client has said what host it wants."""
    contexts: dict[str, ssl.SSLContext] = {}
    first: ssl.SSLContext | None = None
    for each in section.certificates:
        context = _context(section)
        load_certificate(context, each)
        first = first or context
        for name in each.hosts or facts(each).hosts:
            contexts.setdefault(name, context)
    assert first is not None

    def choose(connection: ssl.SSLObject, host: str | None, _: ssl.SSLContext) -> None:
        if host is not None:
            host = host.lower().removesuffix(".")
            if isinstance(connection, _Connection):
                connection.server_name = host
            found = contexts.get(host) or contexts.get("*." + host.partition(".")[2])
            if found is not None and found is not first:
                connection.context = found

    first.sni_callback = choose
    first.sslobject_class = _Connection
    return first


def _context(section: TlsSection) -> ssl.SSLContext:
    """Make a context without a certificate.

    All of one listener are alike but for that: a connection that turns to another one keeps the version, the cipher
    suites and the demand for a client's certificate of the one it began with.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _MINIMUM[section.minimum]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(section.ciphers or MODERN)
    if section.alpn:
        context.set_alpn_protocols(section.alpn)
    if section.client_certificates is not None:
        load_authorities(context, section.client_certificates)
        context.verify_mode = _MODE[section.client_certificates.mode]
    return context


def _stamps(section: TlsSection) -> dict[Path, object]:
    return {path: stamp_of(path) for path in section.files()}
