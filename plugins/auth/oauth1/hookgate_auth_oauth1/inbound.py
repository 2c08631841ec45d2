"""OAuth 1.0a of callers (AC-44)."""

import secrets
import time
from collections.abc import Awaitable

from pydantic import Field, model_validator

from hookgate import (
    AuthMethod,
    ContentTooLarge,
    Exchange,
    Host,
    Identity,
    Options,
    Secret,
    Unauthorized,
    WholeSeconds,
    hookimpl,
)
from hookgate.workshop import HeaderName, Nonces, refusal_of
from hookgate_auth_oauth1.signatures import (
    Name,
    PublicKey,
    Realm,
    SignatureMethod,
    base_string,
    base_uri,
    header_parameters,
    is_body_hash,
    is_form,
    pairs,
    public_key,
    rsa_verified,
    same,
    shared_signature,
)

REQUIRED = frozenset({"oauth_consumer_key", "oauth_signature_method", "oauth_signature"})
AGAINST_REPLAY = frozenset({"oauth_timestamp", "oauth_nonce"})


class Consumer(Options):
    """An application that may call."""

    secret: Secret | None = None
    """What it signs with, unless it signs with RSA."""
    public_key: PublicKey | None = None
    """The public half, in PEM, of the key that it signs with (RSA-SHA1); at least 2048 bits."""
    roles: tuple[str, ...] = ()
    """Roles of calls without a token, for steps further right that ask for them."""
    application: str | None = None
    """Name of the application."""

    @model_validator(mode="after")
    def _sign_with_something(self) -> "Consumer":
        if not self.secret and self.public_key is None:
            raise ValueError(
                "a consumer signs with a secret, not an empty one, or with RSA; write secret or public_key"
            )
        return self


class Token(Options):
    """What lets a consumer call in the name of a user."""

    secret: Secret
    """What calls with this token are signed with beside the consumer's secret."""
    consumer: str
    """Key of the consumer it belongs to."""
    subject: str = Field(min_length=1)
    """In whose name it calls."""
    roles: tuple[str, ...] = ()
    """Roles of calls with this token."""


class OAuth1Options(Options):
    """Options of `oauth1` for callers."""

    consumers: dict[Name, Consumer] = Field(min_length=1)
    """Applications that may call, by consumer key."""
    tokens: dict[Name, Token] = Field(default_factory=dict)
    """Tokens by their names."""
    require_token: bool = False
    """Whether calls without a token (2-legged) are refused."""
    signature_methods: tuple[SignatureMethod, ...] = Field(
        default=("HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1"), min_length=1
    )
    """Methods that are accepted. `PLAINTEXT` protects nothing by itself and is accepted over TLS only."""
    skew: WholeSeconds = Field(default=300, ge=1, le=3600)
    """Seconds that a timestamp may be off, in the past and in the future."""
    nonces: int = Field(default=100_000, ge=1, le=10_000_000)
    """Nonces remembered for each consumer, so that none is used twice. With more requests than these in twice the time
    of `skew`, older timestamps are refused sooner."""
    body_limit: int = Field(default=1024 * 1024, ge=1)
    """Bytes at most of a body that has to be read, which is a form or one whose hash was sent."""
    realm: Realm = "hookgate"
    """What the challenge calls the part that is protected."""
    header: HeaderName = "Authorization"
    """Request header that carries the credentials (AC-44)."""

    @model_validator(mode="after")
    def _know_whose_tokens_they_are(self) -> "OAuth1Options":
        for name, token in self.tokens.items():
            if token.consumer not in self.consumers:
                raise ValueError(
                    f"tokens: {name!r} belongs to {token.consumer!r}, which is none of the consumers; add it there"
                )
        if self.require_token and not self.tokens:
            raise ValueError("require_token: there are no tokens, so nobody could call; add some or take it out")
        return self


class OAuth1(AuthMethod[OAuth1Options]):
    """Recognises callers by the signature of their request (RFC 5849), and takes each request once.

    The parameters stand in the header; in the query or in a form they are not looked for. Host and port are those that
    the client has written into `Host`; behind a proxy that ends TLS the scheme is what a trusted proxy says, and the
    proxy has to pass `Host` on. Place it left of steps that change path or query. A form in the body is signed and
    therefore kept whole; another body is protected only if the caller sends its hash (`oauth_body_hash`).

    The identity is the subject of the token, or the consumer where there is none. Nonces are remembered in this process
    and until it ends: behind several gateways, or right after a restart, a request can be replayed within `skew`.
    """

    def __init__(self, options: OAuth1Options) -> None:
        super().__init__(options)
        self._wall = time.time
        self._unknown = Secret(secrets.token_hex())
        self._nonces = {name: Nonces(options.nonces) for name in options.consumers}
        self._keys = {
            name: public_key(consumer.public_key)
            for name, consumer in options.consumers.items()
            if consumer.public_key is not None
        }

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the clock of the house."""
        self._wall = host.clock.wall

    @hookimpl
    def identify(self, exchange: Exchange) -> Identity | Awaitable[Identity] | None:
        """Return the caller, or `None` when the header has nothing of this scheme.

        Raises:
            Unauthorized: the credentials are malformed, the signature or the hash of the body is wrong, the timestamp
                is too far off, the method is not accepted, a token is missing, or the request was there before.
            ContentTooLarge: the body has to be read and is longer than `body_limit`.
            ServiceUnavailable: the consumer has used up the nonces of this second.
        """
        given = self._given(exchange)
        if given is None:
            return None
        self._check_terms(exchange, given)
        if self._needs_body(exchange, given):
            held = exchange.request.body.held
            if held is None:
                return self._after_reading(exchange, given)
            if len(held) > (limit := self.options.body_limit):
                raise ContentTooLarge(f"The body is {len(held)} bytes long; here at most {limit} bytes are accepted.")
        return self._identity(exchange, given)

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for OAuth (RFC 5849, 3.5.1)."""
        return f'OAuth realm="{self.options.realm}"'

    def _given(self, exchange: Exchange) -> dict[str, str] | None:
        scheme, _, rest = (exchange.request.headers.single(self.options.header) or "").partition(" ")
        if scheme.lower() != "oauth":
            return None
        try:
            given = header_parameters(rest.strip())
        except ValueError:
            given = {}
        needed = REQUIRED if given.get("oauth_signature_method") == "PLAINTEXT" else REQUIRED | AGAINST_REPLAY
        ts = given.get("oauth_timestamp", "0")
        if (
            not all(given.get(name) for name in needed)
            or not (ts.isascii() and ts.isdigit() and len(ts) <= 12)
            or given.get("oauth_version", "1.0") != "1.0"
        ):
            raise _malformed()
        return given

    def _check_terms(self, exchange: Exchange, given: dict[str, str]) -> None:
        """Refuse what is not accepted whoever has signed it, before a body is read."""
        method = given["oauth_signature_method"]
        if method not in self.options.signature_methods:
            raise Unauthorized("This signature method is not accepted.", reason="wrong-signature-method")
        if method == "PLAINTEXT" and exchange.request.scheme != "https":
            raise Unauthorized("PLAINTEXT is accepted over TLS only.", reason="plaintext-without-tls")
        if self.options.require_token and not given.get("oauth_token"):
            raise Unauthorized("The OAuth credentials have no token.", reason="missing-token")
        if method != "PLAINTEXT" and abs(int(given["oauth_timestamp"]) - self._wall()) > self.options.skew:
            raise Unauthorized("The timestamp is too far off.", reason="stale-timestamp")

    @staticmethod
    def _needs_body(exchange: Exchange, given: dict[str, str]) -> bool:
        if given["oauth_signature_method"] == "PLAINTEXT":
            return False
        form = is_form(exchange.request.headers.single("content-type"))
        return (form and not exchange.request.body.empty) or "oauth_body_hash" in given

    async def _after_reading(self, exchange: Exchange, given: dict[str, str]) -> Identity:
        await exchange.request.body.read(self.options.body_limit)
        return self._identity(exchange, given)

    def _identity(self, exchange: Exchange, given: dict[str, str]) -> Identity:
        key, name = given["oauth_consumer_key"], given.get("oauth_token", "")
        consumer, token = self.options.consumers.get(key), self.options.tokens.get(name)
        known = consumer is not None and (not name or (token is not None and token.consumer == key))
        right = self._is_right(exchange, given, consumer, token)  # an unknown one takes as long and is told the same
        if consumer is None or not known or not right:
            raise Unauthorized("The OAuth credentials do not match the request.", reason="wrong-credentials")
        if given["oauth_signature_method"] != "PLAINTEXT":
            self._check_body(exchange, given)
            self._use_up(given)
        if token is not None:
            return Identity(token.subject, "oauth1", token.roles, {"consumer": key}, consumer.application)
        return Identity(key, "oauth1", consumer.roles, {}, consumer.application)

    def _is_right(
        self, exchange: Exchange, given: dict[str, str], consumer: Consumer | None, token: Token | None
    ) -> bool:
        request = exchange.request
        method, signature = given["oauth_signature_method"], given["oauth_signature"]
        base = ""
        path, _, query = request.received.partition("?")
        if method != "PLAINTEXT":
            try:
                sent = pairs(query)
                if is_form(request.headers.single("content-type")) and not request.body.empty:
                    sent += pairs(request.body.data)
            except ValueError:
                raise _malformed() from None
            if any(name.startswith(b"oauth_") and name.decode(errors="replace") in given for name, _ in sent):
                raise _malformed()  # a parameter twice (RFC 5849, 3.1): which of the two is meant?
            uri = base_uri(request.scheme, request.host, path)
            base = base_string(request.method, uri, [*sent, *given.items()])
        if method == "RSA-SHA1":
            key = self._keys.get(given["oauth_consumer_key"])
            stand_in = next(iter(self._keys.values()), None)
            checked = key or stand_in
            return checked is not None and rsa_verified(signature, base, checked) and key is not None
        secret = consumer.secret if consumer is not None and consumer.secret else self._unknown
        right = shared_signature(method, base, secret, None if token is None else token.secret)  # type: ignore[arg-type]
        return same(right, signature)

    @staticmethod
    def _check_body(exchange: Exchange, given: dict[str, str]) -> None:
        hashed = given.get("oauth_body_hash")
        if hashed is not None and not is_body_hash(hashed, exchange.request.body.data):
            raise Unauthorized("The body is not the one that was signed.", reason="wrong-body-hash")

    def _use_up(self, given: dict[str, str]) -> None:
        """Use up the nonce. That comes last, so that who changes a request on its way cannot use it up."""
        nonce = f"{given.get('oauth_token', '')}\n{given['oauth_nonce']}"
        store = self._nonces[given["oauth_consumer_key"]]
        found = store.use(int(given["oauth_timestamp"]), nonce, int(self._wall() - self.options.skew))
        if found != "new":
            raise refusal_of(found, "The timestamp is too far off.")


def _malformed() -> Unauthorized:
    return Unauthorized("The OAuth credentials are malformed.", reason="malformed-credentials")
