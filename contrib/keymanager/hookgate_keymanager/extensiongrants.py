"""Grants of the family as Authlib asks them."""

from __future__ import annotations

from typing import Any

from authlib.oauth2.rfc6749 import (
    BaseGrant,
    InvalidGrantError,
    OAuth2Error,
    TokenEndpointMixin,
    UnauthorizedClientError,
)

from hookgate import Fault
from hookgate_keymanager.extending import Grant, Granted, GrantRefused, GrantRequest
from hookgate_keymanager.grants import AUTH_METHODS, CONFIDENTIAL, OfLogin
from hookgate_keymanager.logins import Login
from hookgate_keymanager.waiting import wait
from hookgate_storage import StoreError

_Base: Any = BaseGrant  # what Authlib calls types does not hold for what it does
_Mixin: Any = TokenEndpointMixin


def refused(error: str, description: str, status: int = 400) -> OAuth2Error:
    """Return an error, whatever stands in its text (RFC 6749, 5.2)."""
    plain = "".join(each for each in description if " " <= each <= "~" and each not in '"\\')
    return OAuth2Error(plain, error=error, status_code=status)


class _Extension(OfLogin, _Base, _Mixin):  # type: ignore[misc]
    """One of them, for one request."""

    plugin: Grant[Any]
    granted: Granted

    @property
    def login(self) -> Login | None:
        """What the grant says of it."""
        return self.granted.login

    def validate_token_request(self) -> None:
        """Ask it."""
        client = self.authenticate_token_endpoint_client()
        if not client.check_grant_type(self.GRANT_TYPE):
            raise UnauthorizedClientError("this client may not use the grant")
        self.request.client = client
        self.validate_requested_scope()
        asked = GrantRequest(dict(self.request.form), client, self.request.address)
        try:
            self.granted = wait(_awaited(self.plugin.grant(asked)))
        except GrantRefused as fault:
            raise refused(fault.error, fault.detail, fault.told_status) from None
        except StoreError:
            raise
        except Fault:
            raise refused("temporarily_unavailable", "the grant cannot be looked at now", 503) from None
        user = self.granted.user
        self.request.user = None if user is None else wait(self.server.built_in.people.person(user))
        if user is not None and self.request.user is None:
            raise InvalidGrantError("its user is gone or disabled")
        self.request.granted = self.granted

    def create_token_response(self) -> Any:
        """Make what is answered."""
        more: dict[str, Any] = {"scope": self.granted.scope, "include_refresh_token": self.granted.refresh}
        token = self.generate_token(user=self.request.user, **more)
        self.save_token(token)
        return 200, token, self.TOKEN_RESPONSE_HEADER


def extension(plugin: Grant[Any]) -> type[Any]:
    """Return a grant as Authlib takes it."""
    methods = AUTH_METHODS if plugin.public else CONFIDENTIAL
    told = {"GRANT_TYPE": plugin.grant_type, "TOKEN_ENDPOINT_AUTH_METHODS": methods, "plugin": plugin}
    return type(type(plugin).__name__, (_Extension,), told)


async def _awaited(found: Any) -> Any:
    return await found if hasattr(found, "__await__") else found
