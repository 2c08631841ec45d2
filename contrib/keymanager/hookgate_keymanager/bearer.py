"""The grant ``jwt-bearer``: tokens for a user whom somebody else vouches for with a signed assertion (RFC 7523)."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar

from joserfc.jwk import Key
from pydantic import AfterValidator, Field, model_validator
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from hookgate import ConnectionName, Duration, Host, Options, hookimpl
from hookgate.jose import (
    ASYMMETRIC,
    Asymmetric,
    BadToken,
    Expected,
    KeyStore,
    Registry,
    RemoteKeys,
    check,
    http_url,
    key_set,
    key_url,
    parsed,
    signed,
)
from hookgate_keymanager.clients import JWT_BEARER, hash_of
from hookgate_keymanager.extending import Grant, Granted, GrantRefused, GrantRequest
from hookgate_keymanager.tables import shown

LEEWAY = 60.0
"""Seconds by which the clock of an issuer may differ."""
LONGEST_ID = 500


class IssuerRecord(Options):
    """Somebody whose assertions count. Keys come from one of `jwks_uri`, `jwks_path` and `jwks`."""

    jwks_uri: Annotated[str, AfterValidator(http_url)] | None = None
    """URL of its key set: `https`, or `http` on a loopback address."""
    connection: ConnectionName | None = None
    """A connection over which the key set is fetched."""
    jwks_path: Annotated[str, Field(pattern=r"^/([^/\s#][^\s#]*)?$", max_length=500)] | None = None
    """Path of the key set on `connection`."""
    jwks: dict[str, Any] | None = None
    """The key set itself (RFC 7517, 5): a mapping with the list `keys`."""
    algorithms: Annotated[tuple[Asymmetric, ...], Field(min_length=1)] | None = None
    """Algorithms an assertion may be signed with; left out, those of key pairs."""
    clients: tuple[str, ...] = ()
    """Ids of the clients that may show its assertions; without any, each that has the grant."""
    users: tuple[str, ...] = ()
    """Users whom it may vouch for; without any, each. It can then get tokens of administrators, too."""

    @model_validator(mode="after")
    def _have_one_source(self) -> IssuerRecord:
        given = [name for name in ("jwks_uri", "jwks_path", "jwks") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"write one of jwks_uri, jwks_path, jwks; there is {' and '.join(given) or 'nothing'}")
        if (self.jwks_path is None) != (self.connection is None):
            raise ValueError("connection goes with jwks_path, which is a path on it")
        try:
            if self.jwks_uri is not None:
                key_url(self.jwks_uri, allow_http=False)
            if self.jwks is not None:
                key_set(self.jwks)
        except ValueError as error:
            raise ValueError(f"{given[0]}: {error}") from None
        return self


class JwtBearerOptions(Options):
    """Options of `jwt-bearer`."""

    issuers: dict[Annotated[str, Field(min_length=1, max_length=500)], IssuerRecord] = Field(
        min_length=1, max_length=100
    )
    """Whose assertions count, by what stands in them as `iss`."""
    audience: tuple[Annotated[str, Field(min_length=1, max_length=500)], ...] = ()
    """Names of this server: `aud` of an assertion must have one of them. Left out, `keymanager.issuer` and its token
    endpoint."""
    longest: Duration = Field(default=3600.0, ge=1, le=86400)
    """Seconds that an assertion may be good; those that are good for longer are refused. Each is taken once."""


class _Issuer:
    """The keys of one of them."""

    def __init__(self, name: str, record: IssuerRecord) -> None:
        self.name, self.record = name, record
        self.registry = Registry(record.algorithms or ASYMMETRIC)
        self._kept: KeyStore | None = None if record.jwks is None else key_set(record.jwks)
        self.remote = RemoteKeys(
            record.jwks_uri or record.jwks_path,
            None,
            partial(key_url, allow_http=False),
            refresh=600.0,
            cooldown=30.0,
            keep=86400.0,
            timeout=5.0,
            connection=record.connection,
        )

    async def find(self, kid: str | None, algorithm: str) -> Sequence[Key]:
        """Return the keys that an assertion may have been signed with."""
        return await self.remote.find(kid, algorithm) if self._kept is None else self._kept.find(kid, algorithm)


class JwtBearer(Grant[JwtBearerOptions]):
    """Gives tokens for an assertion that a trusted issuer has signed (RFC 7523), by
    `urn:ietf:params:oauth:grant-type:jwt-bearer`.

    `sub` is the name of a user of the store, `aud` this server. An assertion has `exp` and `jti`, is good for a short
    time, and is taken once, by whichever node. The client shows who it is beside it. No refresh token comes with it.
    """

    grant_type: ClassVar[str] = JWT_BEARER
    _host: Host

    def __init__(self, options: JwtBearerOptions) -> None:
        super().__init__(options)
        self._issuers = {name: _Issuer(name, record) for name, record in options.issuers.items()}

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house; keys are fetched with the first assertion."""
        self._host = host
        for each in self._issuers.values():
            each.remote.start(host, f"{self.entry.id} {each.name}")

    @hookimpl
    async def shutdown(self) -> None:
        """End requests for keys that are under way."""
        for each in self._issuers.values():
            await each.remote.stop()

    @hookimpl
    async def grant(self, asked: GrantRequest) -> Granted:
        """Check an assertion.

        Raises:
            GrantRefused: it is none, is not for here and now, or was shown before.
            ServiceUnavailable: there are no keys to check it with.
        """
        text = asked.fields.get("assertion", "")
        if not text:
            raise GrantRefused("invalid_request", "there is no assertion")
        issuer = self._issuers.get(_issuer_of(text))
        if issuer is None:
            raise GrantRefused("invalid_grant", "the assertion is malformed, or of an issuer that is not trusted")
        record, now = issuer.record, self.desk.store().clock()
        if record.clients and asked.client.client_id not in record.clients:
            raise GrantRefused("unauthorized_client", "this client may not show assertions of the issuer")
        try:
            found = await signed(text, issuer.registry, issuer.find)
            claims = parsed(found.payload)
            wanted = Expected(issuer.name, self._audience(), ("exp", "sub", "jti"), LEEWAY)
            check(claims, wanted, now)
        except BadToken as error:
            raise GrantRefused("invalid_grant", str(error).replace("token", "assertion")) from None
        user, number = claims["sub"], claims["jti"]
        if not isinstance(user, str) or not isinstance(number, str) or len(number) > LONGEST_ID:
            raise GrantRefused("invalid_grant", "sub and jti of the assertion are texts")
        if claims["exp"] - now > self.options.longest + LEEWAY:
            raise GrantRefused("invalid_grant", f"an assertion is good for {self.options.longest:g} s at most")
        if record.users and user not in record.users:
            raise GrantRefused("invalid_grant", "the issuer may not vouch for this user")
        mark = hash_of(f"{len(issuer.name)} {issuer.name} {number}")
        ends = claims["exp"] + LEEWAY

        async def use(connection: AsyncConnection) -> bool:
            if (await connection.execute(select(shown.c.hash).where(shown.c.hash == mark))).first() is not None:
                return False
            await connection.execute(insert(shown).values(hash=mark, ends=ends))
            return True

        return Granted(user, asked.fields.get("scope", ""), use=use)

    def _audience(self) -> frozenset[str]:
        if self.options.audience:
            return frozenset(self.options.audience)
        if self.desk.issuer is None:
            raise GrantRefused("server_error", "assertions need keymanager.issuer, or an audience", 500)
        return frozenset([self.desk.issuer, f"{self.desk.issuer}/token"])


def _issuer_of(text: str) -> str:
    """Return whom an assertion says it is of, before anything of it is checked: by that its keys are found."""
    try:
        head, payload, _ = text.split(".")
        found = parsed(_decoded(payload)).get("iss")
    except (ValueError, BadToken):
        return ""
    return found if head and isinstance(found, str) else ""


def _decoded(part: str) -> bytes:
    return urlsafe_b64decode(part + "=" * (-len(part) % 4))
