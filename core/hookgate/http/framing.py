"""Heads and framing of HTTP/1.1 (RFC 9112), read strictly.

A head is cut out of what came, up to its empty line, and read whole by llhttp (through httptools), which refuses bare
LF, folded lines, spaces before the colon, NUL, several or odd Content-Lengths and Content-Length beside
Transfer-Encoding. What llhttp lets pass and two implementations might read in two ways is refused here: a
Transfer-Encoding other than exactly ``chunked``, superfluous spaces in the request line, several Hosts. Then the
framing is ours: a body of known length is cut by counting, a chunked one by :class:`Chunked`. So each byte belongs to
exactly one message, and what follows a message is seen.
"""

from __future__ import annotations

import re
from typing import Protocol

import httptools

from hookgate.messages import RawHeader

END_OF_HEAD = b"\r\n\r\n"
H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
UNKNOWN = -1
"""Length of a body that goes on until the connection ends."""
CHUNKED = -2
"""Length of a body that tells its end itself."""

_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=:%\[\]-]*")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_LINE = 1024
"""Longest line of a chunk size with its extensions, and of a trailer, in bytes."""
_TRAILERS = 8192
"""All trailers of a body together, in bytes."""
_EXTENSIONS = 16384
"""All chunk extensions of a body together, in bytes."""


class FramingError(ValueError):
    """What came is not HTTP/1.1. The text is fit for whoever sent it."""

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.status = status


class _Fields:
    """Collects what llhttp reports. It looks up its callbacks by name, so these names are httptools'."""

    __slots__ = ("fields", "url")

    def __init__(self) -> None:
        self.fields: list[RawHeader] = []
        self.url = b""

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


class RequestHead:
    """The head of a request. ``length`` is that of the body, or ``CHUNKED``."""

    __slots__ = ("expects", "fields", "forwarded", "host", "keep_alive", "length", "method", "target", "upgrade", "version")

    def __init__(self, method: str, target: bytes, version: str, fields: list[RawHeader]) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.fields = fields
        self.host: bytes | None = None
        self.length = 0
        self.keep_alive = version == "1.1"
        self.expects = False
        """The client waits for 100 before it sends the body."""
        self.upgrade = b""
        """What the client would like to speak, lower-case, or nothing."""
        self.forwarded = False
        """There are headers that speak of earlier hops."""


def read_request(head: bytes) -> RequestHead:
    """Read the head of a request, from the request line to the empty line.

    Raises:
        FramingError: it is not one, or two implementations could read it in two ways.
    """
    reported = _Fields()
    parser = httptools.HttpRequestParser(reported)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserInvalidMethodError:
        raise FramingError("This method is not known here.", 501) from None
    except httptools.HttpParserError as error:
        raise FramingError(f"The head of the request is malformed: {error}.") from None
    method, version = parser.get_method(), parser.get_http_version()
    if version not in ("1.1", "1.0"):
        raise FramingError("This connection speaks HTTP/1.1 and HTTP/1.0.", 505)
    if not head.startswith(b"%b %b HTTP/1." % (method, reported.url)) or method == b"CONNECT":
        raise FramingError("The request line is not `METHOD target HTTP/1.1`.")
    read = RequestHead(method.decode("ascii"), reported.url, version, reported.fields)
    for name, value in read.fields:
        reader = _REQUEST_FIELDS.get(name.lower())
        if reader is not None:
            reader(read, value)
    if read.host is None and version == "1.1":
        raise FramingError("A request needs exactly one Host header.")
    return read


def _host(head: RequestHead, value: bytes) -> None:
    if head.host is not None or not _HOST.fullmatch(value):
        raise FramingError("A request needs exactly one Host header.")
    head.host = value


def _content_length(head: RequestHead | ResponseHead, value: bytes) -> None:
    if not value.isdigit() or len(value) > 18:
        raise FramingError("Content-Length is not a number.")
    head.length = int(value)


def _transfer_encoding(head: RequestHead | ResponseHead, value: bytes) -> None:
    if value.lower() != b"chunked" or head.length == CHUNKED or head.version != "1.1":
        raise FramingError("Transfer-Encoding is not exactly `chunked`.")
    head.length = CHUNKED


def _connection(head: RequestHead | ResponseHead, value: bytes) -> None:
    lowered = value.lower()
    if lowered == b"keep-alive":
        head.keep_alive = True
        return
    tokens = {token.strip() for token in lowered.split(b",")}
    if b"close" in tokens:
        head.keep_alive = False
    elif b"keep-alive" in tokens:
        head.keep_alive = True


def _expect(head: RequestHead, value: bytes) -> None:
    if value.lower() != b"100-continue":
        raise FramingError("Only `Expect: 100-continue` can be met.", 417)
    head.expects = head.version == "1.1"


def _upgrade(head: RequestHead | ResponseHead, value: bytes) -> None:
    head.upgrade = value.lower()


def _forwarded(head: RequestHead, value: bytes) -> None:
    head.forwarded = True


_REQUEST_FIELDS = {
    b"host": _host,
    b"content-length": _content_length,
    b"transfer-encoding": _transfer_encoding,
    b"connection": _connection,
    b"expect": _expect,
    b"upgrade": _upgrade,
    b"forwarded": _forwarded,
    b"x-forwarded-for": _forwarded,
    b"x-forwarded-proto": _forwarded,
    b"x-forwarded-host": _forwarded,
    b"x-forwarded-port": _forwarded,
    b"x-real-ip": _forwarded,
}


class ResponseHead:
    """The head of a response. ``length`` is that of the body, ``CHUNKED`` or ``UNKNOWN``."""

    __slots__ = ("fields", "keep_alive", "length", "status", "upgrade", "version")

    def __init__(self, status: int, version: str, fields: list[RawHeader]) -> None:
        self.status = status
        self.version = version
        self.fields = fields
        self.length = UNKNOWN
        self.keep_alive = version == "1.1"
        self.upgrade = b""


def read_response(head: bytes, method: str) -> ResponseHead:
    """Read the head of a response to a request of that method.

    Raises:
        FramingError: it is not one, or two implementations could read it in two ways.
    """
    reported = _Fields()
    parser = httptools.HttpResponseParser(reported)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise FramingError(str(error)) from None
    version, status = parser.get_http_version(), parser.get_status_code()
    if version not in ("1.1", "1.0") or not head.startswith(b"HTTP/1.") or not 100 <= status <= 599:
        raise FramingError("no HTTP/1.1 status line")
    read = ResponseHead(status, version, reported.fields)
    for name, value in read.fields:
        reader = _RESPONSE_FIELDS.get(name.lower())
        if reader is not None:
            reader(read, value)
    if status < 200 or status in (204, 304) or method == "HEAD":
        read.length = 0
    return read


_RESPONSE_FIELDS = {
    b"content-length": _content_length,
    b"transfer-encoding": _transfer_encoding,
    b"connection": _connection,
    b"upgrade": _upgrade,
}


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

    # The states: functions and not bound methods, which would hold the reader in a cycle. Each takes what is there from a position on and returns where the next state begins, or None for more.

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
