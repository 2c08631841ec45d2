"""The protocol, which is Authlib's. It waits for nothing: what it asks of the store runs in between, in greenlets."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import orjson
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidClientError,
    InvalidGrantError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
)
from authlib.oauth2.rfc7636 import CodeChallenge
from sqlalchemy.util import greenlet_spawn

from hookgate import Exchange
from hookgate_keymanager.asked import AskedRequest
from hookgate_keymanager.builtin import BuiltIn
from hookgate_keymanager.claims import NoClaims, Subject, gathered
from hookgate_keymanager.clients import Client
from hookgate_keymanager.extending import Ask, Grant, GrantRefused, GrantRequest
from hookgate_keymanager.extensiongrants import extension, refused
from hookgate_keymanager.family import APPLICATION, USER
from hookgate_keymanager.grants import AUTH_METHODS, GRANTS
from hookgate_keymanager.identifying import OPENID, id_claims, token_hash
from hookgate_keymanager.inspecting import Introspection, Revocation
from hookgate_keymanager.issuing import ACCESS, REFRESH, Issued, Refresh, UsedTwice
from hookgate_keymanager.logins import Login
from hookgate_keymanager.records import FOREVER, KeyManagementSection
from hookgate_keymanager.scopes import MOST, Granting, is_scope
from hookgate_keymanager.signing import TooLong
from hookgate_keymanager.waiting import wait
from hookgate_people import Person

_Server: Any = AuthorizationServer  # what Authlib calls types does not hold for what it does
_TOLD = {
    "invalid_grant": "what was shown is not good, or not any more",
    "invalid_request": "the request is none",
    "invalid_scope": "there are scopes that it may not have",
    "unsupported_grant_type": "there is no such grant here",
}
"""What is said of errors of which Authlib says nothing."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer."""

    status: int
    said: Mapping[str, Any]
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def error(self) -> str:
        """Which error it is, if it is one."""
        return str(self.said.get("error", ""))


class Made(dict[str, Any]):
    """What a client is told of a token, and beside it what is kept."""

    key: str | None = None
    """What has signed it, or the ID token beside it."""
    more: Mapping[str, Any] = MappingProxyType({})
    """Claims of other systems."""
    login: Login | None = None
    """The login that it comes of."""


class NotSignedError(OAuth2Error):
    """A JWT cannot be made."""

    error = "server_error"
    status_code = 500


class LaterError(OAuth2Error):
    """Something that a token needs is away."""

    error = "temporarily_unavailable"
    status_code = 503


class Server(_Server):  # type: ignore[misc]
    """Answers what endpoints are asked."""

    def __init__(self, built_in: BuiltIn, record: KeyManagementSection, granting: Callable[[], Granting]) -> None:
        super().__init__()
        self.built_in, self.record, self.granting = built_in, record, granting
        self.log: Any = None
        """Where is told what goes wrong."""
        for name, grant in GRANTS.items():
            if name in record.grants:
                self.register_grant(grant, [CodeChallenge(required=True)] if name == "authorization_code" else None)
        for plugin in record.extension_grants:
            self.register_grant(extension(plugin))
        self.register_endpoint(Revocation)
        self.register_endpoint(Introspection)

    async def token(self, request: AskedRequest) -> Told:
        """Answer at the token endpoint (RFC 6749, 3.2)."""
        if not request.payload.grant_type:
            return Told(400, {"error": "invalid_request", "error_description": "there is no grant_type"})
        return await self.run(self.create_token_response, request)

    async def endpoint(self, name: str, request: AskedRequest) -> Told:
        """Answer at another endpoint: ``revocation`` or ``introspection``."""
        return await self.run(self.create_endpoint_response, name, request)

    async def ask(self, grant: Grant[Any], ask: Ask, request: AskedRequest, exchange: Exchange) -> Told:
        """Answer at an endpoint of another grant, for a client that has shown who it is."""

        def answer(request: AskedRequest) -> Told:
            try:
                client = self.authenticate_client(request, AUTH_METHODS)
                if not client.check_grant_type(grant.grant_type):
                    raise UnauthorizedClientError("this client may not use the grant")
                self.validate_requested_scope(request.payload.scope)
                asked = GrantRequest(dict(request.form), client, request.address)
                return Told(200, wait(_once(ask(asked, exchange))))
            except GrantRefused as fault:
                return self.handle_error_response(request, refused(fault.error, fault.detail, fault.told_status))
            except OAuth2Error as error:
                return self.handle_error_response(request, error)

        return await self.run(answer, request)

    async def run(self, what: Callable[..., Any], *given: Any) -> Told:
        """Run what Authlib does."""
        found: Told = await greenlet_spawn(what, *given)
        return found

    def query_client(self, client_id: str) -> Client | None:
        """Return a client."""
        return wait(self.built_in.clients.get(client_id)) if len(client_id) <= 64 else None

    def create_oauth2_request(self, request: AskedRequest) -> AskedRequest:
        """Return it: it is one."""
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Told:
        """Return what is answered."""
        return Told(status, body if isinstance(body, Mapping) else orjson.loads(body), tuple(headers or ()))

    def handle_error_response(self, request: AskedRequest, error: Any) -> Told:
        """Return an error. Which client there is and which is not, nobody learns (RFC 6749, 5.2)."""
        if isinstance(error, InvalidClientError):
            description = "the client is not known, or it has not shown that it is this one"
            said = {"error": "invalid_client", "error_description": description}
            return Told(401, said, (("WWW-Authenticate", 'Basic realm="hookgate"'),))
        found: Told = super().handle_error_response(request, error)
        if "error_description" not in found.said and found.error in _TOLD:
            return replace(found, said={**found.said, "error_description": _TOLD[found.error]})
        return found

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Tell nobody."""

    def validate_requested_scope(self, scope: str | None) -> None:
        """Check that scopes can be some; which are granted is found out later (KC-61)."""
        asked = (scope or "").split(" ")
        if scope and (len(asked) > MOST or not all(map(is_scope, asked))):
            raise InvalidScopeError(f"scopes are up to {MOST} words with one blank between (RFC 6749, 3.3)")

    def generate_token(
        self,
        grant_type: str,
        client: Client,
        user: Person | None = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
        login: Login | None = None,
    ) -> Made:
        """Make what is answered; scopes are those that the user, or the owner of the application, may have."""
        record = self.record
        person = wait(self.built_in.people.person(client.owner)) if user is None else user
        if person is None:
            raise UnauthorizedClientError("the owner of the application is gone or disabled")
        lifetime = client.lifetime
        if lifetime is None:
            lifetime = record.application_lifetime if user is None else record.lifetime
        asked = scope.split(" ") if scope else []
        made = Made(token_type="Bearer")  # noqa: S106
        made["scope"] = self.granting().granted(asked, person.roles, login=login is not None)
        made.login = login
        if user is not None:
            made.more = wait(self._claims(client, user))
        said = {"sub": person.name, "client_id": client.client_id, "scope": made["scope"]}
        if (client.format or record.access_tokens) == "jwt":
            kind = APPLICATION if user is None else USER
            said |= {"application": client.application, "token_kind": kind, "key_type": client.key_type}
            made["access_token"], made.key = wait(self._signed({**made.more, **said}, lifetime))
        else:
            made["access_token"] = ACCESS + secrets.token_urlsafe(32)
        if lifetime >= 0:
            made["expires_in"] = int(lifetime)
        if login is not None and record.identifies and OPENID in made["scope"].split(" "):
            made["id_token"], kid = wait(self._identified(made, client, person.name, login, lifetime))
            made.key = made.key or kid  # which is shown for as long as the access token is good
        refreshes = "refresh_token" in record.grants and client.check_grant_type("refresh_token")
        if include_refresh_token and user is not None and refreshes:
            made["refresh_token"] = REFRESH + secrets.token_urlsafe(32)
        return made

    async def _claims(self, client: Client, user: Person) -> Mapping[str, Any]:
        """Return what other systems say of a user (AC-45)."""
        subject = Subject(user.name, client.client_id, client.application)
        try:
            return await gathered(self.record.claims, subject, self.log)
        except NoClaims:
            raise LaterError("what tokens say of users cannot be had now; try again later") from None

    async def _signed(self, said: Mapping[str, Any], lifetime: float) -> tuple[str, str]:
        """Return a JWT that says that, and which key has signed it (RFC 9068, 2.2)."""
        record = self.record
        if record.issuer is None:
            raise NotSignedError("JWTs need an issuer: write keymanager.issuer in the document")
        now = int(self.built_in.store.clock())
        ends = now + int(FOREVER if lifetime < 0 else lifetime)  # RFC 9068 wants an end of those without one, too
        audience = record.audience or (record.issuer,)
        times = {"iss": record.issuer, "aud": audience[0] if len(audience) == 1 else list(audience)}
        try:
            return await self.built_in.signing.sign({**said, **times, "iat": now, "exp": ends})
        except TooLong:
            raise NotSignedError("the claims do not fit into a token") from None

    async def _identified(
        self, made: Made, client: Client, user: str, login: Login, lifetime: float
    ) -> tuple[str, str]:
        """Return an ID token, and which key has signed it (OpenID Connect Core 1.0, 2)."""
        now, signing = int(self.built_in.store.clock()), self.built_in.signing
        said = id_claims(self.record, client.client_id, user, login, now, lifetime)
        said["at_hash"] = token_hash(made["access_token"], self.record.signing.algorithm)
        return await signing.sign(said, "JWT")

    def save_token(self, token: Made, request: AskedRequest) -> None:
        """Keep what is issued, and use up what it is issued for."""
        now = self.built_in.store.clock()
        seconds = token.get("expires_in")
        using = request.refresh_token or request.authorization_code
        granted = request.granted
        issued = Issued(
            request.client,
            None if request.user is None else request.user.name,
            token["scope"],
            token["access_token"],
            None if seconds is None else now + seconds,
            token.get("refresh_token", ""),
            now + self.record.refresh_lifetime,
            using,
            request.payload.grant_type if not isinstance(using, Refresh) else using.grant_type,
            token.key,
            token.more,
            None if granted is None else granted.use,
            None if granted is None else granted.family,
            token.login,
        )
        try:
            wait(self.built_in.issuing.keep(issued))
        except UsedTwice:
            raise InvalidGrantError("it has been used before; log in again") from None


async def _once(found: Awaitable[Mapping[str, Any]]) -> Mapping[str, Any]:
    return await found
