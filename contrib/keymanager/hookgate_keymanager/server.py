"""The protocol, which is Authlib's. It waits for nothing: what it asks of the store runs in between, in greenlets."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import orjson
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    InvalidClientError,
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    grants,
)
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from sqlalchemy.util import await_only, greenlet_spawn

from hookgate_keymanager.asked import AskedRequest
from hookgate_keymanager.builtin import USER, BuiltIn
from hookgate_keymanager.clients import Client
from hookgate_keymanager.issuing import ACCESS, REFRESH, Access, Code, Issued, Refresh, UsedTwice
from hookgate_keymanager.records import KeyManagementSection
from hookgate_keymanager.scopes import MOST, Granting, is_scope
from hookgate_people import CodeNeeded, Denied, Person

ValueT = TypeVar("ValueT")
_Server: Any = AuthorizationServer  # what Authlib calls types does not hold for what it does
_grants: Any = grants
_Revocation: Any = RevocationEndpoint
_Introspection: Any = IntrospectionEndpoint
AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]
CONFIDENTIAL = AUTH_METHODS[:2]
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


def wait(coroutine: Coroutine[Any, Any, ValueT]) -> ValueT:
    """Wait, within what :meth:`Server.run` runs."""
    found: ValueT = await_only(coroutine)
    return found


class Server(_Server):  # type: ignore[misc]
    """Answers what endpoints are asked."""

    def __init__(self, built_in: BuiltIn, record: KeyManagementSection, granting: Callable[[], Granting]) -> None:
        super().__init__()
        self.built_in, self.record, self.granting = built_in, record, granting
        for name, grant in _GRANTS.items():
            if name in record.grants:
                self.register_grant(grant, [CodeChallenge(required=True)] if name == "authorization_code" else None)
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
    ) -> dict[str, Any]:
        """Make what is answered; scopes are those that the user, or the owner of the application, may have."""
        record = self.record
        held = wait(self.built_in.roles_of(client.owner)) if user is None else user.roles
        lifetime = client.lifetime
        if lifetime is None:
            lifetime = record.application_lifetime if user is None else record.lifetime
        asked = scope.split(" ") if scope else []
        made: dict[str, Any] = {
            "access_token": ACCESS + secrets.token_urlsafe(32),
            "token_type": "Bearer",
            "scope": self.granting().granted(asked, held),
        }
        if lifetime >= 0:
            made["expires_in"] = int(lifetime)
        refreshes = "refresh_token" in record.grants and client.check_grant_type("refresh_token")
        if include_refresh_token and user is not None and refreshes:
            made["refresh_token"] = REFRESH + secrets.token_urlsafe(32)
        return made

    def save_token(self, token: Mapping[str, Any], request: AskedRequest) -> None:
        """Keep what is issued, and use up what it is issued for."""
        now = self.built_in.store.clock()
        seconds = token.get("expires_in")
        issued = Issued(
            request.client,
            None if request.user is None else request.user.name,
            token["scope"],
            token["access_token"],
            None if seconds is None else now + seconds,
            token.get("refresh_token", ""),
            now + self.record.refresh_lifetime,
            request.refresh_token or request.authorization_code,
        )
        try:
            wait(self.built_in.issuing.keep(issued))
        except UsedTwice:
            raise InvalidGrantError("it has been used before; log in again") from None


class ClientCredentials(_grants.ClientCredentialsGrant):  # type: ignore[misc]
    """A token of the application itself (RFC 6749, 4.4)."""

    TOKEN_ENDPOINT_AUTH_METHODS = CONFIDENTIAL


class PasswordGrant(_grants.ResourceOwnerPasswordCredentialsGrant):  # type: ignore[misc]
    """A token of a user, whose password the client has (RFC 6749, 4.3). OAuth 2.1 has it no more; the systems that
    people come from do (KC-27)."""

    TOKEN_ENDPOINT_AUTH_METHODS = CONFIDENTIAL

    def authenticate_user(self, username: str, password: str) -> Person:
        """Return who has that name and password."""
        try:
            found: Person = wait(self.server.built_in.people.login(username, password, self.request.address))
        except CodeNeeded:
            raise InvalidGrantError("this user has a second factor: use authorization_code") from None
        except Denied:
            raise InvalidGrantError("the name or the password is wrong") from None
        return found


class AuthorizationCode(_grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """Tokens for a code that a user has agreed to (RFC 6749, 4.1)."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        """Return it. One that was used ends what came of it (RFC 6749, 4.1.2)."""
        found: Code | None = wait(self.server.built_in.issuing.code(code))
        if found is None or found.client_id != client.client_id:
            return None
        if found.used:
            wait(self.server.built_in.issuing.end_family(found.family))
            return None
        return found

    def authenticate_user(self, authorization_code: Code) -> Person | None:
        """Return who has agreed."""
        found: Person | None = wait(self.server.built_in.people.person(authorization_code.user))
        return found

    def delete_authorization_code(self, authorization_code: Code) -> None:
        """Do nothing: it was used up in the transaction that has kept the tokens."""


class RefreshGrant(_grants.RefreshTokenGrant):  # type: ignore[misc]
    """New tokens for a refresh token, which is good once (RFC 6749, 6; RFC 9700, 4.14)."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Refresh | None:
        """Return it. One that was used has been stolen from somebody: nobody keeps what came of it."""
        found: Refresh | None = wait(self.server.built_in.issuing.refreshing(refresh_token))
        if found is not None and found.used and found.check_client(self.request.client):
            wait(self.server.built_in.issuing.end_family(found.family))
            return None
        return found

    def validate_token_request(self) -> None:
        """Check scopes, too, before anything is compared with them."""
        self.validate_requested_scope()
        super().validate_token_request()

    def authenticate_user(self, refresh_token: Refresh) -> Person:
        """Return whose it is."""
        found: Person | None = wait(self.server.built_in.people.person(refresh_token.user))
        if found is None:
            raise InvalidGrantError("its user is gone or disabled")
        return found

    def revoke_old_credential(self, refresh_token: Refresh) -> None:
        """Do nothing: it was used up in the transaction that has kept the new one."""


_GRANTS: dict[str, type[Any]] = {
    "authorization_code": AuthorizationCode,
    "client_credentials": ClientCredentials,
    "password": PasswordGrant,
    "refresh_token": RefreshGrant,
}


class Revocation(_Revocation):  # type: ignore[misc]
    """Ends tokens (RFC 7009)."""

    CLIENT_AUTH_METHODS = AUTH_METHODS

    def query_token(self, token_string: str, token_type_hint: str | None) -> Any:
        """Return a token, of whatever type it is said to be (RFC 7009, 2.1)."""
        return _found(self.server, token_string)

    def check_params(self, request: AskedRequest, client: Client) -> None:
        """Want a token; a hint that is none does no harm (RFC 7009, 2.1)."""
        if "token" not in request.form:
            raise InvalidRequestError("there is no token")

    def revoke_token(self, token: Any, request: AskedRequest) -> None:
        """End it."""
        wait(self.server.built_in.issuing.end(request.form["token"]))


class Introspection(_Introspection):  # type: ignore[misc]
    """Says what tokens are (RFC 7662)."""

    CLIENT_AUTH_METHODS = CONFIDENTIAL
    check_params = Revocation.check_params

    def query_token(self, token_string: str, token_type_hint: str | None) -> Any:
        """Return a token, of whatever type it is said to be."""
        return _found(self.server, token_string)

    def check_permission(self, token: Any, client: Client, request: AskedRequest) -> bool:
        """Let a client ask about its own tokens, and those about all that the document names."""
        return bool(token.check_client(client)) or client.client_id in self.server.record.introspectors

    def create_introspection_payload(self, token: Any) -> dict[str, Any]:
        """Return what it says; nothing of one that is not good."""
        said = wait(_said(self.server.built_in, token))
        if said is None:
            return {"active": False}
        shown = {"sub": said["sub"], "client_id": said["client_id"], "scope": said["scope"], "iat": said["iat"]}
        if said["token_kind"] == USER:
            shown["username"] = said["sub"]
        more = ("application", "token_kind", "key_type", "token_type", "exp")
        return {"active": True, **shown} | {name: said[name] for name in more if name in said}


async def _said(built_in: BuiltIn, token: Any) -> dict[str, Any] | None:
    if isinstance(token, Access):
        said = await built_in.told(token)
        return None if said is None else {**said, "token_type": "Bearer"} | _whole(said)
    if isinstance(token, Refresh) and not token.used and await built_in.people.person(token.user) is not None:
        kind = {"token_kind": "application-user", "token_type": "refresh_token"}
        about = {"sub": token.user, "client_id": token.client_id, "scope": token.scope}
        return {**kind, **about, "iat": int(token.made), "exp": int(token.ends)}
    return None


def _whole(said: Mapping[str, Any]) -> dict[str, int]:
    return {"exp": int(said["exp"])} if "exp" in said else {}


def _found(server: Server, text: str) -> Access | Refresh | None:
    issuing = server.built_in.issuing
    return wait(issuing.access(text)) or wait(issuing.refreshing(text))
