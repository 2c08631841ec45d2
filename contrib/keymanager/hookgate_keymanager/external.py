"""A key manager somewhere else: a method that recognises callers says which of its tokens are good (KC-6, KC-7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hookgate import AuthMethod, Exchange, Fault, Headers, Identity, Options, Request, Unauthorized, hookimpl
from hookgate.workshop import CannotTell
from hookgate_keymanager.elsewhere import Elsewhere, told


class ExternalOptions(Options):
    """Options of `external`."""

    method: AuthMethod[Any]
    """What says whether a token is good and whose it is, such as `{oauth2: …}`, which asks an authorization server
    (RFC 7662), or `{jwt: …}`, which checks signatures here. It finds the token as `Authorization: Bearer`."""
    key_type: Literal["production", "sandbox"] = "production"
    """Which kind of key its tokens are, where they do not say `key_type`."""


class External(Elsewhere[ExternalOptions]):
    """Takes tokens that another server issues. Clients are made, and tokens ended, there.

    A token is of a user unless it says otherwise: with `token_kind`, or with a `sub` that is its `client_id`. What it
    says of itself becomes claims. While the other server does not answer, calls are refused with 900900.
    """

    @hookimpl
    async def validate(self, token: str) -> Mapping[str, Any] | None:
        """Ask the method.

        Raises:
            CannotTell: it cannot tell now.
        """
        if not token.isascii() or not token.isprintable() or not token:
            return None
        asked = Exchange(Request(headers=Headers({"Authorization": f"Bearer {token}"})))
        try:
            found: Any = self.options.method.identify(asked)
            identity: Identity | None = await found if hasattr(found, "__await__") else found
        except Unauthorized:
            return None
        except Fault as fault:
            raise CannotTell("The key manager does not tell whether the token is good.") from fault
        return None if identity is None else self._said(identity)

    def _said(self, identity: Identity) -> dict[str, Any]:
        claims = identity.claims
        client = claims.get("client_id") or claims.get("azp") or identity.application or ""
        scope = claims.get("scope", claims.get("scp", ""))
        said = told(claims, identity.subject, str(client), identity.application, scope, claims.get("token_kind"))
        key_type, ends = claims.get("key_type"), claims.get("exp")
        said["key_type"] = key_type if key_type in ("production", "sandbox") else self.options.key_type
        said["roles"] = identity.roles
        if isinstance(ends, int | float) and not isinstance(ends, bool):
            said["exp"] = ends
        return said
