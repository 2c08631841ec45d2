"""An OAuth 2.1 authorization server on the public port of a gateway, and the step that asks for its tokens."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hookgate_keymanager.claims import CLAIMS, ClaimsOptions, ClaimSource, NoClaims, Subject
from hookgate_keymanager.extending import (
    GRANTS,
    Desk,
    Grant,
    Granted,
    GrantEndpoint,
    GrantRefused,
    GrantRequest,
)
from hookgate_keymanager.family import KEY_MANAGERS, KeyManager
from hookgate_keymanager.scopes import Scopes
from hookgate_keymanager.section import KeyManagement
from hookgate_keymanager.step import OAuth
from hookgate_keymanager.tokenstep import AccessToken

if TYPE_CHECKING:
    from hookgate_keymanager.builtin import BuiltIn
    from hookgate_keymanager.clients import Client
    from hookgate_keymanager.external import External
    from hookgate_keymanager.local import LocalJwt

_WHEN_NEEDED = {"BuiltIn": "builtin", "Client": "clients", "External": "external", "LocalJwt": "local"}
"""What needs a database, or keys of others: a gateway without it starts faster."""

__all__ = [
    "CLAIMS",
    "GRANTS",
    "KEY_MANAGERS",
    "AccessToken",
    "BuiltIn",
    "ClaimSource",
    "ClaimsOptions",
    "Client",
    "Desk",
    "External",
    "Grant",
    "GrantEndpoint",
    "GrantRefused",
    "GrantRequest",
    "Granted",
    "KeyManagement",
    "KeyManager",
    "LocalJwt",
    "NoClaims",
    "OAuth",
    "Scopes",
    "Subject",
]


def __getattr__(name: str) -> Any:
    if name not in _WHEN_NEEDED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHEN_NEEDED[name]}"), name)
