"""ID tokens, and what `/userinfo` says: who somebody is (OpenID Connect Core 1.0)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from hookgate_keymanager.logins import Login
from hookgate_keymanager.records import KeyManagementSection

OPENID = "openid"
"""The scope that asks for an ID token (Core, 3.1.2.1)."""
CLAIMS: Mapping[str, tuple[str, ...]] = {
    OPENID: ("sub",),
    "profile": (
        *("name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture"),
        *("website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"),
    ),
    "email": ("email", "email_verified"),
    "phone": ("phone_number", "phone_number_verified"),
    "address": ("address",),
    "roles": ("roles",),
}
"""What each scope shows of a user (Core, 5.4); ``roles`` is ours."""
TITLES: Mapping[str, str] = {
    OPENID: "Know who you are",
    "profile": "Read your name and your profile",
    "email": "Read your e-mail address",
    "phone": "Read your telephone number",
    "address": "Read your postal address",
    "roles": "Read which roles you have",
}
"""What people are shown in their place."""
LONGEST = 3600.0
"""Seconds that an ID token is good at most; clients read it once, right after they have got it."""
_OWN = ("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "preferred_username", "roles")


def id_claims(
    record: KeyManagementSection, client_id: str, user: str, login: Login, now: int, lifetime: float
) -> dict[str, Any]:
    """Return what an ID token says, but for the hash of the access token (Core, 2). ``lifetime`` is that of the access
    token in seconds, below 0 for ever."""
    seconds = LONGEST if lifetime < 0 else min(lifetime, LONGEST)
    said: dict[str, Any] = {"iss": record.issuer, "sub": user, "aud": client_id, "iat": now, "exp": now + int(seconds)}
    said["auth_time"] = int(login.at)
    return said | {"nonce": login.nonce} if login.nonce else said


def token_hash(token: str, algorithm: str) -> str:
    """Return ``at_hash``: half of the hash that the algorithm of the signature uses (Core, 3.1.3.6)."""
    digest = hashlib.sha512 if algorithm == "EdDSA" else hashlib.sha256
    whole = digest(token.encode()).digest()
    return base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode()


def about(said: Mapping[str, Any], scopes: Collection[str]) -> dict[str, Any]:
    """Return what the scopes of a token show of its user (Core, 5.3.2)."""
    known = {"preferred_username": said["sub"], **said, "roles": list(said.get("roles") or ())}
    wanted = [name for scope, names in CLAIMS.items() if scope in scopes for name in names]
    return {name: known[name] for name in wanted if name in known}


def metadata(issuer: str, record: KeyManagementSection) -> dict[str, Any]:
    """Return what OpenID Connect Discovery 1.0, 3 adds to the metadata of RFC 8414."""
    gathered = {name for source in record.claims for name in source.options.claims}
    shown = {name for names in CLAIMS.values() for name in names}
    return {
        "userinfo_endpoint": f"{issuer}/userinfo",
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [record.signing.algorithm],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claim_types_supported": ["normal"],
        "claims_supported": [*_OWN, *sorted(gathered & shown - {*_OWN})],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
