"""The head of a request as it goes out to a backend."""

from __future__ import annotations

import re

from hookgate.exchange.errors import Unsendable
from hookgate.exchange.outbound import Outbound
from hookgate.http.forwarding import EXPECT_A_BODY

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods whose requests may be sent again (RFC 9110, 9.2.2)."""
FRAMING = frozenset({b"content-length", b"transfer-encoding"})

_TARGET = re.compile(r"[\x21-\x7e]+")
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def request_bytes(outbound: Outbound) -> bytes:
    """Return the head of a request as it goes out, framed as its body needs (RFC 9112, 6).

    Raises:
        Unsendable: method or path cannot stand in a request line.
    """
    target = f"{outbound.path}?{outbound.query}" if outbound.query else outbound.path
    method = outbound.method
    if not _TARGET.fullmatch(target) or (method not in IDEMPOTENT and not _METHOD.fullmatch(method)):
        raise Unsendable("The request cannot be put into HTTP/1.1 as it is.")
    lines = [f"{method} {target} HTTP/1.1\r\n".encode("ascii")]
    # Headers hold no control characters, whoever set them (messages.Headers).
    lines += [b"%b: %b\r\n" % field for field in outbound.headers.raw if field[0].lower() not in FRAMING]
    if outbound.upgrade:
        lines.append(b"connection: upgrade\r\nupgrade: %b\r\n" % outbound.upgrade.encode("ascii"))
    length = outbound.body.length
    if length is None:
        lines.append(b"transfer-encoding: chunked\r\n\r\n")
    elif length or method in EXPECT_A_BODY:
        lines.append(b"content-length: %d\r\n\r\n" % length)
    else:
        lines.append(b"\r\n")
    return b"".join(lines)
