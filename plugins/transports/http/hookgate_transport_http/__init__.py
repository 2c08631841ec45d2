"""Call backends over HTTP/1.1."""

import ssl
import tempfile
from collections.abc import Awaitable
from typing import Self

from pydantic import FilePath, model_validator

from hookgate import Certificate, ConfigError, Host, Options, Outbound, Problem, Response, Transport, hookimpl
from hookgate.http.pool import UpstreamPool


class HttpOptions(Options):
    """Options of `http`."""

    verify_tls: bool = True
    """Whether the certificate of an `https` target must be valid and made out to its host. Without this anybody between
    the gateway and the backend can read and change everything."""
    ca_file: FilePath | None = None
    """PEM file with the authorities that certificates may come from, instead of those this machine trusts."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.ca_file is not None and not self.verify_tls:
            raise ValueError("ca_file has no effect while verify_tls is off: leave out one of them")
        return self


class Http(Transport[HttpOptions]):
    """Sends attempts over a pool of connections that stay open, byte for byte as they are.

    HTTP/1.1 over TCP and TLS, without proxies: the environment (`HTTPS_PROXY`, …) is not looked at. The answer streams,
    undecoded. Where a target is reached by TLS it is shown the client certificates of the connection.
    """

    schemes = frozenset({"http", "https"})
    inline = True
    _client: UpstreamPool | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Make the pool; connections are opened by the first calls.

        Raises:
            ConfigError: an authority or a client certificate cannot be used.
        """
        if not self.options.verify_tls:
            host.log.warning("connection %s accepts any TLS certificate (verify_tls: false)", self.pool.name)
        self._client = UpstreamPool(self.pool, self._context())

    @hookimpl
    async def shutdown(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()

    @hookimpl
    def send(self, outbound: Outbound) -> Awaitable[Response]:
        """Send an attempt; the body of the response streams.

        Raises:
            ConnectFailed: nothing was sent.
            GatewayTimeout: the backend took too long.
            BadGateway: the backend broke off or answered nonsense.
            ServiceUnavailable: no connection became free in time (AC-27).
        """
        assert self._client is not None, "startup comes first"
        return self._client.send(outbound)

    def _context(self) -> ssl.SSLContext | None:
        """Return what differs from the machine's own TLS settings, or nothing."""
        options, certificates = self.options, self.pool.certificates
        if not options.verify_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif options.ca_file is not None or certificates:
            try:
                context = ssl.create_default_context(cafile=options.ca_file)
            except (OSError, ValueError) as error:
                raise self._refused(
                    f"{options.ca_file} cannot be used", error, "transport", "http", "ca_file"
                ) from None
        else:
            return None
        for certificate in certificates:
            try:
                _show(certificate, context)
            except (OSError, ValueError) as error:
                hint = "the client certificate cannot be used: give chain and key in PEM, and the key's password"
                raise self._refused(hint, error) from None
        return context

    def _refused(self, message: str, error: Exception, *path: str) -> ConfigError:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not PEM"
        return ConfigError([Problem(("connections", self.pool.name, *path), f"{message} ({reason})")])


def _show(certificate: Certificate, context: ssl.SSLContext) -> None:
    """Have a context show a client certificate (HC-13)."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # ssl reads files only; this one is ours alone (0600)
        file.write(f"{certificate.chain}\n{certificate.key.reveal()}\n")
        file.flush()
        # Without a password OpenSSL would ask for one on the terminal.
        password = certificate.password.reveal() if certificate.password is not None else ""
        context.load_cert_chain(file.name, password=password)
