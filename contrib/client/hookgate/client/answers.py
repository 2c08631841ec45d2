"""Heads of responses (RFC 9112), read as strictly as those of requests in :mod:`hookgate.http.framing`."""

from __future__ import annotations

import re
from collections.abc import Callable

import httptools

from hookgate.exchange.messages import RawHeader
from hookgate.http.forwarding import HOP_BY_HOP
from hookgate.http.framing import (
    UNKNOWN,
    FramingError,
    connection,
    content_length,
    parse_head,
    transfer_encoding,
    upgrade,
)

SPACED_NAME = re.compile(
    rb"(?<=\n)(?!(?:content-length|transfer-encoding|connection|upgrade)[ \t])([!#$%&'*+\-.^_`|~0-9a-z]+)[ \t]+(?=:)",
    re.IGNORECASE,
)
"""The name of a field with spaces behind it, in a head. A proxy takes them out of a response (RFC 9112, 5.1); where the
framing hangs on the field, it is refused."""


class ResponseHead:
    """The head of a response. ``length`` is that of the body, ``CHUNKED`` or ``UNKNOWN``; ``fields`` are those that are
    not for this hop only. It is what llhttp reports to, so ``on_header`` is httptools' name."""

    __slots__ = ("closes", "fields", "keep_alive", "length", "named", "status", "upgrade", "version")

    def __init__(self, version: str) -> None:
        self.status = 0
        self.version = version
        self.fields: list[RawHeader] = []
        self.named: set[bytes] | None = None
        """Further headers that ``Connection`` says are for this hop only."""
        self.length = UNKNOWN
        self.keep_alive = version == "1.1"
        self.closes = False
        self.upgrade = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        """llhttp: a header."""
        value = value.rstrip(b" \t")
        meaning = _RESPONSE_FIELDS.get(name.lower(), _end_to_end)
        if meaning is _end_to_end:
            self.fields.append((name, value))
        elif meaning is not None:
            meaning(self, value)
            if meaning is content_length:
                self.fields.append((name, value))


def read_response(head: bytes, method: str) -> ResponseHead:
    """Read the head of a response to a request of that method.

    Raises:
        FramingError: it is not one, or two implementations could read it in two ways.
    """
    start = head[:9]
    if start not in {b"HTTP/1.1 ", b"HTTP/1.0 "}:
        raise FramingError("no HTTP/1.1 status line")
    read = ResponseHead("1.1" if start == b"HTTP/1.1 " else "1.0")
    parser = httptools.HttpResponseParser(read)
    try:
        parse_head(parser, head, "its head is malformed")
    except FramingError:
        if (mended := SPACED_NAME.sub(rb"\1", head)) == head:
            raise
        return read_response(mended, method)
    read.status = status = parser.get_status_code()
    if not 100 <= status <= 599:
        raise FramingError("no HTTP/1.1 status line")
    if status == 204 and read.length not in {UNKNOWN, 0}:  # a body that cannot be there, and may come all the same
        read.keep_alive, read.named = False, {b"content-length", *(read.named or ())}
    if read.named is not None:
        read.fields = [field for field in read.fields if field[0].lower() not in read.named]
    if status == 426 and read.upgrade:  # which is what that says (RFC 9110, 15.5.22)
        read.fields.append((b"Upgrade", read.upgrade))
    if status < 200 or status in {204, 304} or method == "HEAD":
        read.length = 0
    return read


def _end_to_end(head: ResponseHead, value: bytes) -> None:
    """What every header means that is not listed: nothing to this hop."""


_RESPONSE_FIELDS: dict[bytes, Callable[[ResponseHead, bytes], None] | None] = {
    **dict.fromkeys(HOP_BY_HOP),
    b"content-length": content_length,
    b"transfer-encoding": transfer_encoding,
    b"connection": connection,
    b"upgrade": upgrade,
}
