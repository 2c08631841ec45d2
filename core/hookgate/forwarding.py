"""Header rules of a proxy: what is for one hop only, and what a backend is told about the client."""

from __future__ import annotations

from hookgate.messages import STALE_WHEN_BODY_CHANGES, Headers, Request, Response

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    },
)
"""Never passed on (RFC 9110, 7.6.1); ``Connection`` may name more."""


def without_hop_by_hop(headers: Headers) -> Headers:
    """Return a copy without what was meant for this hop only."""
    named = {token.encode("latin-1") for token in headers.tokens("connection")}
    unwanted = HOP_BY_HOP | named if named else HOP_BY_HOP
    return Headers.of([field for field in headers.raw if field[0].lower() not in unwanted])


def forwarded(headers: Headers, request: Request) -> None:
    """Tell the backend who called: ``X-Forwarded-For`` grows by the peer, ``-Proto`` and ``-Host`` are ours.

    What the client itself wrote there was removed at the edge unless it came from a trusted proxy.
    """
    before = ", ".join(headers.getall("x-forwarded-for"))
    headers.set("x-forwarded-for", f"{before}, {request.peer}" if before else request.peer)
    headers.set("x-forwarded-proto", request.scheme)
    if request.host:
        headers.set("x-forwarded-host", request.host)


def framed(response: Response, method: str) -> bool:
    """Make the framing headers agree with the body; return whether a body is sent at all (RFC 9110, 6.4)."""
    headers, body = response.headers, response.body
    if body.changed:
        headers.raw[:] = [field for field in headers.raw if field[0].lower() not in STALE_WHEN_BODY_CHANGES]
    if response.status in (204, 304) or response.status < 200:
        if response.status != 304:
            headers.remove("content-length")
        return False
    if method == "HEAD":
        if body.changed:
            headers.remove("content-length")
        elif body.length is not None and not body.empty:
            headers.set("content-length", str(body.length))
        return False
    if body.length is None:
        headers.remove("content-length")
    else:
        headers.set("content-length", str(body.length))
    return True
