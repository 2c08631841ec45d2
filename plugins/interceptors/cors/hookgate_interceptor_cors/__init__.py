"""Answer preflights and say which pages of other origins may read the answers."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hookgate import Exchange, Forbidden, Headers, Host, Interceptor, Options, Response, WholeSeconds, hookimpl

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


def _listed(value: object) -> object:
    """Take `a, b` for a list (KC-58)."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


_LISTED = BeforeValidator(_listed, json_schema_input_type=str | tuple[str, ...])
Origins = Annotated[tuple[Annotated[str, AfterValidator(_origin)], ...], _LISTED]
Methods = Annotated[tuple[Annotated[str, AfterValidator(_method)], ...], _LISTED]
HeaderNames = Annotated[tuple[Annotated[str, AfterValidator(_header_name)], ...], _LISTED]


class ApiCors(Options):
    """What is different for one API; what is left out is as for everybody."""

    enabled: bool | None = None
    """`false` leaves calls and answers of this API alone."""
    allow_origins: Origins | None = Field(default=None, min_length=1)
    """Origins whose pages may read the answers."""
    allow_methods: Methods | None = None
    """Methods that pages may use."""
    allow_headers: HeaderNames | None = None
    """Request headers that pages may set."""
    expose_headers: HeaderNames | None = None
    """Headers of the answer that pages may read."""
    allow_credentials: bool | None = None
    """Whether pages may read answers to calls with cookies, TLS certificates or stored passwords."""
    max_age: Annotated[WholeSeconds, Field(ge=0)] | None = None
    """Seconds a browser may remember the answer to a preflight."""


class CorsOptions(Options):
    """Options of `cors`."""

    enabled: bool = True
    """`false` leaves every call and answer alone, those of `apis` as well."""
    allow_origins: Origins = Field(min_length=1)
    """Origins whose pages may read the answers: exact ones (`https://app.example.org`), every sub-domain of one at any
    depth (`https://*.example.org`, which is not `https://example.org` itself), or `*` alone for every page there is.
    This and the other lists may be one text with commas between."""
    allow_methods: Methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    """Methods that pages may use."""
    allow_headers: HeaderNames = ("Authorization", "Access-Control-Allow-Origin", "Content-Type")
    """Request headers that pages may set, beyond those the Fetch standard always allows."""
    expose_headers: HeaderNames = ()
    """Headers of the answer that pages may read, beyond those the Fetch standard always shows."""
    allow_credentials: bool = False
    """Whether pages may read answers to calls that browsers send with cookies, TLS certificates or stored passwords."""
    max_age: WholeSeconds = Field(default=600, ge=0)
    """Seconds a browser may remember the answer to a preflight; browsers have limits of their own (Chromium 7,200)."""
    apis: dict[str, ApiCors] = Field(default_factory=dict)
    """What is different for single APIs, by name, for a step in `gateway.flow`. It counts for all their versions."""

    @model_validator(mode="after")
    def _agree(self) -> "CorsOptions":
        for name, said in {"": self, **{name: self.of(api) for name, api in self.apis.items()}}.items():
            where = f"apis.{name}: " if name else ""
            if "*" in said.allow_origins and len(said.allow_origins) > 1:
                raise ValueError(f"{where}allow_origins: * stands for every origin; leave out either it or the others")
            if said.allow_credentials:
                for field in ("allow_origins", "allow_methods", "allow_headers", "expose_headers"):
                    if "*" in getattr(said, field):
                        raise ValueError(
                            f"{where}{field}: * does not go together with allow_credentials, and browsers refuse it; "
                            "name what is allowed",
                        )
        return self

    def of(self, api: ApiCors) -> "CorsOptions":
        """Return what counts for one API: what it says, and else what counts for everybody."""
        own = {name: value for name, value in vars(api).items() if value is not None}
        if not self.enabled:
            own["enabled"] = False
        return self.model_copy(update={**own, "apis": {}})


class Cors(Interceptor[CorsOptions]):
    """Speaks the CORS protocol of the Fetch standard in place of the backend (KC-58).

    A preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) is answered here and reaches no backend:
    with 204 and what is allowed for a listed origin, with 403 and none of it for another one, as the standard advises.
    Other calls go on whatever their origin, since it is the browser that keeps the answer from the page. What the
    backend says about CORS is replaced.

    Place it left of whatever may refuse a call: a browser sends no credentials with a preflight, and a page can read
    an error only with these headers on it. A preflight takes the route of the call it asks about, whether or not that
    route lists `OPTIONS`. Of two `cors` steps on the way of a call the left one decides, so a `cors` for everybody in
    `gateway.flow` says under `apis` what is different for an API.
    """

    category = "security"
    sides = {"request"}
    paired = True
    writes = {"response.headers", "variables"}

    def __init__(self, options: CorsOptions) -> None:
        super().__init__(options)
        self._everybody = _Rules(options)
        self._by_api = {name: _Rules(options.of(api)) for name, api in options.apis.items()}

    @hookimpl
    def startup(self, host: Host) -> None:
        """Look for the APIs that `apis` names.

        Raises:
            ValueError: there is no such API.
        """
        if self._by_api:
            known = {item.record.name for item in host.section("apis").items}
            if unknown := sorted(self._by_api.keys() - known):
                raise ValueError(f"apis: there is no API {unknown[0]!r}; there is {', '.join(sorted(known))}")

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | None:
        """Answer a preflight; of other calls remember the origin, which steps further right may take out.

        Raises:
            Forbidden: a preflight from an origin that is not listed.
            BadRequest: there are two origins.
        """
        rules = self._rules(exchange)
        if not rules.enabled:
            return None
        request = exchange.request
        origin = request.headers.single("origin")
        if origin is not None and request.method == "OPTIONS" and "access-control-request-method" in request.headers:
            return rules.preflight(origin)
        exchange.variables.setdefault(_CLIENTS_ORIGIN, origin)
        return None

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Say who may read this answer, error or not."""
        rules = self._rules(exchange)
        if exchange.response is None or not rules.enabled:
            return
        headers = exchange.response.headers
        if not _ANSWER_HEADERS_RAW.isdisjoint(headers.lowered()):  # few backends speak of CORS themselves
            headers.remove(*_ANSWER_HEADERS)
        if rules.allow(headers, exchange.variables.get(_CLIENTS_ORIGIN)) and rules.exposed:
            headers.set("Access-Control-Expose-Headers", rules.exposed)

    def _rules(self, exchange: Exchange) -> "_Rules":
        if self._by_api and exchange.api is not None:
            return self._by_api.get(exchange.api.name, self._everybody)
        return self._everybody


class _Rules:
    """What counts for everybody, or for one API."""

    def __init__(self, options: CorsOptions) -> None:
        self.enabled = options.enabled
        self._every = "*" in options.allow_origins
        self._exact = frozenset(origin for origin in options.allow_origins if "*" not in origin)
        self._patterns = tuple(_pattern(origin) for origin in options.allow_origins if "//*." in origin)
        self._methods = ", ".join(options.allow_methods)
        self._headers = ", ".join(options.allow_headers)
        self.exposed = ", ".join(options.expose_headers)
        self._max_age = str(options.max_age)
        self._credentials = options.allow_credentials

    def preflight(self, origin: str) -> Response:
        """Answer a preflight.

        Raises:
            Forbidden: the origin is not listed.
        """
        response = Response(204)
        if not self.allow(response.headers, origin):
            raise Forbidden(
                "Pages of this origin may not call this route.",
                reason="origin-refused",
                headers=response.headers.items(),
            )
        response.headers.set("Access-Control-Allow-Methods", self._methods)
        response.headers.set("Access-Control-Allow-Headers", self._headers)
        response.headers.set("Access-Control-Max-Age", self._max_age)
        return response

    def allow(self, headers: Headers, origin: str | None) -> bool:
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
        if self._credentials:
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
