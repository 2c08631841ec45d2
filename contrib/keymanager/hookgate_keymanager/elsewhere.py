"""What key managers share that issue nothing here: tokens come from somewhere else, and are ended there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hookgate import UnprocessableContent as Refused
from hookgate import hookimpl
from hookgate.contract import OptionsT
from hookgate_keymanager.family import APPLICATION, USER, KeyManager


class Elsewhere(KeyManager[OptionsT]):
    """A key manager that takes tokens, and issues none."""

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


def told(
    claims: Mapping[str, Any], subject: str, client: object, application: object, scope: object, kind: object
) -> dict[str, Any]:
    """Return what a token of somebody else says, in the words of the family: its claims, and those that we know.

    It is of a user unless ``kind`` says otherwise, or its subject is its client.
    """
    client_id = client if isinstance(client, str) else ""
    if kind not in (APPLICATION, USER):
        kind = APPLICATION if subject == client_id else USER
    words = scope if isinstance(scope, str) else " ".join(map(str, scope)) if isinstance(scope, list | tuple) else ""
    known = {
        "sub": subject,
        "client_id": client_id,
        "application": application if isinstance(application, str) and application else None,
        "scope": words,
        "token_kind": kind,
    }
    return {name: value for name, value in claims.items() if name not in ("family", "exp")} | known


def _elsewhere(what: str) -> Refused:
    return Refused(f"{what} where tokens are issued, which is not here.", reason="key-manager-elsewhere")
