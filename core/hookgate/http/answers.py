"""The head of a response as it goes out on a connection of HTTP/1.1."""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

from hookgate.messages import Response

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else ''}\r\n".encode()
    for status in range(100, 1000)
}
_NAMED = frozenset({b"date", b"connection", b"keep-alive", b"transfer-encoding"})

_second = -1
_date_line = b""


def date_line() -> bytes:
    """Return the ``Date`` header of this second, with its end of line."""
    global _second, _date_line
    now = int(time.time())
    if now != _second:
        _second = now
        _date_line = b"Date: %b\r\n" % formatdate(now, usegmt=True).encode()
    return _date_line


def head_of(response: Response, *, chunked: bool, close: bool, keep_alive: bool) -> bytes:
    """Write status line and headers. ``keep_alive`` says so to a client of HTTP/1.0, who would not expect it."""
    lines = [_STATUS_LINES[response.status]]
    dated = False
    for name, value in response.headers.raw:
        lowered = name.lower()
        if lowered in _NAMED:
            if lowered != b"date":
                continue
            dated = True
        lines.append(b"%b: %b\r\n" % (name, value))
    if not dated:
        lines.append(date_line())
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    if close:
        lines.append(b"Connection: close\r\n")
    elif keep_alive:
        lines.append(b"Connection: keep-alive\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def refusal(status: int, text: str) -> bytes:
    """Write the whole answer to something that is not a call: the connection ends with it."""
    body = text.encode()
    return b"%bContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n%bConnection: close\r\n\r\n%b" % (
        _STATUS_LINES[status],
        len(body),
        date_line(),
        body,
    )
