"""Call a backend on this machine over a Unix socket."""

from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from hookgate import Host, Options, Outbound, Response, Transport, hookimpl
from hookgate.client import UpstreamPool

LONGEST = 107
"""Bytes of a path that Linux takes."""


def _place(path: Path) -> Path:
    if not path.is_absolute() or len(bytes(path)) > LONGEST:
        raise ValueError(f"write the absolute path of a socket, of at most {LONGEST} bytes")
    return path


class UnixOptions(Options):
    """Options of `unix`."""

    path: Annotated[Path, AfterValidator(_place)]
    """Absolute path of the socket the backend listens on. Longer ones than 107 bytes Linux does not take."""


class Unix(Transport[UnixOptions]):
    """Sends attempts over a Unix socket, as `http` does over TCP: HTTP/1.1, connections kept, bodies streamed.

    The target names the backend in `Host`, in logs and on the health page; where it is, the path says. So one
    connection has one target: `targets: "http://app"`.
    """

    schemes = frozenset({"http"})
    inline = True
    _client: UpstreamPool | None = None

    @hookimpl
    def startup(self, host: Host) -> None:
        """Make the pool; the first call connects."""
        self._client = UpstreamPool(self.pool, socket_path=str(self.options.path))

    @hookimpl
    async def shutdown(self) -> None:
        """Close every connection."""
        if self._client is not None:
            await self._client.aclose()

    @hookimpl
    def send(self, outbound: Outbound) -> Awaitable[Response]:
        """Send an attempt; the body of the response streams.

        Raises:
            ConnectFailed: nobody listens on the socket.
            GatewayTimeout: a time-out after something may have been sent.
            BadGateway: the backend broke off or answered nonsense.
            ServiceUnavailable: no free connection came up in time.
        """
        if self._client is None:
            raise RuntimeError("startup() has to run before send()")
        return self._client.send(outbound)

    def facts(self) -> Mapping[str, Any]:
        """Return the counts of the pool."""
        return self._client.facts() if self._client is not None else {}
