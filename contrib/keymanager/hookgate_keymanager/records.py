"""The record of the section ``keymanager``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hookgate import Duration, Options
from hookgate_keymanager.claims import ClaimSource
from hookgate_keymanager.extending import Grant
from hookgate_keymanager.family import KeyManager
from hookgate_keymanager.scopes import Pattern, is_scope

GrantName = Literal["authorization_code", "client_credentials", "password", "refresh_token"]
FOREVER = 3e9
"""Seconds that no finite lifetime is above; about a century."""


def _lifetime(seconds: float) -> float:
    if not (seconds < 0 or 1 <= seconds <= FOREVER):
        raise ValueError("write 1 second or more, or -1 for tokens that never expire")
    return seconds


def _scope(text: str) -> str:
    if not is_scope(text):
        raise ValueError(f"{text[:50]!r} is no scope: visible ASCII without blanks, quotes and backslashes")
    return text


Lifetime = Annotated[Duration, AfterValidator(_lifetime)]
"""Seconds, or below 0 for ever (KC-26)."""


class CacheRecord(Options):
    """What the gateway remembers of tokens, so that it need not ask about each call (KC-8)."""

    enabled: bool = True
    """Off, the key manager is asked about every call."""
    ttl: Duration = Field(default=900.0, gt=0, le=86400)
    """Seconds for which a token that is good counts as good; one that is revoked is forgotten within a second, and one
    that expires when it does."""
    most: int = Field(default=10_000, ge=1, le=1_000_000)
    """Good tokens that are remembered."""
    bad_ttl: Duration = Field(default=10.0, gt=0, le=3600)
    """Seconds for which a token that is none counts as none."""
    bad_most: int = Field(default=1_000, ge=1, le=1_000_000)
    """Bad tokens that are remembered."""


class SigningRecord(Options):
    """What JWTs and ID tokens are signed with (RFC 9068)."""

    algorithm: Literal["RS256", "PS256", "ES256", "EdDSA"] = "RS256"
    """How they are signed. RS256 everybody can check; ES256 takes a sixth of the time to sign."""
    age: Duration = Field(default=90 * 86400.0, ge=60, le=FOREVER)
    """Seconds after which another key signs; the one before is shown for as long as a token by it is good."""


class KeyManagementSection(Options):
    """An authorization server on the public listener, and who says whether tokens are good (OAuth 2.1)."""

    manager: KeyManager[Any] | None = None
    """Who issues tokens and knows which are good, if somebody else than the gateway: then the endpoints are not
    there."""
    path: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._~-]+)*$", max_length=200)] = ""
    """What stands in front of `/token`, `/revoke`, `/introspect` and the others."""
    issuer: Annotated[str, Field(pattern=r"^https?://[^\s?#]+[^\s?#/]$", max_length=500)] | None = None
    """The URL that clients know the server by. Left out, it is the host that they ask, with `path`; JWTs and ID tokens
    need it."""
    grants: tuple[GrantName, ...] = ("authorization_code", "client_credentials", "password", "refresh_token")
    """Ways to get a token that are there at all; each client has some of them."""
    extension_grants: tuple[Grant[Any], ...] = ()
    """More ways to get a token, such as `device-code`; a client has them by the URIs that they are known by."""
    access_tokens: Literal["opaque", "jwt"] = "opaque"
    """What access tokens are, where a client has nothing else: `opaque` says nothing to anybody but this gateway, `jwt`
    is signed, so that others can read it (RFC 9068); it wants `issuer`."""
    audience: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = Field(default=(), max_length=20)
    """For whom JWTs are (`aud`); left out, the `issuer`."""
    signing: SigningRecord = SigningRecord()
    """What JWTs are signed with."""
    lifetime: Lifetime = 3600.0
    """Seconds that an access token of a user is good; below 0 for ever."""
    application_lifetime: Lifetime = 3600.0
    """Seconds that an access token of an application itself is good; below 0 for ever."""
    refresh_lifetime: Duration = Field(default=86400.0, ge=1, le=FOREVER)
    """Seconds that a refresh token is good. It is good once."""
    code_lifetime: Duration = Field(default=60.0, ge=1, le=600)
    """Seconds that an authorization code is good (RFC 6749, 4.1.2)."""
    claims: tuple[ClaimSource[Any], ...] = ()
    """Other systems that say more of users, in each of their tokens (AC-45)."""
    default_scope: Annotated[str, AfterValidator(_scope)] = "default"
    """The scope of a token that gets none of those that were asked for (KC-61)."""
    allow_scopes: tuple[Pattern, ...] = ()
    """Scopes that everybody gets, as regular expressions that the whole scope matches, such as `device_.*` (KC-64)."""
    any_case_roles: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = ()
    """Stores of users in whose roles capital letters count as small ones: `PRIMARY`, which is that of the gateway, or
    the name of a provider outside, which stands in front of its roles (KC-60)."""
    introspectors: tuple[str, ...] = ()
    """Ids of clients that may ask `/introspect` about tokens of others; every client may ask about its own."""
    plain_http: bool = False
    """Take secrets without TLS, too, from other machines than this one. Only where TLS ends before the gateway and no
    `trusted_proxies` say so."""
    cache: CacheRecord = CacheRecord()
    """What is remembered of tokens."""
    stale: Duration = Field(default=10.0, ge=1, le=3600)
    """Seconds that remembered tokens count on while the store is away and nobody knows what has been revoked."""

    @property
    def identifies(self) -> bool:
        """Whether there are ID tokens: they say who has issued them, and come of logins on our pages (OpenID Connect
        Core 1.0)."""
        return self.issuer is not None and "authorization_code" in self.grants
