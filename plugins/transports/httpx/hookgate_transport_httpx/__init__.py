"""Call backends over HTTP/2, or through a proxy.

The pool works below ``httpx.AsyncClient``: no redirects, no cookies, no decoding, no headers but those of the attempt.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from hookgate import Host, Options, Outbound, Response, Secret, Transport, hookimpl
from hookgate_transport_httpx.pool import HttpxPool


def _proxy(value: Secret | None) -> Secret | None:
    """Check the URL of a proxy; what is wrong is told without it, since it may hold a password."""
    if value is None:
        return None
    try:
        url = urlsplit(value.reveal().strip())
        port = url.port
    except ValueError:
        raise ValueError("is no URL: write http://user:password@host:port") from None
    if url.scheme != "http" or not url.hostname:
        raise ValueError("is no URL of an HTTP proxy: write http://user:password@host:port")
    if port is None:
        raise ValueError("names no port: write http://user:password@host:port")
    if url.path not in ("", "/") or url.query or url.fragment:
        raise ValueError("has more than user, password, host and port: write http://user:password@host:port")
    return Secret(value.reveal().strip())


class HttpxOptions(Options):
    """Options of `httpx`."""

    http2: bool = True
    """Offer HTTP/2 to `https` targets. One that does not choose it is called over HTTP/1.1."""
    http1: bool = True
    """Speak HTTP/1.1. Without it every target is spoken to in HTTP/2 at once, `http` targets too (prior knowledge)."""
    proxy: Annotated[Secret | None, AfterValidator(_proxy)] = None
    """Proxy to go through, `http://user:password@host:port`, with other signs than letters and digits percent-encoded.
    It is asked for a tunnel (CONNECT) to `https` targets, and for the whole URL of others, over HTTP/1.1. The
    environment (`HTTPS_PROXY`, …) is not looked at."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not (self.http1 or self.http2):
            raise ValueError("http1 and http2 are both off: switch on one of them")
        return self


class HttpxTransport(Transport[HttpxOptions]):
    """Sends attempts over httpx: HTTP/2 where the backend speaks it, and proxies. For HTTP/1.1 without a proxy take
    `http`, which is several times as fast.

    A connection carries one call at a time, in HTTP/2 too, and is kept for the next; `pool` bounds how many there are.
    Answers stream, undecoded. What to trust over TLS says the section `tls` of the connection.
    """

    schemes = frozenset({"http", "https"})
    _client: HttpxPool | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Make the pool; connections are opened by the first calls."""
        given = self.options
        proxy = None if given.proxy is None else given.proxy.reveal()
        self._client = HttpxPool(self.pool, http1=given.http1, http2=given.http2, proxy=proxy)

    @hookimpl
    async def shutdown(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()

    @hookimpl
    async def send(self, outbound: Outbound) -> Response:
        """Send an attempt; the body of the response streams.

        Raises:
            ConnectFailed: nothing was sent; the proxy may have refused.
            GatewayTimeout: the backend took too long.
            BadGateway: the backend broke off or answered nonsense.
            ServiceUnavailable: no connection became free in time (AC-27).
        """
        assert self._client is not None, "startup comes first"
        return await self._client.send(outbound)

    def facts(self) -> Mapping[str, Any]:
        """Return the counts of the pool, and until when certificates hold."""
        return self._client.facts() if self._client is not None else {}
