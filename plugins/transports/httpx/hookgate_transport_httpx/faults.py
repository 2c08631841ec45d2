"""What can go wrong in httpx, as faults."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import httpx

from hookgate import BadGateway, ConnectFailed, GatewayTimeout, ServiceUnavailable
from hookgate.client.refusing import refuses


def fault_of(error: Exception, *, fresh: bool = False) -> Exception:
    """Turn an error of httpx into a fault whose text says nothing internal; anything else stays what it is.

    ``fresh`` says that a connection had just been opened and no answer had begun: an alert of the handshake then comes
    from one that failed, which in TLS 1.3 a client hears only after it has sent its request.
    """
    fault: Exception
    match error:
        case httpx.ConnectTimeout():
            fault = ConnectFailed("The backend did not accept a connection in time.", reason="connect-timeout")
        case httpx.ConnectError():
            fault = _connect_failed(error)
        case httpx.PoolTimeout():
            fault = ServiceUnavailable("All connections to the backend are in use.", reason="pool-exhausted")
        case httpx.TimeoutException():
            fault = GatewayTimeout("The backend did not answer in time.")
        case httpx.ProxyError():
            fault = ConnectFailed("The proxy did not let the call through.", reason="proxy-failed")
        case httpx.LocalProtocolError() | httpx.UnsupportedProtocol():
            fault = BadGateway("The request cannot be put into HTTP as it is.")
            fault.spares_target = True
        case httpx.RemoteProtocolError():
            fault = BadGateway("The backend gave no proper answer.")
        case httpx.TransportError() | ssl.SSLError() if tls_error(error) is not None:
            kind = ConnectFailed if fresh and refuses(tls_error(error)) else BadGateway
            fault = kind("The backend ended the secure connection.", reason="tls-failed")
        case httpx.TransportError() | ssl.SSLError():  # which httpcore passes on as it is
            fault = BadGateway("The connection to the backend broke.")
        case _:
            return error
    fault.__cause__ = error
    return fault


def _connect_failed(error: Exception) -> ConnectFailed:
    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return ConnectFailed("The name of the backend cannot be resolved.", reason="dns-failed")
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return ConnectFailed("No secure connection to the backend came about.", reason="tls-failed")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return ConnectFailed("The backend refused the connection.", reason="connect-refused")
    return ConnectFailed("No connection to the backend came about.")


def tls_error(error: BaseException) -> ssl.SSLError | None:
    """Return what went wrong in TLS, if anything did."""
    return next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk over what led to an error, the members of groups (one for each address tried) included."""
    yield error
    for member in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _causes(member)
    earlier = error.__cause__ or error.__context__
    if earlier is not None:
        yield from _causes(earlier)
