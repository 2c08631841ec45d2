"""A small client for what is off the data path."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property

from hookgate.client import httpx
from hookgate.client.pool import HttpxPool
from hookgate.contract.backends import Pool
from hookgate.exchange.bodies import Body
from hookgate.exchange.errors import GatewayTimeout
from hookgate.exchange.messages import Headers, Response
from hookgate.exchange.outbound import Outbound, Target, Timeouts


class Client:
    """A small HTTP client for what is off the data path: probes, callouts, token endpoints (``Host.http``).

    It follows no redirects and keeps no cookies, so that what a plugin asks for is what is sent.
    """

    answer_limit = 8 * 1024 * 1024
    """Bytes of an answer that are read at most."""

    @cached_property
    def _pool(self) -> HttpxPool:
        return HttpxPool(Pool(name="client"))

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

        ``timeout`` bounds the whole call in seconds, from looking up the name to the last byte.

        Raises:
            ValueError: the URL is not an absolute http or https URL without user name and password.
            ConnectFailed: nothing was sent.
            GatewayTimeout: the time is up.
            BadGateway: the server broke off, answered nonsense or sent more than ``answer_limit`` bytes.
        """
        place = _parsed(url)
        path, _, query = place.raw_path.decode("ascii").partition("?")
        fields = Headers(headers or {})
        fields.setdefault("Host", place.netloc.decode("ascii"))
        port = place.port or {"http": 80, "https": 443}[place.scheme]
        outbound = Outbound(
            method,
            Target(place.scheme, place.host, port),
            path,
            query,
            headers=fields,
            body=Body(body),
            timeouts=Timeouts(connect=None, read=None, request=timeout),  # the bound on the whole call is below
        )
        try:
            async with asyncio.timeout(timeout):
                response = await self._pool.send(outbound)
                try:
                    await response.body.read(self.answer_limit)
                finally:
                    await response.body.close()
        except TimeoutError:
            raise GatewayTimeout(f"No answer within {timeout:g} seconds.") from None
        return response

    async def aclose(self) -> None:
        """Close every connection."""
        if "_pool" in self.__dict__:
            await self._pool.aclose()


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{url!r} is not a URL: {error}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ValueError(f"{url!r} cannot be called: write an absolute http or https URL")
    if parsed.userinfo:
        raise ValueError(f"a URL with user name or password is refused ({parsed.host}): put them into a header")
    return parsed


def blocking_client(base_url: str) -> httpx.Client:
    """Make a keep-alive client for tests that are not ``async``, without redirects and without proxies."""
    return httpx.Client(base_url=base_url, timeout=30.0, trust_env=False)
