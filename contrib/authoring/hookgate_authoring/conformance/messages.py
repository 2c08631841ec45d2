"""Random calls: what a client may send and a backend may answer, drawn once and then plain data."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from hookgate import (
    BadGateway,
    ConnectFailed,
    Exchange,
    Fault,
    GatewayTimeout,
    Headers,
    NotFound,
    Outbound,
    Plugin,
    Request,
    Response,
    Secret,
    ServiceUnavailable,
    Target,
)
from hookgate_authoring.conformance.guards import TOKEN, GuardedBody

METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "get", "M-SEARCH")
NAMES = (
    "Accept", "Accept-Encoding", "Authorization", "Access-Control-Request-Headers", "Access-Control-Request-Method",
    "Content-Encoding", "Content-Type", "Cookie", "Forwarded", "If-None-Match", "Origin", "Range", "Referer", "Server",
    "User-Agent", "Vary", "X-Api-Key", "X-Forwarded-For", "X-Request-Id", "Cache-Control", "ETag", "Set-Cookie", "Date",
)  # fmt: skip
VALUES = (
    "", "*", "*/*;q=", "gzip;q=0.x, br;;, *;q=9", "gzip", "Basic", "Basic !!!", "Basic YTpi", "Basic /w==", "Bearer",
    "Bearer a.b.c", "Bearer eyJhbGciOiJub25lIn0.e30.", "a=b; =; c", "null", "https://example.org", "http://[::1", "://",
    "GET", "application/json", "text/plain; charset=", ";;", "bytes=0-", "-1", "99999999999999999999", "0",
    '"', '"a", W/"b"',
    "for=\"[::1]:80\"", "\xe9\xff", "127.0.0.1, unknown", "Thu, 32 Foo 2024 99:99:99 GMT", "no-store", "\t", "é",
)  # fmt: skip
PATHS = (
    "/",
    "/a/b",
    "//",
    "/..",
    "/%2e%2e/%00",
    "/%",
    "/%zz",
    "/a;b=c",
    "/é".encode().decode("latin-1"),
    "*",
    "/a//b/",
)
QUERIES = ("", "a=1", "a", "=", "&&", "a=1&a=2", "%=%", "a=%zz", "a=%0d%0ab", "+=+", "api_key=x")
BODIES = (b"", b"a", b"{}", b'{"a": [1, null]}', b"{", b"\xff\x00", b"a=1&b=2", b"x" * 3000)
FAULTS: tuple[type[Fault], ...] = (ConnectFailed, GatewayTimeout, BadGateway, ServiceUnavailable)
STATUSES = (200, 200, 201, 204, 206, 301, 304, 400, 401, 404, 429, 500, 503)


@dataclass(frozen=True, slots=True)
class Message:
    """Headers and a body; a body whose length is not known comes in chunks."""

    headers: tuple[tuple[str, str], ...] = ()
    chunks: tuple[bytes, ...] = ()
    streamed: bool = False

    def parts(self, *, framed: bool = True) -> tuple[Headers, GuardedBody]:
        """Make the headers, Content-Length with them where it is known, and the body."""
        headers, data = Headers(self.headers), b"".join(self.chunks)
        if self.streamed:
            return headers, GuardedBody(self._stream())
        if data and framed:
            headers.set("content-length", str(len(data)))
        return headers, GuardedBody(data)

    async def _stream(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


class Nowhere:
    """What calls amid a call are made through here: a house that reaches nobody."""

    environment = ""

    def __init__(self) -> None:
        self.house = self.http = self

    async def request(self, method: str, url: str, **arguments: Any) -> Response:
        """Reach nobody."""
        raise ConnectFailed(f"{method} {url}: there is no network here")

    def connection(self, name: str) -> Any:
        """Know none."""
        raise LookupError(f"there is no connection {name!r}")

    async def visit(self, by: Exchange, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Have no route."""
        return Response.problem(NotFound("There is no route here."))


@dataclass(frozen=True, slots=True)
class Call:
    """One call, and what its backend does."""

    method: str = "GET"
    path: str = "/"
    query: str = ""
    sent: Message = Message()
    client: str = "127.0.0.1"
    status: int = 200
    answer: Message = Message()
    fault: type[Fault] | None = None
    """The backend cannot be reached."""
    refused: bool = False
    """A step to the right of the plugin refuses the call."""

    def exchange(self) -> Exchange:
        """Make the exchange of this call."""
        headers, body = self.sent.parts()
        headers.setdefault("host", "testserver")
        request = Request(self.method, self.path, self.query, host="testserver", headers=headers, body=body)
        request.client = request.peer = self.client
        exchange = Exchange(request)
        exchange.home = Nowhere()
        return exchange

    def response(self) -> Response:
        """Make the backend's answer."""
        headers, body = self.answer.parts(framed=self.bodied)
        return Response(self.status, headers, body if self.bodied else GuardedBody(b""))

    @property
    def bodied(self) -> bool:
        """Whether the answer may have a body (RFC 9110, section 6.4.1)."""
        return self.method != "HEAD" and self.status not in (204, 304)


def outbound_of(call: Call, target: Target | None = None) -> Outbound:
    """Make the attempt of a call at a target."""
    request = call.exchange().request
    return Outbound(
        request.method,
        target or Target("http", "backend", 80),
        request.path,
        request.query,
        headers=request.headers,
        body=request.body,
        connection="backend",
    )


def draw(strategy: Any, examples: int) -> list[Any]:
    """Draw random values, the same ones at every run.

    Raises:
        ImportError: hypothesis is missing; the text says how to get it.
    """
    hypothesis = needed("hypothesis")
    drawn: list[Any] = []

    settings = hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    def collect(value: Any) -> None:
        drawn.append(value)

    settings(hypothesis.given(strategy)(collect))()
    return drawn


def calls(words: tuple[str, ...] = ()) -> Any:
    """Return the strategy of calls; ``words`` are mixed into names and values, so that options are met."""
    st = needed("hypothesis.strategies")
    tokens = tuple(word for word in words if TOKEN.fullmatch(word.encode("latin-1", "replace")))
    values = tuple(word for word in words if _sendable(word))
    visible = st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_categories=["Cc"])
    letters = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?#"), max_size=12)
    name = st.sampled_from(NAMES + tokens * 3)
    value = st.one_of(st.sampled_from(VALUES + values * 3), st.text(visible, max_size=20))
    fields = st.lists(st.tuples(name, value), max_size=5).map(tuple)
    chunks = st.one_of(
        st.sampled_from(BODIES).map(lambda body: (body,) if body else ()),
        st.lists(st.binary(max_size=40), max_size=4).map(tuple),
    )
    message = st.builds(Message, fields, chunks, st.booleans())
    plain = tuple(word for word in words if word.startswith("/") and word.isascii() and word.isprintable())
    return st.builds(
        Call,
        method=st.sampled_from(METHODS),
        path=st.one_of(
            st.sampled_from(PATHS + tuple(word.replace(" ", "") for word in plain)), letters.map("/{}".format)
        ),
        query=st.one_of(st.sampled_from(QUERIES), letters),
        sent=message,
        client=st.sampled_from(("127.0.0.1", "192.0.2.7", "10.1.2.3", "2001:db8::1", "::ffff:10.0.0.1")),
        status=st.sampled_from(STATUSES),
        answer=message,
        fault=st.one_of(st.none(), st.none(), st.none(), st.sampled_from(FAULTS)),
        refused=st.sampled_from((False,) * 5 + (True,)),
    )


def needed(module: str) -> Any:
    """Import what only tests need, when it is needed.

    Raises:
        ImportError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(
            "hookgate_authoring.conformance draws its calls with hypothesis: pip install hypothesis"
        ) from error


def words_of(value: object) -> Iterator[str]:
    """Walk over the strings in options as an author writes them, secrets too."""
    if isinstance(value, Secret):
        value = value.reveal()
    if isinstance(value, str):
        yield value
    elif isinstance(value, Plugin):
        yield from words_of(value.options)
    elif isinstance(value, BaseModel):
        yield from words_of(dict(value))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from words_of(key)
            yield from words_of(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from words_of(inner)


def _sendable(word: str) -> bool:
    try:
        Headers({"x": word})
    except ValueError:
        return False
    return True
