"""A key manager somewhere else whose signatures are checked here, with the keys that it publishes (KC-6, KC-7)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from joserfc.jwk import Key
from pydantic import AfterValidator, Field, model_validator

from hookgate import ConnectionName, Duration, Fault, Host, Options, hookimpl
from hookgate.jose import (
    ASYMMETRIC,
    Asymmetric,
    BadToken,
    Expected,
    KeyStore,
    Registry,
    RemoteKeys,
    check,
    claim,
    http_url,
    key_set,
    key_url,
    parsed,
    signed,
)
from hookgate.workshop import CannotTell, Follower, words_of
from hookgate_keymanager.elsewhere import Elsewhere, told
from hookgate_keymanager.family import APPLICATION, USER

LONGEST = 8192
"""Characters of a token."""
LARGEST_FILE = 256 * 1024
Text = Annotated[str, Field(min_length=1, max_length=500)]
Names = Annotated[tuple[Text, ...], Field(max_length=10)]
"""Names of claims; the first one that a token has counts. Dots lead into claims: `realm_access.roles`."""


class LocalJwtOptions(Options):
    """Options of `jwt`. Keys come from one of `jwks_uri`, `jwks_path` and `file`."""

    issuer: Text
    """What `iss` of a token must be."""
    audience: tuple[Text, ...] = Field(min_length=1, max_length=20)
    """Names of this service: `aud` of a token must have one of them."""
    jwks_uri: Annotated[str, AfterValidator(http_url)] | None = None
    """URL of the issuer's key set: `https`, or `http` on a loopback address; see `allow_http`."""
    connection: ConnectionName | None = None
    """A connection over which the key set is fetched, with its TLS, credentials and targets."""
    jwks_path: Annotated[str, Field(pattern=r"^/([^/\s#][^\s#]*)?$", max_length=500)] | None = None
    """Path of the key set on `connection`."""
    file: Path | None = None
    """A file with the key set, in JSON; it is read again when it changes."""
    algorithms: Annotated[tuple[Asymmetric, ...], Field(min_length=1)] | None = None
    """Algorithms a token may be signed with; left out, those of key pairs. `none` and HMAC are never taken."""
    type: Text | None = None
    """What `typ` in the header of a token must be, such as `at+jwt` (RFC 9068), in any case."""
    leeway: Duration = Field(default=60.0, ge=0, le=600)
    """Seconds by which the clock of the issuer may differ."""
    subject_claims: Names = ("sub",)
    """Claims that name whose token it is. The first one that a token has counts, here and in the next ones; dots lead
    into claims: `realm_access.roles`."""
    client_claims: Names = ("client_id", "azp", "appid", "cid")
    """Claims that name the client."""
    application_claims: Names = ("application",)
    """Claims that name the application; without one it is the client."""
    scope_claims: Names = ("scope", "scp")
    """Claims with the scopes: a list, or a text with spaces between."""
    roles_claims: Names = ("roles",)
    """Claims with the roles: a list, or a text with spaces between."""
    kind_claims: Names = ("token_kind", "gty", "idtyp")
    """Claims that say whether a token is of an application itself."""
    application_kinds: tuple[Text, ...] = ("application", "client-credentials", "client_credentials", "app")
    """What they say then. A token whose subject is its client is of the application, too."""
    grant_claims: Names = ("grant_type", "gty")
    """Claims that say by which grant a token was given."""
    key_type: Literal["production", "sandbox"] = "production"
    """Which kind of key its tokens are, where they do not say `key_type`."""
    refresh: Duration = Field(default=600.0, ge=1)
    """Seconds after which keys are fetched again, in the background."""
    cooldown: Duration = Field(default=30.0, ge=1)
    """Seconds between requests for a key that is not known, since anybody can name such keys."""
    keep: Duration = Field(default=86400.0, ge=1)
    """Seconds in which the keys fetched last are used while the issuer gives none."""
    timeout: Duration = Field(default=10.0, gt=0, le=60)
    """Seconds the issuer may take for one answer."""
    allow_http: bool = False
    """Whether keys may be fetched without TLS from another machine. Whoever can change what goes over the wire can then
    make tokens."""

    @model_validator(mode="after")
    def _have_one_source(self) -> LocalJwtOptions:
        given = [name for name in ("jwks_uri", "jwks_path", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"write one of jwks_uri, jwks_path, file; there is {' and '.join(given) or 'nothing'}")
        if (self.jwks_path is None) != (self.connection is None):
            raise ValueError("connection goes with jwks_path, which is a path on it")
        if self.jwks_uri is not None:
            try:
                key_url(self.jwks_uri, allow_http=self.allow_http)
            except ValueError as error:
                raise ValueError(f"jwks_uri: {error}") from None
        return self


class LocalJwt(Elsewhere[LocalJwtOptions]):
    """Takes JWTs that another server signs, without asking it about each. Clients are made, and tokens ended, there.

    Keys are fetched with the first token and again every ten minutes (`refresh`). A token that names a key which is not
    known has them fetched at once, every 30 seconds at most (`cooldown`). While the issuer is down the keys it gave
    before are used for a day (`keep`); if there are none yet, calls are refused with 900900. Of what the issuer has
    revoked nobody tells the gateway: a token counts until it ends.
    """

    _host: Host
    _file: KeyStore | None = None

    def __init__(self, options: LocalJwtOptions) -> None:
        super().__init__(options)
        self._registry = Registry(options.algorithms or ASYMMETRIC)
        self._expected = Expected(options.issuer, frozenset(options.audience), ("exp",), options.leeway)
        self._remote = RemoteKeys(
            options.jwks_uri or options.jwks_path,
            None,
            partial(key_url, allow_http=options.allow_http),
            refresh=options.refresh,
            cooldown=options.cooldown,
            keep=options.keep,
            timeout=options.timeout,
            connection=options.connection,
        )

    @hookimpl
    async def startup(self, host: Host) -> None:
        """Read the file, if it is one; keys of an issuer are fetched with the first token.

        Raises:
            ValueError: the file has no keys.
        """
        self._host = host
        self._remote.start(host, self.entry.id)
        if self.options.file is not None:
            follower = Follower(self.options.file, LARGEST_FILE)
            self._file = await asyncio.to_thread(_read, follower)
            host.start("keys of the issuer", self._follow(follower))

    @hookimpl
    async def shutdown(self) -> None:
        """End a request for keys that is under way."""
        await self._remote.stop()

    @hookimpl
    async def validate(self, token: str) -> Mapping[str, Any] | None:
        """Check a token.

        Raises:
            CannotTell: there are no keys to check it with.
        """
        if len(token) > LONGEST:
            return None
        try:
            found = await signed(token, self._registry, self._find, self.options.type)
            claims = parsed(found.payload)
            check(claims, self._expected, self._host.clock.wall())
        except BadToken:
            return None
        except Fault as fault:
            raise CannotTell("The keys for checking tokens cannot be had now.") from fault
        return self._said(claims)

    def _said(self, claims: Mapping[str, Any]) -> dict[str, Any] | None:
        options = self.options
        subject = _first(claims, options.subject_claims)
        if not isinstance(subject, str) or not subject:
            return None
        client = _first(claims, options.client_claims)
        kind = _first(claims, options.kind_claims)
        kind = APPLICATION if kind in options.application_kinds else USER if kind == USER else None
        application = _first(claims, options.application_claims) or client
        scope = words_of(_first(claims, options.scope_claims))
        said = told(claims, subject, client, application, scope, kind)
        key_type, grant = claims.get("key_type"), _first(claims, options.grant_claims)
        said["key_type"] = key_type if key_type in ("production", "sandbox") else options.key_type
        said["roles"] = words_of(_first(claims, options.roles_claims))
        said["exp"] = claims["exp"] + options.leeway  # until then it counts here
        if isinstance(grant, str):
            said["grant_type"] = grant.replace("-", "_") if ":" not in grant else grant
        return said

    async def _find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        if self.options.file is None:
            return await self._remote.find(kid, algorithm)
        return [] if self._file is None else self._file.find(kid, algorithm)

    async def _follow(self, follower: Follower) -> None:
        while True:
            await follower.changed()
            try:
                self._file = await asyncio.to_thread(_read, follower)
                self._host.log.info("%s: the keys of the issuer have changed", self.entry.id)
            except ValueError as error:
                self._host.log.warning("%s: no keys: %s; those before are used on", self.entry.id, error)


def _read(follower: Follower) -> KeyStore:
    try:
        data = follower.read()
    except LookupError as error:
        raise ValueError(f"file: {error}") from None
    if len(data) > LARGEST_FILE:
        raise ValueError(f"file: it has more than {LARGEST_FILE} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("file: it holds no JSON object")  # noqa: TRY004 - told as one of the options
    try:
        return key_set(found)
    except ValueError as error:
        raise ValueError(f"file: {error}") from None


def _first(claims: Mapping[str, Any], names: Sequence[str]) -> Any:
    for name in names:
        value = claim(claims, name)
        if value is not None:
            return value
    return None
