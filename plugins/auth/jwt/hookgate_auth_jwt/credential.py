"""Tokens of our own towards a backend (RFC 7519)."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from joserfc import jws
from pydantic import Field, JsonValue, field_validator, model_validator

from hookgate import Credential, Duration, Exchange, Headers, Host, Options, Outbound, hookimpl
from hookgate.jose import SYMMETRIC, Algorithm, Registry, algorithms_of, private_key, secret_key
from hookgate.workshop import FilledSecret, HeaderName, Prefix, add_credentials
from hookgate_auth_jwt.options import HmacSecret, Text
from hookgate_auth_jwt.pem import PemSecret

MARGIN = 30.0
"""Seconds before its expiry from which a token is not used any more; half its time if that is shorter."""
OWN_CLAIMS = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "jti"})
LONGEST = 8192
"""Characters a token may have, so that it fits into what backends take as a header."""


class JwtCredentialOptions(Options):
    """Options of `jwt` towards a backend. Either `key` or `secret` is needed."""

    key: PemSecret | None = None
    """Private key in PEM: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519."""
    key_password: FilledSecret | None = None
    """What opens `key`, if it is encrypted."""
    secret: HmacSecret | None = None
    """Secret of an HMAC signature, which the backend has, too; it has as many bytes as the hash or more (RFC 7518,
    3.2)."""
    algorithm: Algorithm | None = None
    """How the token is signed. Left out: `RS256`, `ES256`, `ES384`, `ES512` or `EdDSA` as the key is, `HS256` with
    `secret`."""
    key_id: Text | None = None
    """Name of the key (`kid`), by which the backend finds the public one."""
    issuer: Text | None = None
    """Who makes the token (`iss`)."""
    subject: Text | None = None
    """Whom it is about (`sub`)."""
    audience: tuple[Text, ...] = ()
    """For whom it is (`aud`); one name is written as a text, several as a list."""
    lifetime: Duration = Field(default=300.0, ge=2, le=86400)
    """Seconds until a token expires."""
    claims: dict[Text, JsonValue] = Field(default_factory=dict)
    """Further claims with fixed values."""
    type: Text = "JWT"
    """What stands in the header as `typ`."""
    reuse: bool = True
    """Whether calls share a token until shortly before it expires. Without it each attempt has a token, and a `jti`, of
    its own, for backends that take one only once."""
    prefix: Prefix = "Bearer"
    """Word before the token; empty for the token alone."""
    header: HeaderName = "Authorization"
    """Header that carries the token."""

    @field_validator("claims")
    @classmethod
    def _be_further_ones(cls, claims: dict[str, JsonValue]) -> dict[str, JsonValue]:
        for name in claims:
            if name in OWN_CLAIMS:
                raise ValueError(f"{name!r} is written by the gateway; see issuer, subject, audience and lifetime")
        return claims

    @model_validator(mode="after")
    def _can_sign(self) -> "JwtCredentialOptions":
        if (self.key is None) == (self.secret is None):
            raise ValueError("write either key or secret")
        if self.key is None and self.key_password is not None:
            raise ValueError("key_password: there is no key that it could open; write key, or take it out")
        signer = Signer.of(self)
        Headers({self.header: signer.line(self, 1e12, "x" * 22)})  # so that no call finds out
        return self


@dataclass(frozen=True, slots=True)
class Signer:
    """A key and the algorithm it is used with."""

    key: Any = field(repr=False)
    algorithm: str
    registry: Registry

    @classmethod
    def of(cls, options: JwtCredentialOptions) -> "Signer":
        """Make the signer that the options describe.

        Raises:
            ValueError: key and algorithm do not go together, or one of them is not good enough.
        """
        algorithm: str | None = options.algorithm
        if options.secret is not None:
            if algorithm is not None and algorithm not in SYMMETRIC:
                raise ValueError(f"algorithm: {algorithm} goes with a key, and not with a secret")
            algorithm = algorithm or "HS256"
            try:
                key = secret_key(options.secret.reveal(), (algorithm,))
            except ValueError as error:
                raise ValueError(f"secret: {error}") from None
            return cls(key, algorithm, Registry((algorithm,)))
        assert options.key is not None
        password = options.key_password
        try:
            key = private_key(options.key.reveal(), None if password is None else password.reveal())
        except ValueError as error:
            raise ValueError(f"key: {error}") from None
        fitting = algorithms_of(key)
        if algorithm is not None and algorithm not in fitting:
            raise ValueError(f"algorithm: {algorithm} does not go with this key; take {' or '.join(fitting)}")
        algorithm = algorithm or fitting[0]
        return cls(key, algorithm, Registry((algorithm,)))

    def line(self, options: JwtCredentialOptions, now: float, token_id: str) -> str:
        """Return what stands in the header: a token that is issued at this Unix time, behind the prefix.

        Raises:
            ValueError: the token is longer than backends take.
        """
        header = {"typ": options.type, "alg": self.algorithm}
        if options.key_id is not None:
            header["kid"] = options.key_id
        claims: dict[str, Any] = {"iss": options.issuer, "sub": options.subject}
        claims = {name: value for name, value in claims.items() if value is not None}
        if options.audience:
            claims["aud"] = options.audience[0] if len(options.audience) == 1 else list(options.audience)
        claims |= {"iat": int(now), "exp": int(now + options.lifetime), "jti": token_id, **options.claims}
        payload = json.dumps(claims, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        token = jws.serialize_compact(header, payload, self.key, registry=self.registry)
        if len(token) > LONGEST:
            raise ValueError(f"claims: the token has {len(token)} characters; {LONGEST} is what backends take")
        return f"{options.prefix} {token}" if options.prefix else token


class JwtCredential(Credential[JwtCredentialOptions]):
    """Shows the backend a token that the gateway makes and signs itself.

    It says who made it, about whom and for whom, and has `iat`, `exp` and a `jti` that is never used again. Calls share
    a token until 30 seconds before it expires, or half its time if that is shorter; see `reuse`.

    What the request had under the header is taken out: a caller's token is for the gateway. What header actions and
    credentials before this one wrote stays (X7).
    """

    def __init__(self, options: JwtCredentialOptions) -> None:
        super().__init__(options)
        self._signer = Signer.of(options)
        self._line = ""
        self._until = 0.0
        """Monotonic time in seconds until which the line is used."""
        self._use = options.lifetime - min(MARGIN, options.lifetime / 2)
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house, whose clock is in the tokens."""
        self._host = host

    @hookimpl
    def sign(self, exchange: Exchange, outbound: Outbound) -> None:
        """Put a token behind what other credentials wrote, in the place of what the caller sent."""
        add_credentials(exchange, outbound, self.options.header, self._current())

    def _current(self) -> str:
        clock = self._host.clock
        now = clock.now()
        if not self._line or now >= self._until or not self.options.reuse:
            self._line = self._signer.line(self.options, clock.wall(), secrets.token_urlsafe(16))
            self._until = now + self._use
        return self._line
