"""Set the headers that make browsers careful."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from hookgate import Exchange, Headers, Interceptor, Options, WholeSeconds, hookimpl

_YEAR = 31_536_000
_HSTS = "Strict-Transport-Security"
_TELLING = ("server", "x-powered-by")


def _policy(value: str) -> str:
    """Fold a policy that was written over several lines into the one line that a header is."""
    value = " ".join(value.split())
    if not value:
        raise ValueError("a policy says something; write null, or leave the option out, to have no such header")
    Headers({"policy": value})
    return value


Policy = Annotated[str, AfterValidator(_policy)]


class Hsts(Options):
    """What `Strict-Transport-Security` says (RFC 6797)."""

    max_age: WholeSeconds = Field(default=_YEAR, ge=0)
    """Seconds for which browsers use only HTTPS for this host; 0 makes them forget it."""
    include_subdomains: bool = False
    """Whether that holds for every sub-domain too. Be sure that all of them speak HTTPS."""
    preload: bool = False
    """Whether the host asks to be put into the lists that browsers ship, from which it is hard to get out again. They
    take only hosts with `include_subdomains` and a `max_age` of a year (31536000) or more."""

    @model_validator(mode="after")
    def _fit_for_preloading(self) -> "Hsts":
        if self.preload and not (self.include_subdomains and self.max_age >= _YEAR):
            raise ValueError(f"preload needs include_subdomains: true and a max_age of {_YEAR} seconds or more")
        return self

    def __str__(self) -> str:
        """The value of the header."""
        words = [f"max-age={self.max_age}"]
        if self.include_subdomains:
            words.append("includeSubDomains")
        if self.preload:
            words.append("preload")
        return "; ".join(words)


class SecurityHeadersOptions(Options):
    """Options of `security-headers`. `null` leaves a header out."""

    strict_transport_security: Hsts | None = Hsts()
    """What browsers are told about HTTPS, on answers to calls that came by HTTPS; elsewhere they ignore it."""
    x_content_type_options: Literal["nosniff"] | None = "nosniff"
    """Whether browsers must believe the `Content-Type`."""
    x_frame_options: Literal["DENY", "SAMEORIGIN"] | None = "DENY"
    """Which pages may show this one in a frame. Where `Content-Security-Policy` has `frame-ancestors`, that counts."""
    referrer_policy: (
        Literal[
            "no-referrer",
            "no-referrer-when-downgrade",
            "origin",
            "origin-when-cross-origin",
            "same-origin",
            "strict-origin",
            "strict-origin-when-cross-origin",
            "unsafe-url",
        ]
        | None
    ) = "strict-origin-when-cross-origin"
    """How much of this address the pages it links to learn."""
    content_security_policy: Policy | None = None
    """What a page may load and do (`default-src 'self'; frame-ancestors 'none'`). May be written over several lines."""
    permissions_policy: Policy | None = None
    """Which features of the browser a page may use (`camera=(), geolocation=()`). May be written over several lines."""
    cross_origin_opener_policy: (
        Literal["unsafe-none", "same-origin-allow-popups", "same-origin", "noopener-allow-popups"] | None
    ) = "same-origin"
    """Which pages share a browsing context with this one. Sign-in by pop-up needs `same-origin-allow-popups`."""
    cross_origin_resource_policy: Literal["same-site", "same-origin", "cross-origin"] | None = "same-origin"
    """Whose pages may load this without CORS, as images and scripts are. A place for public files needs
    `cross-origin`."""
    override: bool = False
    """Whether the gateway's value replaces one that the backend sent."""
    hide_server: bool = True
    """Whether `Server` and `X-Powered-By`, which tell a stranger what the backend is made of, are taken out."""


class SecurityHeaders(Interceptor[SecurityHeadersOptions]):
    """Puts what browsers need to be careful on every answer, error answers included.

    What the backend said itself stays, unless `override` is set. Which scheme a call came by is what the listener says,
    or a trusted proxy in front of it.
    """

    category = "security"
    writes = {"response.headers"}

    def __init__(self, options: SecurityHeadersOptions) -> None:
        super().__init__(options)
        wanted = {
            "X-Content-Type-Options": options.x_content_type_options,
            "X-Frame-Options": options.x_frame_options,
            "Referrer-Policy": options.referrer_policy,
            "Content-Security-Policy": options.content_security_policy,
            "Permissions-Policy": options.permissions_policy,
            "Cross-Origin-Opener-Policy": options.cross_origin_opener_policy,
            "Cross-Origin-Resource-Policy": options.cross_origin_resource_policy,
        }
        fields = {name: value for name, value in wanted.items() if value is not None}
        self._fields = self._fields_https = Headers(fields)
        if options.strict_transport_security is not None:
            self._fields_https = Headers({_HSTS: str(options.strict_transport_security)} | fields)
        self._names = frozenset(self._fields_https.lowered())

    @hookimpl
    def on_response(self, exchange: Exchange) -> None:
        """Complete the head of the answer, whoever gave it."""
        if exchange.response is None:
            return
        headers = exchange.response.headers
        if self.options.hide_server:
            headers.remove(*_TELLING)
        fields = self._fields_https if exchange.request.scheme == "https" else self._fields
        if not self.options.override and not self._names.isdisjoint(headers.lowered()):  # the backend said something
            said = headers.lowered()
            ours = zip(fields.raw, fields.lowered(), strict=True)
            fields = Headers.of([field for field, name in ours if name not in said])
        headers.update(fields)
