"""What this step knows of one call, between its way in and its way out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import urldefrag, urljoin, urlsplit

from hookgate import Application, Exchange, Headers, Identity, Request
from hookgate_interceptor_cache.directives import Directives
from hookgate_interceptor_cache.entry import Entry, Place
from hookgate_interceptor_cache.flight import Flight
from hookgate_interceptor_cache.options import CacheOptions

CONDITIONS = ("if-none-match", "if-modified-since")
"""What asks whether the client has what is there; this cache answers it from what it keeps."""
NOT_OURS = ("range", "if-range", "if-match", "if-unmodified-since")
"""What only the backend can answer (RFC 9111, 3.3 and 4.3.2)."""
_PASSING = frozenset({"exp", "iat", "nbf", "jti", "auth_time"})
"""Claims that differ in each token of one caller."""


@dataclass(slots=True)
class Call:
    """What this step knows of one call."""

    why: str
    """Why it goes to the backend, in the words of RFC 9211."""
    uri: str
    place: Place
    headers: Headers
    """Those of the request as they were here: what is right of this step may change them."""
    said: Directives
    """What the client says in ``Cache-Control``."""
    credentials: bool
    caller: tuple[Identity | None, Application | None]
    """Who calls, as far as steps left of this one have found out."""
    since: int
    """What the store counted when it came."""
    asked: float
    """When it came."""
    keeps: bool = False
    """Whether its answer may be kept."""
    unsafe: bool = False
    """Whether it may change what is there."""
    conditions: Sequence[tuple[str, str]] = ()
    """The client's own."""
    stale: Entry | None = None
    """What is kept and may not be given as it is."""
    validating: bool = False
    """Whether the backend is asked if that is still right."""
    flight: Flight | None = None
    """By which others wait for it."""
    answered: bool = False
    """Whether its answer has been dealt with."""


def begun(exchange: Exchange, options: CacheOptions, since: int, now: float) -> Call:
    """Look at a call: what it asks for, and whether a cache has to do with it.

    Raises:
        ExpressionError: a value of `key` cannot be evaluated.
    """
    request = exchange.request
    headers = request.headers
    uri = uri_of(request)
    part: tuple[str, ...] = (getattr(exchange.route, "name", ""), "" if exchange.to is None else repr(exchange.to))
    if options.key:
        part += tuple(repr(each(exchange)) for each in options.key)
    if options.share == "caller":
        part += (caller_of(exchange),)
    said = Directives(headers.getall("cache-control") if options.obey_clients else ())
    if options.obey_clients and not said and "no-cache" in headers.tokens("pragma"):
        said = Directives(["no-cache"])
    credentials = options.share == "explicit" and has_credentials(exchange)
    caller = (exchange.identity, exchange.application)
    call = Call("uri-miss", uri, Place(uri, part), headers.copy(), said, credentials, caller, since, now)
    if request.method not in ("GET", "HEAD"):
        call.unsafe, call.why = True, "method"
    elif request.upgrade or not request.body.empty or "no-store" in said or any(name in headers for name in NOT_OURS):
        call.why = "bypass"
    else:
        call.keeps = True
        call.conditions = [(name, value) for name in CONDITIONS for value in headers.getall(name)]
    return call


def places_changed(call: Call, headers: Headers) -> Iterator[str]:
    """Return the URLs that a call with an unsafe method may have changed (RFC 9111, 4.4)."""
    yield call.uri
    here = urlsplit(call.uri)
    for name in ("location", "content-location"):
        for value in headers.getall(name):
            try:
                named = urlsplit(urldefrag(urljoin(call.uri, value))[0])
            except ValueError:
                continue
            if (named.scheme, named.netloc.lower()) == (here.scheme, here.netloc):
                path = named.path or "/"
                yield f"{named.scheme}://{here.netloc}{path}{'?' if named.query else ''}{named.query}"


def uri_of(request: Request) -> str:
    """Return what a request asks for, at the place of this step."""
    return f"{request.scheme}://{request.host.lower()}{request.target}"


def has_credentials(exchange: Exchange) -> bool:
    """Whether a backend may know who calls."""
    request = exchange.request
    names = ("authorization", "cookie", "proxy-authorization")
    return (
        exchange.identity is not None
        or request.certificate is not None
        or any(name in request.headers for name in names)
    )


def caller_of(exchange: Exchange) -> str:
    """Return what stands for the very same credentials, and does not tell them."""
    identity, headers = exchange.identity, exchange.request.headers
    told: list[object] = [headers.getall(name) for name in ("authorization", "cookie", "proxy-authorization")]
    if identity is not None:
        claims = sorted((str(name), repr(value)) for name, value in identity.claims.items() if name not in _PASSING)
        told += [identity.subject, identity.method, identity.roles, identity.application, claims]
    if exchange.application is not None:
        told += [exchange.application.name, exchange.plan]
    if (certificate := exchange.request.certificate) is not None:
        told.append(certificate.fingerprint)
    return blake2b(repr(told).encode(errors="surrogatepass"), digest_size=16).hexdigest()
