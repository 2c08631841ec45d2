"""The head of a response as it goes out on a connection of HTTP/1.1."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

from hookgate.exchange.messages import RawHeader, Request, Response
from hookgate.http.forwarding import drop_stale, trailers_of

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
REMEMBERED = 1024
"""Bytes of a head up to which it is kept, to be known again."""

_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else ''}\r\n".encode()
    for status in range(100, 1000)
}
_HOP = frozenset({b"connection", b"keep-alive", b"transfer-encoding"})
_FRAMING = _HOP | {b"content-length"}

_second = -1
_date_line = b""


def date_line() -> bytes:
    """Return the ``Date`` header of this second, with its end of line."""
    global _second, _date_line  # noqa: PLW0603 - the same second for everybody
    now = int(time.time())
    if now != _second:
        _second = now
        _date_line = b"Date: %b\r\n" % formatdate(now, usegmt=True).encode()
    return _date_line


class Last:
    """The last head that was written on a connection. The next one is often the same, and comparing costs less than
    writing: headers that came from the backend's connection as it remembered them are the very same objects."""

    __slots__ = ("_fields", "_key", "_written")

    def __init__(self) -> None:
        self._fields: list[RawHeader] | None = None
        self._key: tuple[object, ...] = ()
        self._written: tuple[bytes, bool, bool, bool] = (b"", False, False, False)

    def head_of(self, response: Response, request: Request, keep: bool) -> tuple[bytes, bool, bool, bool]:
        """As :func:`head_of`."""
        body = response.body
        fields = response.headers.raw
        key = (response.status, body.length, request.method, request.http_version, keep, body.changed)
        if fields == self._fields and key == self._key:
            return self._written
        written = head_of(response, request, keep)
        fields = response.headers.raw
        if len(written[0]) <= REMEMBERED and not body.changed and b"date" in response.headers.lowered():
            self._fields, self._key, self._written = fields.copy(), key, written
        return written


def head_of(response: Response, request: Request, keep: bool) -> tuple[bytes, bool, bool, bool]:
    """Write status line and headers, framed as the body needs. The headers of the response stay as they are.

    Returns:
        The bytes; whether a body follows (RFC 9110, 6.4); whether it is chunked; whether the connection stays open.
    """
    body, status = response.body, response.status
    if body.changed:
        drop_stale(response)
    length = body.length
    has_body = status >= 200 and status not in {204, 304} and request.method != "HEAD"
    # Where no body follows, Content-Length is that of the body there would have been (RFC 9110, 8.6).
    # What a step makes of the empty body of such an answer has another length.
    ours = has_body or status == 204 or (request.method == "HEAD" and length and not body.changed)
    fields = response.headers.raw
    names = response.headers.lowered()
    unwanted = _FRAMING if ours else _HOP
    lines = [_STATUS_LINES[status]]
    if unwanted.isdisjoint(names):
        lines += [b"%b: %b\r\n" % field for field in fields]
    else:
        lines += [b"%b: %b\r\n" % field for field, name in zip(fields, names, strict=True) if name not in unwanted]
    if b"date" not in names:
        lines.append(date_line())
    chunked = False
    if ours:
        if length is not None:
            if status != 204:
                lines.append(b"Content-Length: %d\r\n" % length)
        elif request.http_version == "1.0":
            keep = False
        elif has_body:
            chunked = True
            lines.append(b"Transfer-Encoding: chunked\r\n")
    offers = b", upgrade" if status == 426 and b"upgrade" in names else b""
    if not keep:
        lines.append(b"Connection: close%b\r\n" % offers)
    elif request.http_version == "1.0":  # who would not expect it
        lines.append(b"Connection: keep-alive%b\r\n" % offers)
    elif offers:
        lines.append(b"Connection: upgrade\r\n")
    lines.append(b"\r\n")
    return b"".join(lines), has_body, chunked, keep


def last_chunk(response: Response, request: Request) -> bytes:
    """Write the end of a chunked body, with its trailers."""
    trailers = trailers_of(response, request) if response.body.trailers else ()
    return b"".join([b"0\r\n", *(b"%b: %b\r\n" % field for field in trailers), b"\r\n"])


def switching(response: Response, protocol: str) -> bytes:
    """Write a 101: what follows is another protocol (RFC 9110, 7.8)."""
    lines = [_STATUS_LINES[101], b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol.encode("ascii")]
    unwanted = _FRAMING | {b"upgrade"}
    lines += [b"%b: %b\r\n" % field for field in response.headers.raw if field[0].lower() not in unwanted]
    return b"".join([*lines, b"\r\n"])


def interim(status: int, fields: list[RawHeader]) -> bytes:
    """Write what comes before an answer."""
    return b"".join([_STATUS_LINES[status], *(b"%b: %b\r\n" % field for field in fields), b"\r\n"])


def refusal(status: int, text: str) -> bytes:
    """Write the whole answer to something that is not a call: the connection ends with it."""
    body = text.encode()
    return b"%bContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%bConnection: close\r\n\r\n%b" % (
        _STATUS_LINES[status],
        len(body),
        date_line(),
        body,
    )
