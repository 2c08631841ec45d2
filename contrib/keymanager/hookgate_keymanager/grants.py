"""The grants that are always there: how a client gets a token (RFC 6749, 4; RFC 7636)."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import InvalidGrantError, grants

from hookgate_keymanager.clients import Client
from hookgate_keymanager.issuing import Code, Refresh
from hookgate_keymanager.logins import Login
from hookgate_keymanager.waiting import wait
from hookgate_people import CodeNeeded, Denied, Person

_grants: Any = grants  # what Authlib calls types does not hold for what it does
AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]
CONFIDENTIAL = AUTH_METHODS[:2]


class OfLogin:
    """A grant whose users may have logged in on a page of this server, and so get ID tokens."""

    GRANT_TYPE: str
    request: Any
    server: Any

    @property
    def login(self) -> Login | None:
        """The login that the tokens come of."""
        raise NotImplementedError

    def generate_token(
        self,
        user: Person | None = None,
        scope: str | None = None,
        grant_type: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,
    ) -> Any:
        """Make what is answered."""
        given = (self.GRANT_TYPE, self.request.client, user, scope, expires_in, include_refresh_token)
        return self.server.generate_token(*given, self.login)


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


class AuthorizationCode(OfLogin, _grants.AuthorizationCodeGrant):  # type: ignore[misc]
    """Tokens for a code that a user has agreed to (RFC 6749, 4.1)."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    @property
    def login(self) -> Login | None:
        """That of the code."""
        found: Code = self.request.authorization_code
        return found.login

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


class RefreshGrant(OfLogin, _grants.RefreshTokenGrant):  # type: ignore[misc]
    """New tokens for a refresh token, which is good once (RFC 6749, 6; RFC 9700, 4.14)."""

    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    @property
    def login(self) -> Login | None:
        """That of the first tokens (Core, 12.2)."""
        found: Refresh = self.request.refresh_token
        return found.login

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


GRANTS: dict[str, type[Any]] = {
    "authorization_code": AuthorizationCode,
    "client_credentials": ClientCredentials,
    "password": PasswordGrant,
    "refresh_token": RefreshGrant,
}
