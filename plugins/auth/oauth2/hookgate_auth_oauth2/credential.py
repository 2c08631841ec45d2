"""Tokens towards a backend (RFC 6749, sections 4.1, 4.3, 4.4 and 6)."""

import re
from collections.abc import Awaitable, Mapping
from typing import Any, Literal

from pydantic import AliasChoices, Field, field_validator, model_validator

from hookgate import (
    Credential,
    Exchange,
    Host,
    MachineError,
    Outbound,
    Response,
    Secret,
    Signal,
    StateError,
    hookimpl,
)
from hookgate.workshop import FilledSecret, HeaderName, Scheme, Scopes, add_credentials
from hookgate_auth_oauth2.approval import Approval, Approved, Vault
from hookgate_auth_oauth2.endpoint import Endpoint, EndpointError, Form, ServerOptions, Text, Url, check_safe
from hookgate_auth_oauth2.tokens import Token, Tokens

MARGIN = 30.0
"""Seconds before its expiry from which a token is not used any more (HC-9)."""
DEFAULT_LIFETIME = 300.0
"""Seconds a token is used whose expiry the server does not tell (HC-9)."""
LONGEST_LIFETIME = 365 * 86400.0
OWN_PARAMETERS = frozenset(
    {"grant_type", "client_id", "client_secret", "username", "password", "refresh_token", "scope", "audience"}
    | {"resource", "code", "code_verifier", "redirect_uri"}
)
ASKED_FOR = frozenset({"response_type", "client_id", "redirect_uri", "state", "scope", "resource", "audience"})
"""Parameters of the authorization endpoint that are ours to write."""
Grant = Literal["client_credentials", "password", "refresh_token", "authorization_code"]

_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")


class OAuth2CredentialOptions(ServerOptions):
    """Options of `oauth2` towards a backend."""

    token_endpoint: Url = Field(validation_alias=AliasChoices("token_endpoint", "login_url"))
    """URL where tokens are issued (AC-17): `https`, or `http` on a loopback address; see `allow_http`."""
    grant: Grant | None = Field(default=None, validation_alias=AliasChoices("grant", "grant_type"))
    """How a token is asked for. Left out: `password` if there is a user name and a password, else `refresh_token` if
    there is one, `authorization_code` if there is an `authorization_endpoint`, else `client_credentials` (HC-9)."""
    authorization_endpoint: Url | None = None
    """URL where an operator approves the calls, for the grant `authorization_code`."""
    redirect_uri: Url | None = None
    """Where the server sends the operator then, as it is registered there. Left out: `http://127.0.0.1:PORT/callback`
    with a port that is free (RFC 8252, 7.3)."""
    issuer: Text | None = None
    """Issuer that the server tells when it sends the operator back, where it does (RFC 9207)."""
    authorization_parameters: dict[Text, Text] = Field(default_factory=dict)
    """Further parameters of the authorization endpoint, such as `access_type: offline`."""
    state_key: FilledSecret | None = None
    """Secret of 32 characters or more by which the refresh token is kept encrypted, for the grant
    `authorization_code`; best of `openssl rand -base64 32`. Gateways that share a store need the same one."""
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
            "authorization_code": ("authorization_endpoint", "client_id", "state_key"),
        }
        for name in needed[self.chosen]:
            if getattr(self, name) is None:
                raise ValueError(f"{name}: the grant {self.chosen} needs it (RFC 6749)")
        if self.authorization_endpoint is not None:
            check_safe("authorization_endpoint", self.authorization_endpoint, allow_http=self.allow_http)
        if self.state_key is not None and len(self.state_key.reveal()) < 32:
            raise ValueError("state_key: it can be guessed; write 32 characters or more (openssl rand -base64 32)")
        if self.redirect_uri is not None:
            check_safe("redirect_uri", self.redirect_uri, allow_http=self.allow_http)
        for name in self.authorization_parameters:
            if name in ASKED_FOR or name.startswith("code_challenge"):
                raise ValueError(f"authorization_parameters: {name!r} is written by the gateway; take it out")
        return self

    @property
    def chosen(self) -> Grant:
        """The grant, also where the document does not name one."""
        if self.grant is not None:
            return self.grant
        if self.username is not None:
            return "password"
        if self.refresh_token is not None:
            return "refresh_token"
        return "client_credentials" if self.authorization_endpoint is None else "authorization_code"


class OAuth2Credential(Credential[OAuth2CredentialOptions]):
    """Shows the backend an access token that it gets from an authorization server, and renews in time (HC-9).

    The first call fetches a token; calls that come meanwhile wait for the same one. It is used until 30 seconds before
    it expires (half its time if it lives for 30 seconds or less), and for 5 minutes if the server does not say how long
    it lives. Shortly before its use ends the next call has a new one fetched in the background, and goes on with the
    old one. A refresh token is used where the server gave one, and replaced when the server replaces it; one that the
    server does not take any more is forgotten, and the grant begins anew.

    A backend that answers 401 has the token dropped and gets the call once more with a new one, if its body can be sent
    again. A token fetched for this reason is not dropped for the same reason within 10 seconds.

    With `authorization_code` an operator approves the calls once: `hookgate authorize DOCUMENT CONNECTION` prints a URL
    to open, with PKCE, and waits for the browser to come back. The refresh token is kept in `gateway.state`, encrypted
    with `state_key`; one that replaces it is kept in its place. What is missing, or is not taken any more, stands on
    `/-/health` with what to do.

    When no token can be had the call fails with 503 and the reason `auth-error`; it is never sent without one. The
    server is then left alone for a second, two, four, up to a minute, or as long as its `Retry-After` says (at most 5
    minutes), during which calls that need a token fail at once. What it answered is in the log, without secrets.

    Tokens are kept in memory, as long as a reload does not change this entry. The metric `hookgate_oauth2_tokens_total`
    counts requests for them by `credential` and `outcome` (`renewed`, `failed`).
    """

    def __init__(self, options: OAuth2CredentialOptions) -> None:
        super().__init__(options)
        secrets = (options.password, options.refresh_token, options.state_key, *options.parameters.values())
        self._endpoint = Endpoint(options.token_endpoint, options, secrets)
        self._refresh_token = options.refresh_token if options.chosen == "refresh_token" else None
        self._tokens = Tokens(self._fetch)
        self._vault: Vault | None = None
        self._looking: Any = None
        if options.chosen == "authorization_code" and options.state_key is not None:
            self._vault = Vault(options.state_key, (options.token_endpoint, options.client_id or ""))
            self._approved = Approved(self._vault, lambda form: self._endpoint.post(self._host.http, form))
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> Awaitable[None] | None:
        """Remember the house, and look for an approval; the first token is fetched when a call needs it."""
        self._host = host
        self._tokens.start(host, self.entry.id)
        return None if self._vault is None else self._approved.look(host, self.entry.id)

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say what is wrong with the approval of an operator, and what to do."""
        if self._vault is None or not self._approved.problem:
            return None
        if self._looking is None or self._looking.done():  # somebody may have approved meanwhile
            look = self._approved.look(self._host, self.entry.id)
            self._looking = self._host.start(f"{self.entry.id}: approval", look)
        return {"problems": [self._approved.problem]}

    def approval(self, redirect_uri: str) -> Approval:
        """Begin the approval by an operator, who is sent to `redirect_uri` in the end.

        Raises:
            MachineError: this credential needs none.
        """
        options, vault = self.options, self._vault
        if vault is None or options.authorization_endpoint is None:
            raise MachineError(f"{self.entry.id} asks for tokens by {options.chosen}, which nobody has to approve")

        async def keep(form: Form) -> None:
            try:
                answer = await self._endpoint.post(self._host.http, form)
                token = answer.get("refresh_token")
                if not isinstance(token, str) or not _TOKEN.fullmatch(token):
                    raise MachineError(
                        "the authorization server issued no refresh token; many want the scope offline_access, or "
                        "authorization_parameters: {access_type: offline, prompt: consent}"
                    )
                await vault.write(self._host, self.entry.id, token)
            except EndpointError as error:
                raise MachineError(f"no token: {error}") from None
            except StateError as error:
                raise MachineError(f"the refresh token cannot be kept: {error}") from None

        form: Form = [("client_id", options.client_id or ""), *self._scope()]
        form += [("audience", options.audience)] if options.audience is not None else []
        form += [("resource", uri) for uri in options.resource]
        form += list(options.authorization_parameters.items())
        return Approval(options.authorization_endpoint, form, redirect_uri, options.issuer, keep)

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
        if self._vault is not None:
            return self._token(await self._approved.refresh(self._host, self.entry.id, self._refreshing))
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
        renewed = answer.get("refresh_token")
        if isinstance(renewed, str) and _TOKEN.fullmatch(renewed):
            self._refresh_token = Secret(renewed)
        return self._token(answer)

    def _token(self, answer: Mapping[str, Any]) -> tuple[str, float]:
        token = answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise EndpointError(f"{self._endpoint.url} answered without an access_token that a header can carry")
        kind = answer.get("token_type", "bearer")
        if self.options.prefix.lower() == "bearer" and (not isinstance(kind, str) or kind.lower() != "bearer"):
            raise EndpointError(
                f"{self._endpoint.url} issued a token of another type than bearer; if the backend takes it as it is, "
                "name the type in prefix"
            )
        return f"{self.options.prefix} {token}", _lifetime(answer.get("expires_in"))


def _lifetime(expires_in: Any) -> float:
    """Return how many seconds a token is used whose `expires_in` is this; some servers write it as a text."""
    if isinstance(expires_in, str) and re.fullmatch(r"[0-9]{1,12}", expires_in):
        expires_in = int(expires_in)
    if isinstance(expires_in, bool) or not isinstance(expires_in, int | float):
        return DEFAULT_LIFETIME
    seconds = float(max(0, min(expires_in, LONGEST_LIFETIME)))
    return seconds - MARGIN if seconds > MARGIN else seconds / 2
