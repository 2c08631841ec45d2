"""An OAuth 2.1 authorization server on the public port of a gateway, and the step that asks for its tokens."""

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

__all__ = [
    "CLAIMS",
    "GRANTS",
    "KEY_MANAGERS",
    "AccessToken",
    "ClaimSource",
    "ClaimsOptions",
    "Desk",
    "Grant",
    "GrantEndpoint",
    "GrantRefused",
    "GrantRequest",
    "Granted",
    "KeyManagement",
    "KeyManager",
    "NoClaims",
    "OAuth",
    "Scopes",
    "Subject",
]
