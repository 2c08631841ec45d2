"""A provider of OpenID Connect: authorization code with PKCE, state and nonce (OpenID Connect Core 1.0, RFC 7636).

Authlib makes what is sent and checks what is claimed, joserfc checks signatures; what travels goes over the house.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote_plus, urlsplit

from authlib.common.security import generate_token
from authlib.oauth2.client import OAuth2Client
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import AfterValidator, Field, model_validator

from hookgate import Duration, Fault, Host, Options, Refers
from hookgate.workshop import FilledSecret, is_loopback
from hookgate_people import Outsider

WELL_KNOWN = "/.well-known/openid-configuration"
ANSWER_LIMIT = 256 * 1024
"""Bytes of one answer of a provider."""
FRESH = 3600.0
"""Seconds for which what a provider publishes is not asked for again."""
COOLDOWN = 10.0
"""Seconds between two looks at its keys for one that is not known."""
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


def _safe(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isascii() or not url.isprintable():
        raise ValueError(f"{url!r} is not an absolute https URL")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError(f"the URL at {parts.hostname} has a user, a password or a fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"{url!r} could be answered by anybody on the way; write https")
    return url


class ProviderOptions(Options):
    """Options of a provider of OpenID Connect, where people log in."""

    title: str = Field(default="", max_length=100)
    """What the link on the page says; the name of the provider if left out."""
    issuer: Annotated[str, AfterValidator(_safe)]
    """Its issuer, as its `/.well-known/openid-configuration` tells it: `https`, or `http` on this machine."""
    client_id: str = Field(min_length=1, max_length=200)
    """Who we are there."""
    client_secret: FilledSecret | None = None
    """What proves it, as the password of Basic; left out for a public client."""
    tenant: Annotated[str, Refers("tenants")] = ""
    """The tenant whose people log in there, and nobody else; those of no tenant if left out."""
    url: Annotated[str, AfterValidator(_safe)] | None = None
    """Where browsers find this management listener, such as `https://gate.example`; what they ask for if left out.
    The provider sends them back to `/-/login/NAME/callback` there."""
    scopes: tuple[str, ...] = ("openid", "profile")
    """What is asked for; `openid` is always."""
    name_claim: str = "preferred_username"
    """The claim that becomes the name of the user; of a tenant, with `@` and its name where it does not end so."""
    roles_claim: str = "groups"
    """The claim with the roles there, a list of texts; they are told as `NAME/role`."""
    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Which roles of the store a role there brings along. What stands here is given and taken with each login. Those of
    a provider of a tenant are roles of that tenant."""
    make_users: bool = True
    """Whether who comes for the first time becomes a user; if not, an administrator makes users with `provider`."""
    algorithms: tuple[Algorithm, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    """Algorithms that an ID token may be signed with."""
    skew: Duration = Field(default=60.0, ge=0, le=300)
    """Seconds by which clocks may differ."""
    timeout: Duration = Field(default=10.0, gt=0, le=60)
    """Seconds that each answer of the provider may take."""

    @model_validator(mode="after")
    def _own_roles(self) -> ProviderOptions:
        for role in (role for each in self.roles.values() for role in each):
            if self.tenant and not role.casefold().endswith(f"@{self.tenant}"):
                raise ValueError(f"{role!r} is no role of the tenant {self.tenant}: such a name ends in @{self.tenant}")
        return self


class LoginRefused(Exception):
    """A login at a provider that came to nothing; the text says why, and shows nothing of what was sent."""

    def __init__(self, kind: str, detail: str, status: int = 403) -> None:
        super().__init__(detail)
        self.kind, self.status = kind, status


@dataclass(frozen=True, slots=True)
class Pending:
    """A login that is under way: what the browser keeps of it, sealed."""

    provider: str
    state: str
    nonce: str
    verifier: str
    redirect: str
    ends: float
    """Unix time."""


class Provider:
    """One provider."""

    def __init__(self, name: str, options: ProviderOptions, host: Host) -> None:
        self.name, self.options, self._host = name, options, host
        self.title = options.title or name
        self._metadata: tuple[float, Mapping[str, Any]] | None = None
        self._keys: tuple[float, KeySet] | None = None

    @property
    def audited(self) -> str:
        """What logins that come to nothing are called in the audit, for the administrators of the tenant, too."""
        return f"providers/{self.name}{'@' if self.options.tenant else ''}{self.options.tenant}"

    async def begin(self, redirect: str, ends: float) -> tuple[str, Pending]:
        """Return where to send the browser, and what to keep until it comes back.

        Raises:
            LoginRefused: the provider is away, or is another one.
        """
        metadata = await self._described()
        pending = Pending(self.name, generate_token(43), generate_token(43), generate_token(64), redirect, ends)
        scope = " ".join(dict.fromkeys(("openid", *self.options.scopes)))
        url, _ = self._client(redirect).create_authorization_url(
            _endpoint(metadata, "authorization_endpoint"),
            state=pending.state,
            nonce=pending.nonce,
            code_verifier=pending.verifier,
            scope=scope,
        )
        return url, pending

    async def finish(self, pending: Pending, told: Mapping[str, str]) -> Outsider:
        """Return whom the provider vouches for, with what it told the browser.

        Raises:
            LoginRefused: it does not, or what it says is not for us, not of now, or not of this login.
        """
        metadata = await self._described()
        iss = told.get("iss")
        demanded = metadata.get("authorization_response_iss_parameter_supported") is True
        if iss != self.options.issuer and (iss is not None or demanded):  # RFC 9207, 2.4
            raise LoginRefused("issuer", f"Somebody else than {self.title} has answered.")
        if "error" in told or not told.get("code"):
            why = "".join(each for each in told.get("error", "no code")[:100] if each.isprintable())
            raise LoginRefused("provider-refused", f"{self.title} did not let you in: {why}.")
        tokens = await self._tokens(metadata, pending, told["code"])
        claims = await self._claims(metadata, pending, tokens)
        wanted = {self.options.name_claim, self.options.roles_claim}
        if not wanted <= claims.keys() and metadata.get("userinfo_endpoint"):
            claims |= await self._userinfo(metadata, tokens, claims["sub"])
        name, roles = claims.get(self.options.name_claim), claims.get(self.options.roles_claim, [])
        if not isinstance(name, str) or not name:
            raise LoginRefused("claims", f"{self.title} does not tell your name: it has no {self.options.name_claim}.")
        roles = [roles] if isinstance(roles, str) else roles
        if not isinstance(roles, list) or not all(isinstance(each, str) for each in roles):
            raise LoginRefused("claims", f"{self.title} tells {self.options.roles_claim} that is no list of texts.")
        display = claims.get("name")
        shown = display if isinstance(display, str) and len(display) <= 200 and display.isprintable() else ""
        return Outsider(self.name, str(claims["sub"]), name, shown, tuple(roles))

    def mapped(self, who: Outsider) -> set[str]:
        """Return the roles of the store that somebody brings along."""
        return {role for each in who.roles for role in self.options.roles.get(each, ())}

    def managed(self) -> set[str]:
        """Return the roles of the store that the mapping gives and takes."""
        return {role for each in self.options.roles.values() for role in each}

    def _client(self, redirect: str) -> OAuth2Client:
        secret = self.options.client_secret
        # name and secret stand in Basic as in a form (RFC 6749, 2.3.1)
        named = self.options.client_id if secret is None else quote_plus(self.options.client_id)
        shown = None if secret is None else quote_plus(secret.reveal())
        return OAuth2Client(None, named, shown, redirect_uri=redirect, code_challenge_method="S256")

    async def _tokens(self, metadata: Mapping[str, Any], pending: Pending, code: str) -> dict[str, Any]:
        client = self._client(pending.redirect)
        form = prepare_token_request(
            "authorization_code", "", code=code, redirect_uri=pending.redirect, code_verifier=pending.verifier
        )
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        endpoint = _endpoint(metadata, "token_endpoint")
        auth = client.client_auth(client.token_endpoint_auth_method)
        url, headers, body = auth.prepare("POST", endpoint, headers, form)  # type: ignore[no-untyped-call]
        status, found = await self._asked("POST", url, headers, body.encode())
        if status != 200 or not isinstance(found.get("id_token"), str):
            why = found.get("error", status)
            raise LoginRefused("code", f"{self.title} gives nothing for the code: {str(why)[:100]!a}.")
        return found

    async def _claims(self, metadata: Mapping[str, Any], pending: Pending, tokens: Mapping[str, Any]) -> dict[str, Any]:
        """Return the claims of the ID token (OpenID Connect Core 1.0, 3.1.3.7)."""
        issuer, client = self.options.issuer, self.options.client_id
        try:
            token = await self._decoded(metadata, tokens["id_token"])
            claims = CodeIDToken(
                token.claims,
                token.header,
                {"iss": {"essential": True, "value": issuer}, "aud": {"essential": True, "value": client}},
                {"nonce": pending.nonce, "client_id": client, "access_token": tokens.get("access_token")},
            )
            claims.validate(int(time.time()), int(self.options.skew))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise LoginRefused("token", f"{self.title} vouches for nobody: {_why(error)}.") from None
        if not isinstance(claims["sub"], str):
            raise LoginRefused("token", f"{self.title} vouches for nobody: sub is no text.")
        return dict(claims)

    async def _decoded(self, metadata: Mapping[str, Any], text: str) -> jwt.Token:
        allowed = list(self.options.algorithms)
        try:
            return jwt.decode(text, await self._published(metadata), algorithms=allowed)
        except (JoseError, ValueError):
            if self._keys is None or time.monotonic() - self._keys[0] < COOLDOWN:
                raise
            self._keys = None  # they may have been rotated
            return jwt.decode(text, await self._published(metadata), algorithms=allowed)

    async def _userinfo(
        self, metadata: Mapping[str, Any], tokens: Mapping[str, Any], subject: object
    ) -> dict[str, Any]:
        shown = tokens.get("access_token")
        if not isinstance(shown, str) or not shown.isascii() or not shown.isprintable():
            return {}
        headers = {"Accept": "application/json", "Authorization": f"Bearer {shown}"}
        status, found = await self._asked("GET", _endpoint(metadata, "userinfo_endpoint"), headers)
        if status != 200 or found.get("sub") != subject:  # of somebody else (OpenID Connect Core 1.0, 5.3.2)
            raise LoginRefused("userinfo", f"{self.title} does not tell who you are.")
        return {key: value for key, value in found.items() if key not in ("iss", "aud", "exp", "nonce")}

    async def _described(self) -> Mapping[str, Any]:
        now = time.monotonic()
        if self._metadata is None or now - self._metadata[0] >= FRESH:
            url = self.options.issuer.rstrip("/") + WELL_KNOWN
            status, found = await self._asked("GET", url, {"Accept": "application/json"})
            if status != 200:
                raise self._away(f"it answered {status}")
            if found.get("issuer") != self.options.issuer:
                raise LoginRefused("issuer", f"{self.title} calls itself otherwise than `issuer` does.", 502)
            self._metadata = now, found
        return self._metadata[1]

    async def _published(self, metadata: Mapping[str, Any]) -> KeySet:
        now = time.monotonic()
        if self._keys is None or now - self._keys[0] >= FRESH:
            headers = {"Accept": "application/json"}
            status, found = await self._asked("GET", _endpoint(metadata, "jwks_uri"), headers)
            keys = found.get("keys")
            if status != 200 or not isinstance(keys, list):
                raise self._away("it publishes no keys")
            # what is secret or for encryption is no key for signatures of somebody else
            usable = [each for each in keys if isinstance(each, dict) and each.get("kty") in ("RSA", "EC", "OKP")]
            usable = [each for each in usable if "d" not in each and each.get("use", "sig") == "sig"]
            try:
                self._keys = now, KeySet.import_key_set({"keys": usable})
            except (JoseError, ValueError, TypeError, KeyError):
                raise self._away("it publishes keys that cannot be read") from None
        return self._keys[1]

    async def _asked(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b""
    ) -> tuple[int, dict[str, Any]]:
        try:
            answer = await self._host.http.request(
                method, url, headers=headers, body=body, timeout=self.options.timeout
            )
            data = await answer.body.read(ANSWER_LIMIT)
            found = json.loads(data)
        except Fault as error:
            raise self._away(error.reason) from None
        except ValueError:
            raise self._away("it answered no JSON") from None
        if not isinstance(found, dict):
            raise self._away("it answered no JSON object")
        return answer.status, found

    def _away(self, why: str) -> LoginRefused:
        self._host.log.warning("provider %s: %s", self.name, why)
        return LoginRefused("provider-away", f"{self.title} cannot be asked now: {why}. Try again later.", 502)


def _endpoint(metadata: Mapping[str, Any], name: str) -> str:
    url = metadata.get(name)
    try:
        return _safe(str(url))
    except ValueError:
        raise LoginRefused("provider-away", f"The provider tells no {name} that is safe.", 502) from None


def _why(error: Exception) -> str:
    """Say what is wrong with a token, in words that show nothing of it."""
    kind = getattr(error, "error", "")
    claim = getattr(error, "claim", None)
    told = {
        "expired_token": "the token has expired, or its clock differs from ours",
        "bad_signature": "the signature of the token is wrong",
        "unsupported_algorithm": "the token is signed with an algorithm that is not allowed",
        "missing_claim": f"the token has no {claim}",
        "invalid_claim": f"{claim} of the token is not that of this login",
        "invalid_token": "the token is not of now; look at the clocks",
    }
    return told.get(str(kind), "the token cannot be read")
