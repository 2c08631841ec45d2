"""Requests and responses as they travel through the house: heads as raw bytes, bodies as lazy streams.

Nothing here knows a server or a client. A head is kept as the bytes that arrived and decoded only where somebody
looks; a body is a stream that nobody reads unless a hook asks, and then it is kept whole so that it can be read (and
sent) again.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import Any, Protocol
from urllib.parse import parse_qsl

from hookgate.errors import BadRequest, ContentTooLarge, Fault

RawHeader = tuple[bytes, bytes]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

STALE_WHEN_BODY_CHANGES = frozenset(
    {b"content-length", b"etag", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges"},
)
"""What speaks of exact bytes and is dropped once a hook changed them (RFC 9110, RFC 9530)."""


class Headers:
    """An ordered multi-map of header fields over raw bytes (RFC 9110, section 5).

    Names compare without case and keep the case they came in. Strings go in and out as Latin-1. A name that is not a
    token or a value with a control character is refused with :class:`ValueError`, so that no hook can smuggle a line.
    """

    __slots__ = ("raw",)

    def __init__(self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self.raw: list[RawHeader] = []
        """The fields in order; the parsers fill it directly, everyone else uses the methods."""
        for name, value in fields.items() if isinstance(fields, Mapping) else fields:
            self.add(name, value)

    @classmethod
    def of(cls, raw: list[RawHeader]) -> "Headers":
        """Take over fields that a parser has already checked."""
        headers = cls.__new__(cls)
        headers.raw = raw
        return headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the first value under a name."""
        wanted = name.lower().encode("latin-1")
        for key, value in self.raw:
            if key.lower() == wanted:
                return value.decode("latin-1")
        return default

    def getall(self, name: str) -> list[str]:
        """Return every value under a name, in order, one for each header line."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.raw if key.lower() == wanted]

    def add(self, name: str, value: str) -> None:
        """Append a line, whatever is there already (the ADD of AC-19)."""
        self.raw.append(_checked(name, value))

    def set(self, name: str, value: str) -> None:
        """Put one line in the place of all lines of that name (the SET of AC-19)."""
        field = _checked(name, value)
        wanted = field[0].lower()
        for index, (key, _) in enumerate(self.raw):
            if key.lower() == wanted:
                self.raw[index] = field
                self.raw[index + 1 :] = [pair for pair in self.raw[index + 1 :] if pair[0].lower() != wanted]
                return
        self.raw.append(field)

    def setdefault(self, name: str, value: str) -> str:
        """Set a header unless it is there; return what stands there afterwards."""
        present = self.get(name)
        if present is None:
            self.add(name, value)
            return value
        return present

    def remove(self, *names: str) -> None:
        """Take out every line of these names."""
        unwanted = {name.lower().encode("latin-1") for name in names}
        self.raw[:] = [pair for pair in self.raw if pair[0].lower() not in unwanted]

    def tokens(self, name: str) -> list[str]:
        """Split the comma-separated list under a name, lower-cased (``Connection``, ``Vary``)."""
        return [token for value in self.getall(name) for part in value.split(",") if (token := part.strip().lower())]

    def copy(self) -> "Headers":
        """Return a copy that can be changed on its own."""
        return Headers.of(list(self.raw))

    def items(self) -> Iterator[tuple[str, str]]:
        """Walk over (lower-case name, value) pairs, one for each line."""
        for key, value in self.raw:
            yield key.lower().decode("latin-1"), value.decode("latin-1")

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        self.remove(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.items()))

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and list(self.items()) == list(other.items())

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({list(self.items())!r})"


def _checked(name: str, value: str) -> RawHeader:
    raw_name = name.encode("latin-1", "replace")
    if not _TOKEN.fullmatch(raw_name):
        raise ValueError(f"{name!r} is not a header name (RFC 9110, section 5.1)")
    try:
        raw_value = value.strip(" \t").encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the value of {name} has a character outside Latin-1") from None
    if _FORBIDDEN_IN_VALUE.search(raw_value):
        raise ValueError(f"the value of {name} has a control character")
    return raw_name, raw_value


class Sink(Protocol):
    """Receives a copy of a body that streams by."""

    def write(self, chunk: bytes) -> None:
        """Take one chunk; called in order."""

    def close(self, complete: bool) -> None:
        """Called once: ``complete`` says whether the stream came to its proper end."""


Feed = Callable[[bytes], bytes]
Flush = Callable[[], bytes]


class Body:
    """A message body: a stream that is passed through unless somebody asks for more.

    ``await body.read()`` keeps it whole (up to ``keep_limit`` bytes), after which ``body.data`` is there for sync
    hooks and the body can be sent again; ``body.set(data)`` replaces it; ``body.map(feed, flush)`` changes it chunk by
    chunk; ``body.tee(sink)`` copies it. A stream longer than ``limit`` bytes ends in the fault that ``too_large``
    makes: 413 for a request, 502 for a response.
    """

    __slots__ = (
        "_data",
        "_feeds",
        "_on_close",
        "_sinks",
        "_source",
        "_streaming",
        "changed",
        "keep_limit",
        "length",
        "limit",
        "too_large",
    )

    def __init__(
        self,
        source: bytes | AsyncIterable[bytes] = b"",
        *,
        length: int | None = None,
        limit: int | None = None,
        keep_limit: int = 8 * 1024 * 1024,
        too_large: Callable[[str], Fault] = ContentTooLarge,
    ) -> None:
        self._data: bytes | None = source if isinstance(source, bytes) else None
        self._source: AsyncIterable[bytes] | None = None if isinstance(source, bytes) else source
        self._streaming: AsyncIterable[bytes] | None = None
        self._feeds: list[tuple[Feed, Flush | None]] = []
        self._sinks: list[Sink] = []
        self._on_close: list[Callable[[BaseException | None], Awaitable[None] | None]] = []
        self.length = len(source) if isinstance(source, bytes) else length
        """Bytes the stream will have, where that is known; ``None`` for a stream of unknown length."""
        self.limit = limit
        self.keep_limit = keep_limit
        self.too_large = too_large
        self.changed = False
        """A hook replaced or maps the body, so validators and digests of the old bytes no longer hold."""

    @property
    def replayable(self) -> bool:
        """Whether the body is held whole and can be sent once more."""
        return self._data is not None

    @property
    def at_hand(self) -> bool:
        """Whether the body is held whole and nobody wants a copy of it: it can be sent as it is."""
        return self._data is not None and not self._sinks

    @property
    def empty(self) -> bool:
        """Whether it is known that there is nothing in it."""
        return self._data == b"" if self._data is not None else self.length == 0

    @property
    def data(self) -> bytes:
        """The whole body, for a sync hook that declared ``reads = {"request.body"}``."""
        if self._data is None:
            raise RuntimeError("the body has not been read; declare it in `reads`, or await body.read()")
        return self._data

    async def read(self, limit: int | None = None) -> bytes:
        """Read the whole body and keep it.

        Raises:
            Fault: what ``too_large`` makes, when there are more bytes than ``limit`` (default: ``keep_limit``).
        """
        bound = self.keep_limit if limit is None else limit
        if self._data is None:
            if self.length is not None and self.length > bound:
                refusal = self.too_large(
                    f"The body is {self.length} bytes long; here at most {bound} bytes are accepted."
                )
                await self.close(refusal)
                raise refusal
            kept = bytearray()
            async with aclosing(self.stream()) as chunks:
                async for chunk in chunks:
                    kept += chunk
                    if len(kept) > bound:
                        raise self.too_large(f"The body is longer than {bound} bytes.")
            self._data = bytes(kept)
            self.length = len(kept)
        return self._data

    async def json(self) -> Any:
        """Read the whole body as JSON.

        Raises:
            BadRequest: it is not JSON.
        """
        try:
            return json.loads(await self.read())
        except ValueError as error:
            raise BadRequest(f"The body is not JSON: {error}.", reason="not-json") from None

    def set(self, data: bytes) -> None:
        """Put other bytes in the place of the body. What was not read of the old one is dropped."""
        self._data = data
        self._feeds.clear()
        self.length = len(data)
        self.changed = True

    def map(self, feed: Feed, flush: Flush | None = None) -> None:
        """Change the body as it streams: ``feed(chunk)`` for each chunk, ``flush()`` for what is left at the end."""
        if self._data is not None:
            self.set(feed(self._data) + (flush() if flush else b""))
            return
        self._feeds.append((feed, flush))
        self.length = None
        self.changed = True

    def tee(self, sink: Sink) -> None:
        """Copy what streams by (after the maps so far and to come) into a sink."""
        self._sinks.append(sink)

    def wrap(self, around: Callable[[AsyncIterable[bytes]], AsyncIterable[bytes]]) -> None:
        """Put something around the source that yields the same bytes: a time limit, a counter."""
        if self._source is not None:
            self._source = around(self._source)

    def on_close(self, callback: Callable[[BaseException | None], Awaitable[None] | None]) -> None:
        """Have something called once when the source is used up, broken or abandoned, with the error if any."""
        self._on_close.append(callback)

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """Walk over the chunks as they leave: from the source, through the maps, past the sinks.

        One generator on purpose: nested ones would not be closed when the reader stops early. Close it in any case
        (``contextlib.aclosing``), since closing is what lets go of the source.
        """
        failure: BaseException | None = None
        try:
            if self._data is not None:
                if self._data:
                    yield self._copied(self._data)
                return
            source, self._source = self._source, None
            if source is None:
                raise RuntimeError("the body has already been streamed; read() it first to use it twice")
            self._streaming = source
            seen = 0
            async for chunk in source:
                seen += len(chunk)
                if self.limit is not None and seen > self.limit:
                    raise self.too_large(f"The body is longer than {self.limit} bytes.")
                for feed, _ in self._feeds:
                    chunk = feed(chunk)  # noqa: PLW2901
                if chunk:
                    yield self._copied(chunk)
            if rest := self._flushed():
                yield self._copied(rest)
        except BaseException as error:
            failure = error
            raise
        finally:
            sinks, self._sinks = self._sinks, []
            for sink in sinks:
                sink.close(failure is None)
            await self.close(failure)

    def _copied(self, chunk: bytes) -> bytes:
        for sink in self._sinks:
            sink.write(chunk)
        return chunk

    def _flushed(self) -> bytes:
        """What the maps still hold, each flushed through those after it."""
        rest = b""
        for feed, flush in self._feeds:
            rest = (feed(rest) if rest else b"") + (flush() if flush else b"")
        return rest

    async def close(self, error: BaseException | None = None) -> None:
        """Let go of a source that nobody will read (any more). Safe to call often."""
        for source in (self._source, self._streaming):
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()
        self._source = self._streaming = None
        callbacks, self._on_close = self._on_close, []
        for callback in callbacks:
            done = callback(error)
            if done is not None:
                await done


class Request:
    """What the client sent. ``path`` and ``query`` stay percent-encoded, as received."""

    __slots__ = ("body", "client", "headers", "host", "http_version", "method", "path", "peer", "query", "scheme")

    def __init__(
        self,
        method: str = "GET",
        path: str = "/",
        query: str = "",
        *,
        scheme: str = "http",
        host: str = "",
        headers: Headers | None = None,
        body: Body | None = None,
        client: str = "127.0.0.1",
        http_version: str = "1.1",
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.scheme = scheme
        self.host = host
        """The authority the client asked for, port included where it wrote one."""
        self.headers = headers if headers is not None else Headers()
        self.body = body if body is not None else Body()
        self.client = client
        """IP address of the client, without port: the peer, or whom a trusted proxy names."""
        self.peer = client
        """IP address at the other end of the connection."""
        self.http_version = http_version

    @property
    def target(self) -> str:
        """Path and query as they stood in the request line."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def params(self) -> dict[str, str]:
        """The query as a mapping; of a repeated name the first value counts."""
        found: dict[str, str] = {}
        for name, value in parse_qsl(self.query, keep_blank_values=True):
            found.setdefault(name, value)
        return found

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target}>"


class Response:
    """What the client will get: from the backend, from an interceptor, or from a fault."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        status: int = 200,
        headers: Headers | Mapping[str, str] | Iterable[tuple[str, str]] = (),
        body: Body | bytes | str = b"",
    ) -> None:
        self.status = status
        self.headers = headers if isinstance(headers, Headers) else Headers(headers)
        if isinstance(body, str):
            body = body.encode()
        self.body = body if isinstance(body, Body) else Body(body)

    @classmethod
    def text(cls, text: str, status: int = 200) -> "Response":
        """Make a plain-text answer in UTF-8."""
        return cls(status, {"content-type": "text/plain; charset=utf-8"}, text)

    @classmethod
    def json(cls, value: object, status: int = 200, content_type: str = "application/json") -> "Response":
        """Make a JSON answer."""
        return cls(status, {"content-type": content_type}, json.dumps(value, ensure_ascii=False).encode())

    @classmethod
    def problem(cls, fault: Fault) -> "Response":
        """Make the RFC 9457 answer of a fault."""
        document: dict[str, object] = {"type": "about:blank", "title": fault.title, "status": fault.status}
        if fault.detail and fault.status != 500:
            document["detail"] = fault.detail
        document["reason"] = fault.reason
        response = cls.json(document, fault.status, "application/problem+json")
        for name, value in fault.headers:
            response.headers.add(name, value)
        return response

    def __repr__(self) -> str:
        return f"<Response {self.status}>"
