"""What clients read of the server before they ask it (RFC 8414)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hookgate import Exchange
from hookgate_keymanager.identifying import CLAIMS
from hookgate_keymanager.records import KeyManagementSection


def issuer_of(exchange: Exchange, record: KeyManagementSection) -> str:
    """Return what the server is known by."""
    request = exchange.request
    return record.issuer or f"{request.scheme}://{request.host}{record.path}"


def metadata(exchange: Exchange, record: KeyManagementSection, scopes: Iterable[str]) -> dict[str, Any]:
    """Return the metadata of the server."""
    issuer = issuer_of(exchange, record)
    told: dict[str, Any] = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "revocation_endpoint": f"{issuer}/revoke",
        "introspection_endpoint": f"{issuer}/introspect",
        "jwks_uri": f"{issuer}/jwks",
        "scopes_supported": sorted({*scopes, *(CLAIMS if record.identifies else ())}),
        "grant_types_supported": [*record.grants, *(each.grant_type for each in record.extension_grants)],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }
    if "authorization_code" in record.grants:
        told |= {
            "authorization_endpoint": f"{issuer}/authorize",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }
    for each in record.extension_grants:
        told |= each.metadata(issuer)
    return told
