"""Our messages as those of httpx, and the other way round."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing
from functools import lru_cache

import httpx

from hookgate import BadGateway, Body, Headers, Outbound, Response
from hookgate.client.keeper import Turns

FRAMING = frozenset({b"content-length", b"transfer-encoding"})
EXPECT_A_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods that announce a body even where it is empty (RFC 9110, 8.6)."""
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def request_of(outbound: Outbound, server_name: str = "") -> httpx.Request:
    """Make the request of an attempt. A ``server_name`` is asked for in TLS in place of the host of the target."""
    target, limits = outbound.target, outbound.timeouts
    path = (f"{outbound.path}?{outbound.query}" if outbound.query else outbound.path).encode()
    request = httpx.Request(
        outbound.method,
        _origin(target.scheme, target.host, target.port),
        headers=framed(outbound),
        stream=Upload(outbound.body),
        extensions={
            "timeout": {"connect": limits.connect, "pool": limits.connect, "read": limits.read, "write": limits.read},
        },
    )
    if server_name:
        request.extensions["sni_hostname"] = server_name
    request.url = _Exact(request.url, path)
    request.method = outbound.method  # httpx writes it in capitals; methods are case-sensitive (RFC 9110, 9.1)
    return request


def framed(outbound: Outbound) -> list[tuple[bytes, bytes]]:
    """Return the headers with the framing that the body needs (RFC 9112, 6); what says so already stays in place."""
    raw, length = outbound.headers.raw, outbound.body.length
    declared = [(name.lower(), value.strip().lower()) for name, value in raw if name.lower() in FRAMING]
    needed = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
    if declared == [needed]:
        return raw
    rest = [field for field in raw if field[0].lower() not in FRAMING]
    if length == 0 and outbound.method not in EXPECT_A_BODY:
        return rest
    return [*rest, needed]


def response_of(head: httpx.Response, source: AsyncIterable[bytes], method: str) -> Response:
    """Make the response of a head and what follows it; without a body nobody needs to read the source."""
    headers = Headers.of(list(head.headers.raw))
    length = length_of(headers)
    if method == "HEAD" or head.status_code in {204, 304} or length == 0:
        return Response(head.status_code, headers)
    return Response(head.status_code, headers, Body(source, length=length, too_large=BadGateway))


def is_proper(head: httpx.Response, *, is_http2: bool) -> bool:
    """Whether a head can be passed on: nobody below looks at statuses and control characters, nor at anything else in
    HTTP/2 (RFC 9110, 5.5 and 15; RFC 9113, 8.2.1)."""
    return 100 <= head.status_code <= 599 and not any(
        _FORBIDDEN.search(value) or (is_http2 and not (_NAME.fullmatch(name) and value == value.strip(b" \t")))
        for name, value in head.headers.raw
    )


def length_of(headers: Headers) -> int | None:
    """Return how long the body says it is, if it says so (RFC 9112, 6.3)."""
    if "transfer-encoding" in headers:
        return None
    values = set(headers.tokens("content-length"))
    value = values.pop() if len(values) == 1 else ""
    return int(value) if value.isascii() and value.isdigit() else None


class _Exact(httpx.URL):
    """A URL whose path and query are sent as they are: httpx would quote and normalise them.

    The extension ``target`` is for that, too, but a proxy would be asked for the path of the call in CONNECT.
    """

    def __init__(self, origin: httpx.URL, target: bytes) -> None:
        super().__init__(origin)
        self._target = target

    @property
    def raw_path(self) -> bytes:
        """Return what stands in the request line."""
        return self._target


class Upload(httpx.AsyncByteStream):
    """The body of a request, as httpx wants it.

    httpcore asks for it again where a connection of HTTP/2 says that it has not looked at the request. A body that is
    held goes out once more then; of a stream nothing is left, and the call fails rather than send an empty one.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._chunks: AsyncGenerator[bytes, None] | None = None
        self.turns = Turns()
        """Whose time the call takes: the client's, while its body is awaited."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = self._stream()
        return self._chunks

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        turns, now = self.turns, asyncio.get_running_loop().time
        try:
            async with aclosing(self._body.stream()) as chunks:
                turns.client(now())
                async for chunk in chunks:
                    turns.backend(now())
                    yield chunk
                    turns.client(now())
        finally:
            turns.backend(now())

    async def aclose(self) -> None:
        """Let go of the body."""
        if self._chunks is not None:
            await self._chunks.aclose()


@lru_cache(maxsize=4096)
def _origin(scheme: str, host: str, port: int) -> httpx.URL:
    return httpx.URL(scheme=scheme, host=host, port=port)
