"""Tokens towards a backend (RFC 6749, sections 4.3, 4.4 and 6)."""

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hookgate import Credential, Exchange, Host, Outbound, Response, Secret, Signal, hookimpl
from hookgate.workshop import FilledSecret, HeaderName, Scheme, Scopes, add_credentials
from hookgate_auth_oauth2.endpoint import Endpoint, EndpointError, Form, ServerOptions, Text, Url, check_safe
from hookgate_auth_oauth2.tokens import Token, Tokens

MARGIN = 30.0
"""Seconds before its expiry from which a token is not used any more (HC-9)."""
DEFAULT_LIFETIME = 300.0
"""Seconds a token is used whose expiry the server does not tell (HC-9)."""
LONGEST_LIFETIME = 365 * 86400.0
OWN_PARAMETERS = frozenset(
    {"grant_type", "client_id", "client_secret", "username", "password", "refresh_token", "scope", "audience"}
    | {"resource"}
)
Grant = Literal["client_credentials", "password", "refresh_token"]

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


class OAuth2CredentialOptions(ServerOptions):
    """Options of `oauth2` towards a backend."""

    token_endpoint: Url
    """URL where tokens are issued (AC-17): `https`, or `http` on a loopback address; see `allow_http`."""
    grant: Grant | None = None
    """How a token is asked for. Left out: `password` if there is a user name and a password, else `refresh_token` if
    there is one, else `client_credentials` (HC-9)."""
    username: Text | None = None
    """Whose token it is, for the grant `password`."""
    password: Secret | None = None
    """Password of that user."""
    refresh_token: FilledSecret | None = None
    """A refresh token to begin with, for the grant `refresh_token`. Where the server replaces it each time it is used,
    the gateway keeps the new one in memory only, and a start begins with this one again."""
    scope: Scopes = ()
    """What the token is to allow: a list, or a text with spaces between."""
    audience: Text | None = None
    """For which service the token is, in servers that take `audience`."""
    resource: tuple[str, ...] = ()
    """For which services the token is, as absolute URIs without fragment (RFC 8707)."""
    parameters: dict[Text, Secret] = Field(default_factory=dict)
    """Further parameters of the form, by name."""
    prefix: Scheme = "Bearer"
    """Word before the token (AC-17)."""
    header: HeaderName = "Authorization"
    """Header that carries the token."""

    @field_validator("resource")
    @classmethod
    def _be_absolute(cls, resource: tuple[str, ...]) -> tuple[str, ...]:
        for uri in resource:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s#]+", uri):
                raise ValueError(f"{uri!r} is not an absolute URI without fragment (RFC 8707, 2)")
        return resource

    @field_validator("parameters")
    @classmethod
    def _be_further_ones(cls, parameters: dict[str, Secret]) -> dict[str, Secret]:
        for name in parameters:
            if name in OWN_PARAMETERS:
                raise ValueError(f"{name!r} has an option of its own; write it there")
        return parameters

    @model_validator(mode="after")
    def _have_what_the_grant_needs(self) -> "OAuth2CredentialOptions":
        check_safe("token_endpoint", self.token_endpoint, allow_http=self.allow_http)
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together; write both or none")
        needed: dict[Grant, tuple[str, ...]] = {
            "client_credentials": ("client_id", "client_secret"),
            "password": ("username", "password"),
            "refresh_token": ("refresh_token",),
        }
        for name in needed[self.chosen]:
            if getattr(self, name) is None:
                raise ValueError(f"{name}: the grant {self.chosen} needs it (RFC 6749)")
        return self

    @property
    def chosen(self) -> Grant:
        """The grant, also where the document does not name one."""
        if self.grant is not None:
            return self.grant
        if self.username is not None:
            return "password"
        return "client_credentials" if self.refresh_token is None else "refresh_token"


class OAuth2Credential(Credential[OAuth2CredentialOptions]):
    """Shows the backend an access token that it gets from an authorization server, and renews in time (HC-9).

    The first call fetches a token; calls that come meanwhile wait for the same one. It is used until 30 seconds before
    it expires (half its time if it lives for 30 seconds or less), and for 5 minutes if the server does not say how long
    it lives. Shortly before its use ends the next call has a new one fetched in the background, and goes on with the
    old one. A refresh token is used where the server gave one, and replaced when the server replaces it; one that the
    server does not take any more is forgotten, and the grant begins anew.

    A backend that answers 401 has the token dropped and gets the call once more with a new one, if its body can be sent
    again. A token fetched for this reason is not dropped for the same reason within 10 seconds.

    When no token can be had the call fails with 503 and the reason `auth-error`; it is never sent without one. The
    server is then left alone for a second, two, four, up to a minute, or as long as its `Retry-After` says (at most 5
    minutes), during which calls that need a token fail at once. What it answered is in the log, without secrets.

    Tokens are kept in memory, as long as a reload does not change this entry.
    """

    def __init__(self, options: OAuth2CredentialOptions) -> None:
        super().__init__(options)
        secrets = (options.password, options.refresh_token, *options.parameters.values())
        self._endpoint = Endpoint(options.token_endpoint, options, secrets)
        self._refresh_token = options.refresh_token if options.chosen == "refresh_token" else None
        self._tokens = Tokens(self._fetch)
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house; the first token is fetched when a call needs it."""
        self._host = host
        self._tokens.start(host, self.entry.id)

    @hookimpl
    async def shutdown(self) -> None:
        """End a request for a token that is under way."""
        await self._tokens.stop()

    @hookimpl
    def sign(self, exchange: Exchange, outbound: Outbound) -> Signal | None:
        """Put the token into the header, at once or when it is there.

        Raises:
            ServiceUnavailable: `auth-error`: no token can be had.
        """
        token = self._tokens.get()
        if token is None:
            return self._tokens.wait(lambda token: self._put(exchange, outbound, token))
        self._put(exchange, outbound, token)
        return None

    @hookimpl
    def rejected(self, exchange: Exchange, outbound: Outbound, response: Response) -> bool:
        """Drop the token this attempt had, and say whether another one would be sent."""
        return self._tokens.rejected(outbound.headers.getall(self.options.header))

    def _put(self, exchange: Exchange, outbound: Outbound, token: Token) -> None:
        """Write the line behind those of other credentials, in the place of what the caller sent."""
        add_credentials(exchange, outbound, self.options.header, token.line)

    async def _fetch(self) -> tuple[str, float]:
        """Ask for a token: with the refresh token if there is one, else from the beginning.

        Raises:
            EndpointError: there is none to be had.
        """
        refresh_token = self._refresh_token
        if refresh_token is not None:
            try:
                return await self._ask(self._refreshing(refresh_token))
            except EndpointError as error:
                if not error.refused or (self.options.chosen == "refresh_token" and self._is_first(refresh_token)):
                    raise
                self._refresh_token = None
        return await self._ask(self._beginning())

    def _is_first(self, refresh_token: Secret) -> bool:
        return self.options.refresh_token is not None and refresh_token == self.options.refresh_token

    def _refreshing(self, refresh_token: Secret) -> Form:
        form: Form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.reveal())]
        if self.options.chosen == "refresh_token":  # otherwise the scope is that of the first token
            form += self._scope()
        return form + self._further()

    def _beginning(self) -> Form:
        options = self.options
        if options.chosen == "refresh_token" and options.refresh_token is not None:
            self._refresh_token = options.refresh_token
            return self._refreshing(options.refresh_token)
        form: Form = [("grant_type", options.chosen)]
        if options.chosen == "password" and options.username is not None and options.password is not None:
            form += [("username", options.username), ("password", options.password.reveal())]
        return form + self._scope() + self._further()

    def _scope(self) -> Form:
        return [("scope", " ".join(self.options.scope))] if self.options.scope else []

    def _further(self) -> Form:
        options = self.options
        form = [("audience", options.audience)] if options.audience is not None else []
        form += [("resource", uri) for uri in options.resource]
        return form + [(name, value.reveal()) for name, value in options.parameters.items()]

    async def _ask(self, form: Form) -> tuple[str, float]:
        answer = await self._endpoint.post(self._host.http, form)
        token = answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise EndpointError(f"{self._endpoint.url} answered without an access_token that a header can carry")
        kind = answer.get("token_type", "bearer")
        if self.options.prefix.lower() == "bearer" and (not isinstance(kind, str) or kind.lower() != "bearer"):
            raise EndpointError(
                f"{self._endpoint.url} issued a token of another type than bearer; if the backend takes it as it is, "
                "name the type in prefix"
            )
        renewed = answer.get("refresh_token")
        if isinstance(renewed, str) and _TOKEN.fullmatch(renewed):
            self._refresh_token = Secret(renewed)
        return f"{self.options.prefix} {token}", _lifetime(answer.get("expires_in"))


def _lifetime(expires_in: Any) -> float:
    """Return how many seconds a token is used whose `expires_in` is this; some servers write it as a text."""
    if isinstance(expires_in, str) and re.fullmatch(r"[0-9]{1,12}", expires_in):
        expires_in = int(expires_in)
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float):
        return DEFAULT_LIFETIME
    seconds = float(max(0, min(expires_in, LONGEST_LIFETIME)))
    return seconds - MARGIN if seconds > MARGIN else seconds / 2
