"""Tokens of callers (RFC 7519, RFC 6750, RFC 8725)."""

from collections import OrderedDict
from functools import partial
from hashlib import sha256
from typing import NamedTuple

from joserfc.jwk import Key

from hookgate import AuthMethod, Exchange, Host, Identity, hookimpl
from hookgate.jose import BadToken, Expected, Registry, RemoteKeys, check, claim, key_url, parsed, signed
from hookgate.workshop import BearerTokens, identity_of, words_of
from hookgate_auth_jwt.encryption import Decryption, type_of
from hookgate_auth_jwt.options import JwtOptions


class _Good(NamedTuple):
    """What is known of a token that was checked."""

    identity: Identity
    scopes: frozenset[str]
    until: float
    """Unix time from which on it is checked again."""


class Jwt(AuthMethod[JwtOptions]):
    """Recognises callers by a signed token, without asking anybody about it (AC-44).

    The signature is checked first, with a key and an algorithm that fit each other and the `algorithms` of the
    document: the header of a token chooses among them and nothing else. Then `exp`, `nbf` and `iat` by the clock, then
    `iss`, `aud` and the claims that are `required`. A token that is bound to a key of its holder (`cnf`) is refused,
    since possession is not checked here. Whatever is wrong is answered 401 with `error="invalid_token"`, and a missing
    scope 403 with `error="insufficient_scope"`.

    Keys of an issuer are fetched with the first token and again every ten minutes (`refresh_seconds`). A token that
    names a key which is not known has them fetched at once, every 30 seconds at most (`cooldown_seconds`); one without
    a `kid` is tried with the keys of the set that fit, eight at most. While the issuer is down the keys it gave before
    are used for a day (`keep_seconds`); if there are none yet the call ends with 503.

    With `encryption` a token is encrypted, with the signed one inside (RFC 7519, 11.2), and one that is not is refused.
    Which key, algorithm and content algorithm may be used the document says, too. A token that is compressed (`zip`) is
    refused, since few bytes can become many.

    Revoked tokens are good until they expire; where that matters use `oauth2`. All claims are `claims` of the identity.
    """

    writes = {"request.headers", "variables"}

    def __init__(self, options: JwtOptions) -> None:
        super().__init__(options)
        self._registry = Registry(options.allowed())
        self._store = options.store()
        self._decryption = None if options.encryption is None else Decryption(options.encryption)
        self._remote = RemoteKeys(
            options.jwks_uri,
            options.issuer,
            partial(key_url, allow_http=options.allow_http),
            refresh=options.refresh_seconds,
            cooldown=options.cooldown_seconds,
            keep=options.keep_seconds,
            timeout=options.timeout,
        )
        self._remote.changed = self._forget
        self._expected = Expected(options.issuer, frozenset(options.audience), options.required, options.leeway)
        self._good: OrderedDict[bytes, _Good] = OrderedDict()
        self._host: Host
        self._tokens = BearerTokens(options)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house; keys are fetched with the first token."""
        self._host = host
        self._remote.start(host, self.entry.id)

    @hookimpl
    async def shutdown(self) -> None:
        """End a request for keys that is under way."""
        await self._remote.stop()

    @hookimpl
    async def identify(self, exchange: Exchange) -> Identity | None:
        """Return whose token it is, or `None` when the request has none.

        Raises:
            Unauthorized: the token is not good here.
            Forbidden: it lacks a scope.
            ServiceUnavailable: there are no keys to check it with.
        """
        token = self._tokens.read(exchange)
        if token is None:
            return None
        try:
            good = await self._checked(token)
        except BadToken as error:
            raise self._tokens.refused(exchange, self.entry, str(error)) from None
        self._tokens.check_scopes(good.scopes)
        if self.options.hide:
            exchange.request.headers.remove(self.options.header)
        return good.identity

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for a token; say what was wrong with the one that came."""
        return self._tokens.challenge(exchange, self.entry)

    def _forget(self) -> None:
        """Check all tokens again, since there are other keys."""
        self._good.clear()

    async def _checked(self, token: str) -> _Good:
        if len(token) > self.options.max_token:
            raise BadToken("The token is too long.")
        if not token.isascii():
            raise BadToken("The token is malformed.")
        digest = sha256(token.encode("ascii")).digest()
        good = self._good.get(digest)
        if good is not None:
            if self._host.clock.wall() < good.until:
                self._good.move_to_end(digest)
                return good
            del self._good[digest]
        good = self._judged(await self._payload(token))
        if self._host.clock.wall() < good.until:
            self._good[digest] = good
            while len(self._good) > self.options.cache_size:
                self._good.popitem(last=False)
        return good

    async def _payload(self, token: str) -> bytes:
        """Return the claims of a token that somebody made who may."""
        encryption = self._decryption
        if encryption is not None and encryption.is_for(token):
            header, inside = encryption.opened(token)
            if not encryption.signed:
                if self.options.type is not None and type_of(header) != type_of({"typ": self.options.type}):
                    raise BadToken("The token is of another type.")
                return inside
            token = inside.decode("latin-1")
        return (await signed(token, self._registry, self._find, self.options.type)).payload

    async def _find(self, kid: str | None, algorithm: str) -> list[Key]:
        return await self._remote.find(kid, algorithm) if self._store is None else self._store.find(kid, algorithm)

    def _judged(self, payload: bytes) -> _Good:
        options, now = self.options, self._host.clock.wall()
        claims = parsed(payload)
        check(claims, self._expected, now)
        subject = claim(claims, options.subject_claim)
        if not isinstance(subject, str) or not subject:
            raise BadToken("The token does not tell whose it is.")
        roles, application = claim(claims, options.roles_claim), claim(claims, options.application_claim)
        identity = identity_of("jwt", subject, claims, roles, application)
        until = now + options.cache_seconds
        if claims.get("exp") is not None:
            until = min(until, claims["exp"] + options.leeway)
        return _Good(identity, frozenset(words_of(claims.get("scope")) + words_of(claims.get("scp"))), until)
