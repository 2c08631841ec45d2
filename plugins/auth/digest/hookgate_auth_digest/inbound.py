"""Recognise callers by user name and password without ever seeing the password (RFC 7616)."""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable, Coroutine, Mapping
from time import time
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hookgate import AuthMethod, Duration, Exchange, Host, Identity, Options, Secret, Unauthorized, hookimpl
from hookgate.workshop import HeaderName, Password, short_for
from hookgate_auth_digest.algorithms import ALGORITHMS, Algorithm, ha1_of, response_of, user_hash
from hookgate_auth_digest.nonces import Nonces
from hookgate_auth_digest.parameters import UserName, credentials_in, quoted, user_in

_COUNT = re.compile(r"[0-9A-Fa-f]{8}")


def _realm(realm: str) -> str:
    if not (realm.isascii() and realm.isprintable() and realm):
        raise ValueError("a realm is printable ASCII text")
    return realm


def _algorithm(name: str) -> str:
    algorithm = ALGORITHMS.get(name.lower())
    if algorithm is None:
        known = ", ".join(each.name for each in ALGORITHMS.values())
        raise ValueError(f"{name!r} is none of the algorithms there are here: {known}")
    return algorithm.name


def _ha1(value: Secret) -> Secret:
    if not re.fullmatch(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{64}", value.reveal()):
        raise ValueError("a hash is 32 (MD5) or 64 hexadecimal digits")
    return value


STALE = "digest: stale nonce"
"""The note of a call whose credentials are right, but for the nonce: the challenge to it is another one."""
AlgorithmName = Annotated[str, AfterValidator(_algorithm)]
BaseName = Literal["MD5", "SHA-256", "SHA-512-256"]


class DigestUser(Options):
    """One user: a password, or the hashes of it, and what is known of the user."""

    password: Password | None = None
    """The password."""
    ha1: dict[BaseName, Annotated[Secret, AfterValidator(_ha1)]] = Field(default_factory=dict)
    """In place of the password, its hash for each hash function: that of `user:realm:password` in hexadecimal, as
    `htdigest` writes it. Within the realm a hash opens as much as the password does, so it is a secret, too."""
    roles: tuple[str, ...] = ()
    """Roles of the user, for steps further right that ask for them."""
    application: str | None = None
    """The application that calls, for steps that count by application."""

    @model_validator(mode="after")
    def _have_one_kind(self) -> DigestUser:
        if (self.password is None) == (not self.ha1):
            raise ValueError("write either password or ha1")
        for name, value in self.ha1.items():
            if (wanted := 32 if name == "MD5" else 64) != len(value.reveal()):
                raise ValueError(f"ha1: a hash by {name} has {wanted} hexadecimal digits")
        return self


User = Annotated[DigestUser, BeforeValidator(short_for("password"), json_schema_input_type=Secret | DigestUser)]


class DigestOptions(Options):
    """Options of `digest` for callers."""

    users: dict[UserName, User] = Field(min_length=1)
    """Users by name: each a password, or a mapping with `password` or `ha1`, `roles` and `application`. A name has no
    colon."""
    realm: Annotated[str, AfterValidator(_realm)] = "hookgate"
    """What the challenge tells a person to log in to. It is part of what is hashed."""
    algorithms: tuple[AlgorithmName, ...] = Field(default=("SHA-256",), min_length=1, max_length=4)
    """Algorithms, the preferred one first: `SHA-256`, `SHA-512-256`, and each with `-sess` behind it. `MD5` is for
    clients that know nothing else, and should come last: it is weak. Several make a challenge each, in one line; for
    clients that read one challenge to a line, write the method several times, each with one algorithm."""
    qop: tuple[Literal["auth", "auth-int"], ...] = Field(default=("auth",), min_length=1, max_length=2)
    """What is protected: `auth` the request line; `auth-int` the body, too, which is then kept whole in memory."""
    userhash: bool = False
    """Whether clients are told that they may send a hash of the user's name instead of the name."""
    nonce_lifetime: Duration = Field(default=300.0, ge=1, le=86400)
    """Seconds a nonce may be used for. A client with an older one is given a new one without asking its user."""
    max_nonces: int = Field(default=10_000, ge=1, le=1_000_000)
    """Nonces in use whose counts are remembered, so that nothing can be sent twice. When there are more, the oldest
    become stale."""
    nonce_key: Secret | None = None
    """What nonces are signed with, 16 characters or more; random unless given. With one key for several gateways a
    nonce of one is good at the other, and a request that was recorded can be sent once to each of them."""
    header: HeaderName = "Authorization"
    """Request header that carries the credentials (AC-44)."""

    @model_validator(mode="after")
    def _fit(self) -> DigestOptions:
        for name, values in (("algorithms", self.algorithms), ("qop", self.qop)):
            if len(set(values)) != len(values):
                raise ValueError(f"{name}: one is there twice; leave it out")
        if self.nonce_key is not None and len(self.nonce_key.reveal()) < 16:
            raise ValueError("nonce_key: it is shorter than 16 characters; make a longer one at random")
        bases = {ALGORITHMS[name.lower()].base for name in self.algorithms}
        for name, user in self.users.items():
            if user.ha1 and not bases <= user.ha1.keys():
                missing = ", ".join(sorted(bases - user.ha1.keys()))
                raise ValueError(f"users: {name!r} has no ha1 for {missing}; add it, or take it out of algorithms")
        return self


class _Known(NamedTuple):
    """A user as one algorithm sees it."""

    identity: Identity | None
    ha1: bytes


class Digest(AuthMethod[DigestOptions]):
    """Recognises callers by user name and password; the password itself never travels (RFC 7616).

    Nonces are sealed with the time they were made at, and none is kept before somebody has proved to know a password;
    of those that are in use the counts are remembered, so that no request can be sent twice. Credentials that are right
    but for an old nonce, as after a restart, get a challenge with `stale=true`, which a client answers by itself.

    Credentials for another realm, or with an algorithm that is not offered, are none of this kind. Put the method in
    front of steps that change the path: what is checked is the request line as it is then. The old way of RFC 2069,
    without `qop`, is refused, since it can be sent again by anybody who has seen it. Nothing is said in
    `Authentication-Info`.
    """

    def __init__(self, options: DigestOptions) -> None:
        super().__init__(options)
        if "auth-int" in options.qop:
            self.reads = {"request.body"}
        key = options.nonce_key.reveal().encode() if options.nonce_key is not None else secrets.token_bytes(32)
        self._nonces = Nonces(key, options.nonce_lifetime, options.max_nonces)
        self._algorithms = tuple(ALGORITHMS[name.lower()] for name in options.algorithms)
        realm = options.realm.encode()
        self._users = {each: _users_of(each, options, realm) for each in self._algorithms}
        self._hashed = {
            each: {user_hash(each, user, realm): known for user, known in users.items()}
            for each, users in self._users.items()
        }
        self._nobody = _Known(None, secrets.token_hex(32).encode())
        self._wall: Callable[[], float] = time

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the house's clock."""
        self._wall = host.clock.wall

    @hookimpl
    def identify(self, exchange: Exchange) -> Identity | Coroutine[Any, Any, Identity] | None:
        """Return the user, or `None` when the header has no Digest credentials for this realm and these algorithms.

        With `auth-int` this waits for the body.

        Raises:
            Unauthorized: the credentials are malformed, wrong, for another request, or were used before.
            BadRequest: the header comes more than once.
        """
        try:
            parameters = credentials_in(exchange.request.headers.single(self.options.header) or "")
        except ValueError:
            raise _malformed() from None
        if parameters is None:
            return None
        algorithm = ALGORITHMS.get(parameters.get("algorithm", "MD5").lower())
        if algorithm not in self._algorithms or parameters.get("realm") != self.options.realm:
            return None
        given = self._given(parameters)
        if given.qop == b"auth-int":
            return self._with_body(exchange, algorithm, given)
        return self._judge(exchange, algorithm, given, b"")

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for user and password, with a new nonce; one challenge for each algorithm, in one line."""
        nonce = self._nonces.make(self._wall())
        qop = quoted(", ".join(self.options.qop))
        more = ", charset=UTF-8"
        if self.options.userhash:
            more += ", userhash=true"
        if exchange.variables.get(STALE):
            more += ", stale=true"
        return ", ".join(
            f'Digest realm={quoted(self.options.realm)}, qop={qop}, algorithm={each.name}, nonce="{nonce}"{more}'
            for each in self._algorithms
        )

    def _given(self, parameters: Mapping[str, str]) -> _Given:
        try:
            given = _Given.of(parameters)
        except (KeyError, ValueError):
            raise _malformed() from None
        if given.qop.decode("latin-1") not in self.options.qop or (given.hashed and not self.options.userhash):
            raise _malformed()
        return given

    async def _with_body(self, exchange: Exchange, algorithm: Algorithm, given: _Given) -> Identity:
        return self._judge(exchange, algorithm, given, await exchange.request.body.read())

    def _judge(self, exchange: Exchange, algorithm: Algorithm, given: _Given, body: bytes) -> Identity:
        request = exchange.request
        users = (self._hashed if given.hashed else self._users)[algorithm]
        known = users.get(given.user, self._nobody)
        wanted = response_of(
            algorithm,
            known.ha1,
            method=request.method.encode("latin-1"),
            uri=given.uri,
            nonce=given.nonce,
            qop=given.qop,
            count=given.nc,
            cnonce=given.cnonce,
            body=body,
        )
        if not hmac.compare_digest(wanted, given.response) or known.identity is None:
            raise Unauthorized("User name and password do not match.", reason="wrong-credentials")
        target = request.received.encode("latin-1", "replace")
        if given.uri not in (target, f"{request.scheme}://{request.host}".encode("latin-1", "replace") + target):
            raise Unauthorized("The Digest credentials are for another request.", reason="wrong-credentials")
        finding = self._nonces.use(given.nonce.decode("latin-1"), int(given.nc, 16), self._wall())
        if finding != "fresh":
            exchange.variables[STALE] = True
            raise Unauthorized("The nonce is no longer good; a new one is offered.", reason=f"{finding}-credentials")
        return known.identity


def _malformed() -> Unauthorized:
    return Unauthorized("The Digest credentials are malformed.", reason="malformed-credentials")


def _users_of(algorithm: Algorithm, options: DigestOptions, realm: bytes) -> dict[bytes, _Known]:
    found: dict[bytes, _Known] = {}
    for name, user in options.users.items():
        raw = name.encode()
        if user.password is not None:
            ha1 = ha1_of(algorithm, raw, realm, user.password.reveal().encode())
        else:
            ha1 = user.ha1[algorithm.base].reveal().lower().encode()  # type: ignore[index]
        found[raw] = _Known(Identity(name, "digest", user.roles, application=user.application), ha1)
    return found


class _Given(NamedTuple):
    """What the client has sent, as bytes."""

    user: bytes
    hashed: bool
    nonce: bytes
    uri: bytes
    qop: bytes
    nc: bytes
    cnonce: bytes
    response: bytes

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> _Given:
        """Take over what is needed.

        Raises:
            KeyError: a parameter is missing.
            ValueError: one is malformed.
        """
        if not _COUNT.fullmatch(parameters["nc"]) or int(parameters["nc"], 16) == 0:
            raise ValueError("nc is eight hexadecimal digits, from 1 on")
        if not parameters["cnonce"]:
            raise ValueError("cnonce is empty")
        hashed = parameters.get("userhash", "false").lower() == "true"
        if hashed and "username*" in parameters:
            raise ValueError("a hashed name is in username")
        nonce, uri, qop, count, cnonce, response = (
            parameters[name].encode("latin-1") for name in ("nonce", "uri", "qop", "nc", "cnonce", "response")
        )
        return cls(user_in(parameters), hashed, nonce, uri, qop, count, cnonce, response.lower())
