"""Options of `jwt` for callers, and what is checked of them when a document is loaded."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from hookgate import Duration, Options, Secret
from hookgate.jose import (
    ASYMMETRIC,
    SYMMETRIC,
    Algorithm,
    KeyStore,
    algorithms_of,
    http_url,
    key_set,
    key_url,
    public_key,
)
from hookgate.jose import secret_key as make_secret_key
from hookgate.workshop import HeaderName, Prefix, Realm, Scopes
from hookgate_auth_jwt.encryption import EncryptionOptions
from hookgate_auth_jwt.pem import Pem


def text(value: str) -> str:
    """Check that something is written.

    Raises:
        ValueError: nothing is.
    """
    if not value:
        raise ValueError("it is empty; write something or leave it out")
    return value


def _long(secret: Secret) -> Secret:
    if (size := len(secret.reveal().encode())) < 32:
        raise ValueError(f"the secret has {size} bytes; HS256 needs 32 or more (RFC 7518, 3.2)")
    return secret


HmacSecret = Annotated[Secret, AfterValidator(_long)]
Text = Annotated[str, AfterValidator(text)]


class JwtOptions(Options):
    """Options of `jwt` for callers. Keys come from one of `jwks_uri`, `discover`, `jwks`, `public_key` and `secret`."""

    jwks_uri: Annotated[str, AfterValidator(http_url)] | None = None
    """URL of the issuer's key set: `https`, or `http` on a loopback address; see `allow_http`."""
    discover: bool = False
    """Whether the URL of the key set is asked of `issuer`, at `/.well-known/openid-configuration` (OpenID Connect
    Discovery 1.0)."""
    jwks: dict[str, Any] | None = None
    """The key set itself (RFC 7517, 5): a mapping with the list `keys`."""
    public_key: Pem | None = None
    """A public key or a certificate in PEM: RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519. The `kid` of
    tokens is not looked at."""
    secret: HmacSecret | None = None
    """The secret of HMAC signatures; it has as many bytes as the hash or more (RFC 7518, 3.2). Whoever can check such
    tokens can also make them."""
    algorithms: tuple[Algorithm, ...] | None = None
    """Algorithms a token may be signed with. Left out: those of key pairs that fit the keys, or `HS256` with `secret`.
    HMAC goes with `secret` only, and `none` with nothing."""
    encryption: EncryptionOptions | None = None
    """How tokens are encrypted, where they are (JWE, RFC 7516): a signed token inside of an encrypted one (FL-47)."""
    issuer: Text | None = None
    """What `iss` of a token must be. Leave it out only where all who have such keys are trusted alike."""
    audience: tuple[Text, ...] = ()
    """Names of this service: `aud` of a token must have one of them. Without any, those for every service are taken."""
    scopes: Scopes = ()
    """Scopes a token must have, all of them, in `scope` or `scp`: a list, or a text with spaces between. A token
    without them is answered 403 (RFC 6750, 3.1)."""
    required: tuple[Text, ...] = ("exp",)
    """Claims a token must have."""
    leeway: Duration = Field(default=60.0, ge=0, le=600)
    """Seconds by which the clock of the issuer may differ."""
    type: Text | None = None
    """What `typ` in the header of a token must be, such as `at+jwt` (RFC 9068), in any case. It keeps tokens that the
    issuer makes for other purposes from being taken for access tokens (RFC 8725, 3.11)."""
    subject_claim: Text = "sub"
    """Claim that names the caller. In this and the next two, dots lead into claims: `realm_access.roles`."""
    roles_claim: Text = "roles"
    """Claim with the roles: a list, or a text with spaces between."""
    application_claim: Text = "client_id"
    """Claim that names the calling application; many issuers call it `azp`."""
    max_token: int = Field(default=8192, ge=64, le=65536)
    """Characters a token may have."""
    cache_seconds: Duration = Field(default=300.0, ge=0, le=3600)
    """Seconds in which a token that was good is not checked again, at most until it expires."""
    cache_size: int = Field(default=10_000, ge=1)
    """Good tokens that are remembered, by their hashes; the one that was not used for longest is forgotten first."""
    refresh_seconds: Duration = Field(default=600.0, ge=1)
    """Seconds after which the issuer's keys are fetched again, in the background."""
    cooldown_seconds: Duration = Field(default=30.0, ge=1)
    """Seconds between requests for a key that is not known, since anybody can name such keys."""
    keep_seconds: Duration = Field(default=86400.0, ge=1)
    """Seconds in which the keys fetched last are used while the issuer gives none."""
    timeout: Duration = Field(default=10.0, gt=0, le=60)
    """Seconds the issuer may take for one answer."""
    allow_http: bool = False
    """Whether keys may be fetched without TLS from another machine. Whoever can change what goes over the wire can then
    make tokens."""
    prefix: Prefix = "Bearer"
    """Word before the token, in any case; empty where the header holds the token alone."""
    header: HeaderName = "Authorization"
    """Request header that carries the token (AC-44)."""
    hide: bool = False
    """Whether the header is taken out of a request whose token was accepted, so that the backend does not see it."""
    realm: Realm = "hookgate"
    """What the challenge names as the place the token is for."""

    @model_validator(mode="after")
    def _have_keys_that_fit(self) -> "JwtOptions":
        given = [name for name in ("jwks_uri", "jwks", "public_key", "secret") if getattr(self, name) is not None]
        given += ["discover"] if self.discover else []
        if self.encryption is not None and not self.encryption.signed:
            if given or self.algorithms:
                unused = given[0] if given else "algorithms"
                raise ValueError(f"encryption: with signed: false no signature is checked; leave out {unused}")
            return self
        if len(given) != 1:
            found = " and ".join(given) or "nothing"
            raise ValueError(f"write one of jwks_uri, discover, jwks, public_key, secret; there is {found}")
        if self.discover and self.issuer is None:
            raise ValueError("discover: it asks the issuer; write issuer")
        if self.algorithms is not None and not self.algorithms:
            raise ValueError("algorithms: the list is empty, so that no token would do; write some or leave it out")
        with_secret = self.secret is not None
        for name in self.algorithms or ():
            if (name in SYMMETRIC) != with_secret:
                pair = "a secret" if name in SYMMETRIC else "a key pair"
                raise ValueError(f"algorithms: {name} goes with {pair}, and not with {given[0]}")
        for field, url in (("jwks_uri", self.jwks_uri), ("issuer", self.issuer if self.discover else None)):
            if url is not None:
                self._checked(field, lambda url=url: key_url(url, allow_http=self.allow_http))
        self.store()
        return self

    def allowed(self) -> tuple[str, ...]:
        """Return the algorithms, also where the document does not name them."""
        if self.algorithms is not None:
            return self.algorithms
        if self.secret is not None:
            return ("HS256",)
        return algorithms_of(public_key(self.public_key)) if self.public_key is not None else ASYMMETRIC

    def store(self) -> KeyStore | None:
        """Return the keys that the document holds, or `None` if they are fetched.

        Raises:
            ValueError: they cannot be used.
        """
        if self.secret is not None:
            secret, allowed = self.secret.reveal(), self.allowed()
            key = self._checked("secret", lambda: make_secret_key(secret, allowed))
            return KeyStore([key], named=False)
        if self.public_key is not None:
            pem = self.public_key
            key = self._checked("public_key", lambda: public_key(pem))
            for name in self.algorithms or ():
                if name not in algorithms_of(key):
                    raise ValueError(f"algorithms: {name} does not go with this public_key")
            return KeyStore([key], named=False)
        if self.jwks is not None:
            document = self.jwks
            store: KeyStore = self._checked("jwks", lambda: key_set(document))
            return store
        return None

    @staticmethod
    def _checked(name: str, make: Any) -> Any:
        try:
            return make()
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
