"""Our messages as those of httpx, and the other way round."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from functools import lru_cache

from hookgate.bodies import Body
from hookgate.client import httpx
from hookgate.errors import BadGateway
from hookgate.exchange import Outbound
from hookgate.messages import Headers, RawHeader, Response

FRAMING = frozenset({b"content-length", b"transfer-encoding"})
EXPECT_A_BODY = frozenset({"POST", "PUT", "PATCH"})
"""Methods that announce a body even where it is empty (RFC 9110, 8.6)."""


def request_of(outbound: Outbound) -> httpx.Request:
    """Make the request of an attempt; its URL is the bare origin of the target."""
    target, limits = outbound.target, outbound.timeouts
    request = httpx.Request(
        outbound.method,
        _origin(target.scheme, target.host, target.port),
        headers=framed(outbound),
        stream=_Upload(outbound.body),
        extensions={
            # As it is: httpx would quote and normalise a path in the URL.
            "target": (f"{outbound.path}?{outbound.query}" if outbound.query else outbound.path).encode(),
            "timeout": {"connect": limits.connect, "pool": limits.connect, "read": limits.read, "write": limits.read},
        },
    )
    request.method = outbound.method  # httpx writes it in capitals; methods are case-sensitive (RFC 9110, 9.1)
    return request


def framed(outbound: Outbound) -> list[RawHeader]:
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


def length_of(headers: Headers) -> int | None:
    """Return how long the body says it is, if it says so (RFC 9112, 6.3)."""
    if "transfer-encoding" in headers:
        return None
    values = set(headers.tokens("content-length"))
    value = values.pop() if len(values) == 1 else ""
    return int(value) if value.isascii() and value.isdigit() else None


class _Upload(httpx.AsyncByteStream):
    """The body of a request, as httpx wants it."""

    def __init__(self, body: Body) -> None:
        self._chunks = body.stream()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def aclose(self) -> None:
        await self._chunks.aclose()


@lru_cache(maxsize=4096)
def _origin(scheme: str, host: str, port: int) -> httpx.URL:
    return httpx.URL(scheme=scheme, host=host, port=port)
