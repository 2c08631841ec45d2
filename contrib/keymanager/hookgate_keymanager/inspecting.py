"""Ending tokens, and saying what they are (RFC 7009, RFC 7662)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from authlib.oauth2.rfc6749 import InvalidRequestError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint

from hookgate_keymanager.asked import AskedRequest
from hookgate_keymanager.builtin import BuiltIn
from hookgate_keymanager.clients import Client
from hookgate_keymanager.family import USER
from hookgate_keymanager.grants import AUTH_METHODS, CONFIDENTIAL
from hookgate_keymanager.issuing import Access, Refresh
from hookgate_keymanager.waiting import wait

_Revocation: Any = RevocationEndpoint  # what Authlib calls types does not hold for what it does
_Introspection: Any = IntrospectionEndpoint


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
        known = {"active": True, **shown} | {name: said[name] for name in more if name in said}
        return dict(token.more) | known if isinstance(token, Access) else known


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


def _found(server: Any, text: str) -> Access | Refresh | None:
    built_in: BuiltIn = server.built_in
    return wait(built_in.issuing.access(text)) or wait(built_in.issuing.refreshing(text))
