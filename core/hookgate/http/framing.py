"""Heads and framing of HTTP/1.1 (RFC 9112), read strictly.

A head is cut out of what came, up to its empty line, and read whole by llhttp (through httptools), which refuses bare
LF, folded lines, spaces before the colon (which responses lose first), NUL, several or odd Content-Lengths and
Content-Length beside Transfer-Encoding. What llhttp lets pass and two implementations might read in two ways is refused
here: a Transfer-Encoding other than exactly ``chunked``, superfluous spaces in the request line, several Hosts. Then
the framing is ours: a body of known length is cut by counting, a chunked one by :class:`Chunked`. So each byte belongs
to exactly one message, and what follows a message is seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

import httptools

from hookgate.exchange.messages import RawHeader
from hookgate.http.authority import is_authority

END_OF_HEAD = b"\r\n\r\n"
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
UNKNOWN = -1
"""Length of a body that goes on until the connection ends."""
REMEMBERED = 1024  # bytes of a head up to which it is kept, to be known again
CHUNKED = -2
"""Length of a body that tells its end itself."""

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
FIELD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*")
# Bytes of a line of a chunk size with its extensions or of a trailer, of all trailers, and of all extensions of a body.
_LINE, _TRAILERS, _EXTENSIONS = 1024, 8192, 16384


class FramingError(ValueError):
    """What came is not HTTP/1.1. The text is fit for whoever sent it."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class Head(Protocol):
    """What the heads of requests and responses have in common."""

    closes: bool
    """This message is the last one of its sender."""
    keep_alive: bool
    length: int
    named: set[bytes] | None
    """What ``Connection`` names, where that is more than `close` or `keep-alive`."""
    upgrade: bytes
    version: str


class RequestHead:
    """The head of a request. ``length`` is that of the body, or ``CHUNKED``.

    It is what llhttp reports to, so ``on_url`` and ``on_header`` are httptools' names.
    """

    __slots__ = (
        "closes",
        "expects",
        "fields",
        "forwarded",
        "host",
        "keep_alive",
        "length",
        "method",
        "named",
        "target",
        "upgrade",
        "version",
    )

    def __init__(self, version: str) -> None:
        self.method = ""
        self.target = b""
        self.version = version
        self.fields: list[RawHeader] = []
        self.host: bytes | None = None
        self.length = 0
        self.keep_alive = version == "1.1"
        self.closes = False
        """The client says that this is the last request."""
        self.expects = False
        """The client waits for 100 before it sends the body."""
        self.upgrade = b""
        """What the client would like to speak, with commas between, or nothing."""
        self.named: set[bytes] | None = None
        """What ``Connection`` names, where that is more than `close` or `keep-alive`."""
        self.forwarded = False
        """There are headers that speak of earlier hops, or have an underscore in their name."""

    def on_url(self, url: bytes) -> None:
        """llhttp: the request target."""
        self.target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a header."""
        value = value.rstrip(b" \t")  # which llhttp leaves to its users
        self.fields.append((name, value))
        meaning = _REQUEST_FIELDS[name.lower()]
        if meaning is not None:
            meaning(self, value)


def read_request(head: bytes) -> RequestHead:
    """Read the head of a request, from the request line to the empty line.

    Raises:
        FramingError: it is not one, or two implementations could read it in two ways.
    """
    line = head[: head.find(b"\r\n")]
    read = RequestHead("1.0" if line.endswith(b" HTTP/1.0") else "1.1")
    parser = httptools.HttpRequestParser(read)
    parse_head(parser, head, "The head of the request is malformed")
    method = parser.get_method()
    if line != b"%b %b HTTP/%b" % (method, read.target, b"1.1" if read.version == "1.1" else b"1.0"):
        if parser.get_http_version() not in ("1.1", "1.0"):
            raise FramingError("This connection speaks HTTP/1.1 and HTTP/1.0.", 505)
        raise FramingError("The request line is not `METHOD target HTTP/1.1`.")
    if method == b"CONNECT":
        raise FramingError("CONNECT is for another kind of proxy.", 501)
    if read.target == b"*" and method != b"OPTIONS":
        raise FramingError("`*` is no target but for OPTIONS.")
    read.method = method.decode("ascii")
    if read.host is None and read.version == "1.1":
        raise FramingError("A request needs exactly one Host header.")
    return read


class RequestHeads:
    """Reads the heads that come on one connection. Clients send the same one again and again, so the last short one is
    known again."""

    __slots__ = ("_raw", "_read")

    def __init__(self) -> None:
        self._raw = b""
        self._read: RequestHead | None = None

    def read(self, raw: bytes) -> RequestHead:
        """As :func:`read_request`; what it returns must not be changed."""
        if raw == self._raw and self._read is not None:
            return self._read
        read = read_request(raw)
        if len(raw) <= REMEMBERED:
            self._raw, self._read = raw, read
        return read


def parse_head(parser: httptools.HttpRequestParser | httptools.HttpResponseParser, head: bytes, what: str) -> None:
    """Read a whole head; ``what`` says what is wrong where llhttp takes it for none.

    Raises:
        FramingError: it is none.
    """
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserInvalidMethodError:
        raise FramingError("This method is not known here.", 501) from None
    except httptools.HttpParserCallbackError as error:
        refused = error.__context__
        if isinstance(refused, FramingError):
            raise refused from None
        raise
    except httptools.HttpParserError as error:
        raise FramingError(f"{what}: {error}.") from None


def _host(head: RequestHead, value: bytes) -> None:
    if head.host is not None:
        raise FramingError("A request needs exactly one Host header.")
    if value and not is_authority(value):
        raise FramingError("Host is not a host, with or without a port.")
    head.host = value


def content_length(head: Head, value: bytes) -> None:
    """Read ``Content-Length``."""
    if not value.isdigit() or len(value) > 18:
        raise FramingError("Content-Length is not a number.")
    head.length = int(value)


def transfer_encoding(head: Head, value: bytes) -> None:
    """Read ``Transfer-Encoding``."""
    if value.lower() != b"chunked" or head.length == CHUNKED or head.version != "1.1":
        raise FramingError("Transfer-Encoding is not exactly `chunked`.")
    head.length = CHUNKED


def connection(head: Head, value: bytes) -> None:
    """Read ``Connection``."""
    lowered = value.lower()
    if lowered == b"keep-alive":
        head.keep_alive = not head.closes
    elif lowered == b"close":
        head.keep_alive, head.closes = False, True
    else:
        tokens = {token.strip() for token in lowered.split(b",")}
        head.closes = head.closes or b"close" in tokens
        head.keep_alive = (head.keep_alive or b"keep-alive" in tokens) and not head.closes
        head.named = tokens if head.named is None else head.named | tokens


def _expect(head: RequestHead, value: bytes) -> None:
    if value.lower() != b"100-continue":
        raise FramingError("Only `Expect: 100-continue` can be met.", 417)
    head.expects = head.version == "1.1"


def upgrade(head: Head, value: bytes) -> None:
    """Read ``Upgrade``, on one line or several."""
    head.upgrade += b", " + value if head.upgrade else value


def _forwarded(head: RequestHead, value: bytes) -> None:
    head.forwarded = True


class _Meanings(dict[bytes, Callable[[RequestHead, bytes], None] | None]):
    def __missing__(self, name: bytes) -> Callable[[RequestHead, bytes], None] | None:
        meaning = _forwarded if b"_" in name or name.startswith(b"x-forwarded-") else None
        if len(self) < 1024 and len(name) <= 32:  # looked at once: most requests have the same few names
            self[name] = meaning
        return meaning


_REQUEST_FIELDS = _Meanings(
    {
        b"host": _host,
        b"content-length": content_length,
        b"transfer-encoding": transfer_encoding,
        b"connection": connection,
        b"expect": _expect,
        b"upgrade": upgrade,
        b"forwarded": _forwarded,
        b"x-real-ip": _forwarded,
    }
)


class BodyReader(Protocol):
    """Cuts a body out of what comes."""

    done: bool
    """The body has come to its end."""

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the chunks in ``data`` and what follows the body.

        Raises:
            FramingError: the framing is broken.
        """


class Counted:
    """A body of known length."""

    __slots__ = ("done", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the chunks in ``data`` and what follows the body."""
        if len(data) < self.left:
            self.left -= len(data)
            return [data], b""
        chunk, rest = data[: self.left], data[self.left :]
        self.left = 0
        self.done = True
        return ([chunk] if chunk else []), rest


class ToTheEnd:
    """A body that ends with the connection."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return ``data``: nothing follows."""
        return [data], b""


class Chunked:
    """A body in chunks (RFC 9112, 7.1). Sizes are hexadecimal digits and nothing else; extensions are dropped."""

    __slots__ = ("_extensions", "_left", "_pending", "_size_of_trailers", "_state", "done", "trailers")

    def __init__(self) -> None:
        self._pending = b""
        self._left = 0
        self._state = Chunked._size
        self._extensions = 0
        self._size_of_trailers = 0
        self.done = False
        self.trailers: list[bytes] = []
        """Lines behind the last chunk, as they came."""

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return the chunks in ``data`` and what follows the body.

        Raises:
            FramingError: the framing is broken.
        """
        chunks: list[bytes] = []
        rest = self._pending + data if self._pending else data
        at: int | None = 0
        while at is not None and not self.done:
            self._pending = b""
            start = at
            at = self._state(self, rest, start, chunks)
            if at is None:
                self._pending = rest[start:] if self._left == 0 else b""
        return chunks, rest[at:] if at is not None else b""

    # The states are functions and not bound methods, which would hold the reader in a cycle. Each takes what is there
    # from a position on and returns where the next state begins, or None for more.

    def _size(self, data: bytes, at: int, chunks: list[bytes]) -> int | None:
        line = _line(data, at, "chunk size")
        if line is None:
            return None
        match = _SIZE.fullmatch(line)
        if match is None:
            raise FramingError("A chunk size is not a hexadecimal number.")
        self._extensions += len(line) - match.end(1)
        if self._extensions > _EXTENSIONS:
            raise FramingError("The chunk extensions are too long.")
        self._left = int(match[1], 16)
        self._state = Chunked._data if self._left else Chunked._trailer
        return at + len(line) + 2

    def _data(self, data: bytes, at: int, chunks: list[bytes]) -> int | None:
        chunk = data[at : at + self._left]
        if chunk:
            chunks.append(chunk)
            self._left -= len(chunk)
        if self._left:
            return None
        self._state = Chunked._end_of_chunk
        return at + len(chunk)

    def _end_of_chunk(self, data: bytes, at: int, chunks: list[bytes]) -> int | None:
        found = data[at : at + 2]
        if found != b"\r\n"[: len(found)]:
            raise FramingError("A chunk is longer than it says.")
        if len(found) < 2:
            return None
        self._state = Chunked._size
        return at + 2

    def _trailer(self, data: bytes, at: int, chunks: list[bytes]) -> int | None:
        line = _line(data, at, "trailer")
        if line is None:
            return None
        if line:
            self._size_of_trailers += len(line)
            if self._size_of_trailers > _TRAILERS:
                raise FramingError("The trailers are too long.")
            if not FIELD.fullmatch(line):
                raise FramingError("A trailer is not a header field.")
            self.trailers.append(line)
        else:
            self.done = True
        return at + len(line) + 2


def _line(data: bytes, at: int, what: str) -> bytes | None:
    """Return the line that begins at a position, without its CRLF, or None if it is not all there."""
    end = data.find(b"\n", at)
    if end < 0:
        if len(data) - at > _LINE:
            raise FramingError(f"A line for a {what} is too long.")
        return None
    if end == at or data[end - 1] != 0x0D:
        raise FramingError(f"A line for a {what} does not end in CRLF.")
    if end - at > _LINE:
        raise FramingError(f"A line for a {what} is too long.")
    return data[at : end - 1]


def reader_of(length: int) -> BodyReader:
    """Return what reads a body of that length, ``CHUNKED`` or ``UNKNOWN``."""
    if length == CHUNKED:
        return Chunked()
    return ToTheEnd() if length == UNKNOWN else Counted(length)
