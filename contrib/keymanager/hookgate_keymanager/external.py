"""A key manager somewhere else: a method that recognises callers says which of its tokens are good (KC-6, KC-7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from hookgate import AuthMethod, Exchange, Fault, Headers, Identity, Options, Request, Unauthorized, hookimpl
from hookgate import UnprocessableContent as Refused
from hookgate_keymanager.builtin import APPLICATION, USER
from hookgate_keymanager.family import KeyManager
from hookgate_keymanager.faults import CannotTell


class ExternalOptions(Options):
    """Options of `external`."""

    method: AuthMethod[Any]
    """What says whether a token is good and whose it is, such as `{oauth2: …}`, which asks an authorization server
    (RFC 7662), or `{jwt: …}`, which checks signatures here. It finds the token as `Authorization: Bearer`."""
    key_type: Literal["production", "sandbox"] = "production"
    """Which kind of key its tokens are, where they do not say `key_type`."""


class External(KeyManager[ExternalOptions]):
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
        claims = dict(identity.claims)
        client = claims.get("client_id") or claims.get("azp") or identity.application or ""
        kind = claims.get("token_kind")
        if kind not in (APPLICATION, USER):
            kind = APPLICATION if identity.subject == client else USER
        scope = claims.get("scope", claims.get("scp", ""))
        words = scope if isinstance(scope, str) else " ".join(map(str, scope)) if isinstance(scope, list) else ""
        key_type = claims.get("key_type")
        ends = claims.get("exp")
        known = {
            "sub": identity.subject,
            "client_id": str(client),
            "application": identity.application,
            "scope": words,
            "token_kind": kind,
            "key_type": key_type if key_type in ("production", "sandbox") else self.options.key_type,
            "roles": identity.roles,
        }
        told = {name: value for name, value in claims.items() if name not in ("family", "exp")} | known
        return told | {"exp": ends} if isinstance(ends, int | float) and not isinstance(ends, bool) else told

    @hookimpl
    def create_client(
        self, application: str, owner: str, key_type: str, grants: Sequence[str], callbacks: Sequence[str]
    ) -> Mapping[str, Any]:
        """Make none."""
        raise _elsewhere("Clients are made")

    @hookimpl
    def update_client(self, client_id: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change none."""
        raise _elsewhere("Clients are changed")

    @hookimpl
    def renew_secret(self, client_id: str) -> Mapping[str, Any]:
        """Make none."""
        raise _elsewhere("Secrets are made")

    @hookimpl
    def delete_client(self, client_id: str) -> bool:
        """Remove none."""
        raise _elsewhere("Clients are removed")

    @hookimpl
    def revoke(self, token: str) -> None:
        """End none."""
        raise _elsewhere("Tokens are ended")

    @hookimpl
    def keys(self) -> Mapping[str, Any]:
        """Return none."""
        return {"keys": []}


def _elsewhere(what: str) -> Refused:
    return Refused(f"{what} where tokens are issued, which is not here.", reason="key-manager-elsewhere")
