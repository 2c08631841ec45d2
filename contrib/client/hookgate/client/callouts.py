"""A small client for what is off the data path."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property

from hookgate.client.outgoing import IDEMPOTENT
from hookgate.client.pool import UpstreamPool
from hookgate.client.turns import Turns
from hookgate.client.urls import parsed
from hookgate.contract.backends import Pool
from hookgate.exchange.bodies import Body
from hookgate.exchange.errors import GatewayTimeout, ServiceUnavailable
from hookgate.exchange.messages import Headers, Response
from hookgate.exchange.outbound import Outbound, Timeouts

TO_EACH = 256
"""Connections to one origin (scheme, host and port) at most."""
IN_ALL = 1024
"""Connections at most."""
KEEP_ALIVE = 60.0
"""Seconds an idle connection is kept."""
MAX_AGE = 600.0
"""Seconds after which a connection is not used again, so that names are looked up anew."""
_UNBOUND = Timeouts(connect=None, read=None, request=None)
"""The call as a whole has the one bound."""


class Client:
    """A small HTTP client for what is off the data path: probes, callouts, token endpoints (``Host.http``).

    HTTP/1.1 over the gateway's own pool, TLS with what this machine trusts. It follows no redirects, keeps no cookies,
    decodes nothing, adds no header but ``Host`` and those of framing, and takes no proxy from the environment, so that
    what a plugin asks for is what is sent. Headers of an answer that are for one hop only are taken off.
    """

    answer_limit = 8 * 1024 * 1024
    """Bytes of an answer that are read at most."""

    # Made when first needed: whoever answers in the place of the network never needs them.
    @cached_property
    def _pool(self) -> UpstreamPool:
        return UpstreamPool(Pool("client", max_connections=IN_ALL, keep_alive=KEEP_ALIVE, max_age=MAX_AGE))

    @cached_property
    def _turns(self) -> Turns:
        return Turns(TO_EACH, IN_ALL)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109
    ) -> Response:
        """Send a request and return the answer with its body read.

        ``timeout`` bounds the whole call in seconds, from waiting for a connection to the last byte.

        Raises:
            ValueError: the URL is not an absolute http or https URL without user name and password.
            ConnectFailed: nothing was sent.
            GatewayTimeout: the time is up.
            BadGateway: the server broke off, answered nonsense or sent more than ``answer_limit`` bytes.
            ServiceUnavailable: no connection became free in time (``pool-exhausted``), so nothing was sent.
        """
        target, path, query = parsed(url)
        fields = Headers(headers or {})
        if "host" not in fields:
            fields = Headers.of([(b"Host", target.authority.encode("ascii")), *fields.raw])
        outbound = Outbound(method, target, path, query, headers=fields, body=Body(body), timeouts=_UNBOUND)
        has_turn = False
        try:
            async with asyncio.timeout(timeout), self._turns.at(target.origin):
                has_turn = True
                if method not in IDEMPOTENT:  # it is never sent twice, so hear first which connections have been closed
                    await asyncio.sleep(0)  # the loop looks at its sockets,
                    await asyncio.sleep(0)  # and then tells of what it saw
                response = await self._pool.send(outbound)
                await response.body.read(self.answer_limit)
        except TimeoutError:
            if has_turn:
                raise GatewayTimeout(f"No answer within {timeout:g} seconds.") from None
            raise ServiceUnavailable("All connections are in use.", reason="pool-exhausted") from None
        return response

    async def aclose(self) -> None:
        """Break off the calls whose request is out, and close every connection."""
        if "_pool" in self.__dict__:
            await self._pool.aclose()
