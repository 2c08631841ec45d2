"""What it means for a target that no connection to it came about, or seems not to have: for transports."""

from __future__ import annotations

import ssl

from hookgate.exchange.errors import ConnectFailed, Fault

_REFUSING = (
    *("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE", "DECRYPT_ERROR", "PROTOCOL_VERSION"),
    *("INSUFFICIENT_SECURITY", "EXTENSION", "UNRECOGNIZED_NAME", "PSK_IDENTITY", "APPLICATION_PROTOCOL"),
)


def refuses(error: BaseException | None) -> bool:
    """Whether what TLS ended by is an alert of the handshake. Before that is over no server reads a request; any other
    alert, and what only we do not understand, may come behind one that was read (RFC 8446, 6.2).
    """
    said = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    return said.startswith(("TLSV1", "SSLV3_ALERT")) and any(each in said for each in _REFUSING)


def connected_late(said: Fault, attempt: int) -> ConnectFailed:
    """Make the fault of a call whose time was up before a connection came about: to the client it is what it would be
    at any other moment; the target is not available, unless this is a later attempt, which had less time.
    """
    fault = ConnectFailed(said.detail, reason=said.reason)
    fault.status = said.status  # type: ignore[misc]
    fault.spares_target = attempt > 1
    return fault
