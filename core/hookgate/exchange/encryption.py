"""What TLS has settled for a connection of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hookgate.exchange.certificate import ClientCertificate


class TlsFacts(NamedTuple):
    """The same for every call of a connection."""

    server_name: str | None = None
    """The host that the client has asked for (SNI), in lower case; ``None`` if it named none, and for an address."""
    version: str = ""
    """``TLSv1.3`` or ``TLSv1.2``."""
    cipher: str = ""
    """The cipher suite, as OpenSSL calls it: ``TLS_AES_256_GCM_SHA384``."""
    alpn: str | None = None
    """The protocol that was agreed on (RFC 7301): ``h2`` or ``http/1.1``; ``None`` if the client offered none."""
    certificate: ClientCertificate | None = None
    """The certificate that the client has shown; there only if an authority of the listener signed it."""
