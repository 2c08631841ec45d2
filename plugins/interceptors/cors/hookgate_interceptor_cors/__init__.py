"""Answer preflights and say which pages of other origins may read the answers."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from hookgate import Exchange, Forbidden, Headers, Interceptor, Options, Response, hookimpl

_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(\*\.)?(\[[0-9a-f:.]+\]|[a-z0-9_-][a-z0-9_.-]*)(?P<port>:[0-9]{1,5})?"
)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_ANSWER_HEADERS = (
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-private-network",
    "access-control-expose-headers",
    "access-control-max-age",
)
_ANSWER_HEADERS_RAW = frozenset(name.encode() for name in _ANSWER_HEADERS)
_CLIENTS_ORIGIN = "cors.origin"
_VARY = Headers({"Vary": "Origin"})


def _origin(text: str) -> str:
    if text == "*":
        return text
    parts = _ORIGIN.fullmatch(text)
    if parts is None:
        raise ValueError(
            f"{text!r} is not an origin as browsers send it; write scheme://host or scheme://host:port in lower case "
            "and ASCII, without a path (https://app.example.org, https://*.example.org), or * alone",
        )
    if parts["port"] and parts["port"] == _DEFAULT_PORTS.get(parts["scheme"]):
        raise ValueError(f"browsers leave out the default port; write {text.removesuffix(parts['port'])}")
    return text


def _header_name(name: str) -> str:
    Headers({name: ""})
    return name


def _method(name: str) -> str:
    Headers({name: ""})  # a method is a token, as a header name is
    if name != name.upper():
        raise ValueError(f"methods are compared letter by letter; write {name.upper()}")
    return name


HeaderName = Annotated[str, AfterValidator(_header_name)]


class CorsOptions(Options):
    """Options of `cors`."""

    allow_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(min_length=1)
    """Origins whose pages may read the answers: exact ones (`https://app.example.org`), every sub-domain of one at any
    depth (`https://*.example.org`, which is not `https://example.org` itself), or `*` alone for every page there is."""
    allow_methods: tuple[Annotated[str, AfterValidator(_method)], ...] = (
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
    )
    """Methods that pages may use."""
    allow_headers: tuple[HeaderName, ...] = ("Authorization", "Content-Type")
    """Request headers that pages may set, beyond those the Fetch standard always allows."""
    expose_headers: tuple[HeaderName, ...] = ()
    """Headers of the answer that pages may read, beyond those the Fetch standard always shows."""
    allow_credentials: bool = False
    """Whether pages may read answers to calls that browsers send with cookies, TLS certificates or stored passwords."""
    max_age: int = Field(default=600, ge=0)
    """Seconds a browser may remember the answer to a preflight; browsers have limits of their own (Chromium 7,200)."""

    @model_validator(mode="after")
    def _agree(self) -> "CorsOptions":
        if "*" in self.allow_origins and len(self.allow_origins) > 1:
            raise ValueError("allow_origins: * stands for every origin; leave out either it or the others")
        if self.allow_credentials:
            for field in ("allow_origins", "allow_methods", "allow_headers", "expose_headers"):
                if "*" in getattr(self, field):
                    raise ValueError(
                        f"{field}: * does not go together with allow_credentials, and browsers refuse it; "
                        "name what is allowed",
                    )
        return self


class Cors(Interceptor[CorsOptions]):
    """Speaks the CORS protocol of the Fetch standard in place of the backend (KC-58).

    A preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) is answered here and reaches no backend:
    with 204 and what is allowed for a listed origin, with 403 and none of it for another one, as the standard advises.
    Other calls go on whatever their origin, since it is the browser that keeps the answer from the page. What the
    backend says about CORS is replaced.

    Place it left of whatever may refuse a call: a browser sends no credentials with a preflight, and a page can read
    an error only with these headers on it. A preflight takes the route of the call it asks about, whether or not that
    route lists `OPTIONS`. Of two `cors` steps on the way of a call the left one decides.
    """

    category = "security"
    sides = {"request"}
    paired = True
    writes = {"response.headers", "variables"}

    def __init__(self, options: CorsOptions) -> None:
        super().__init__(options)
        self._every = "*" in options.allow_origins
        self._exact = frozenset(origin for origin in options.allow_origins if "*" not in origin)
        self._patterns = tuple(_pattern(origin) for origin in options.allow_origins if "//*." in origin)
        self._methods = ", ".join(options.allow_methods)
        self._headers = ", ".join(options.allow_headers)
        self._exposed = ", ".join(options.expose_headers)

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        """Answer a preflight; of other calls remember the origin, which steps further right may take out.

        Raises:
            Forbidden: a preflight from an origin that is not listed.
        """
        request = exchange.request
        origin = request.headers.get("origin")
        if origin is not None and request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            return self._preflight(origin)
        exchange.variables.setdefault(_CLIENTS_ORIGIN, origin)
        return None

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Say who may read this answer, error or not."""
        if exchange.response is None:
            return
        headers = exchange.response.headers
        if not _ANSWER_HEADERS_RAW.isdisjoint(headers.lowered()):  # few backends speak of CORS themselves
            headers.remove(*_ANSWER_HEADERS)
        if self._allow(headers, exchange.variables.get(_CLIENTS_ORIGIN)) and self._exposed:
            headers.set("Access-Control-Expose-Headers", self._exposed)

    def _preflight(self, origin: str) -> Response:
        response = Response(204)
        if not self._allow(response.headers, origin):
            raise Forbidden(
                "Pages of this origin may not call this route.",
                reason="origin-refused",
                headers=response.headers.items(),
            )
        response.headers.set("Access-Control-Allow-Methods", self._methods)
        response.headers.set("Access-Control-Allow-Headers", self._headers)
        response.headers.set("Access-Control-Max-Age", str(self.options.max_age))
        return response

    def _allow(self, headers: Headers, origin: str | None) -> bool:
        """Write what depends on the origin, and return whether it is allowed.

        `*` goes on every answer and needs no `Vary`. A list needs it on every answer too, those without `Origin` in the
        request included: a cache would otherwise show a page an answer that was kept without the header.
        """
        if self._every:
            headers.set("Access-Control-Allow-Origin", "*")
            return True
        _vary(headers)
        if origin is None or not (origin in self._exact or any(one.fullmatch(origin) for one in self._patterns)):
            return False
        headers.set("Access-Control-Allow-Origin", origin)
        if self.options.allow_credentials:
            headers.set("Access-Control-Allow-Credentials", "true")
        return True


def _pattern(origin: str) -> re.Pattern[str]:
    scheme, domain = origin.split("*.", 1)
    return re.compile(rf"{re.escape(scheme)}(?:[a-z0-9_-]+\.)+{re.escape(domain)}")


def _vary(headers: Headers) -> None:
    """Add `Origin` to `Vary`, in one line with what is there."""
    if "vary" not in headers:  # the usual case, at a fifth of the cost
        headers.update(_VARY)
        return
    named = headers.tokens("vary")
    if "origin" not in named and "*" not in named:
        headers.set("Vary", ", ".join([*headers.getall("vary"), "Origin"]))
