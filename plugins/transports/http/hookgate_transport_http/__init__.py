"""Call backends over HTTP/1.1."""

from collections.abc import Awaitable, Mapping
from typing import Any

from hookgate import Host, Options, Outbound, Response, Transport, hookimpl
from hookgate.client import UpstreamPool


class HttpOptions(Options):
    """Options of `http`: none. What to trust over TLS says the section `tls` of the connection, and how many
    connections there may be its section `pool`."""


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
        """Make the pool; connections are opened by the first calls."""
        self._client = UpstreamPool(self.pool)

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

    def facts(self) -> Mapping[str, Any]:
        """Return the counts of the pool, and until when certificates hold."""
        return self._client.facts() if self._client is not None else {}
