"""OAuth 1.0a towards backends (HC-8)."""

import secrets
import time

from pydantic import Field, model_validator

from hookgate import BadGateway, ContentTooLarge, Credential, Exchange, Host, Options, Outbound, Secret, hookimpl
from hookgate.workshop import HeaderName, add_credentials
from hookgate_auth_oauth1.signatures import (
    Name,
    PrivateKey,
    Realm,
    SignatureMethod,
    base_string,
    base_uri,
    body_hash,
    header_line,
    is_form,
    pairs,
    private_key,
    rsa_signature,
    shared_signature,
)


def new_nonce() -> str:
    """Return 96 random bits as 24 letters and digits: enough that no two calls of a second have the same."""
    return secrets.token_hex(12)


class OAuth1CredentialOptions(Options):
    """Options of `oauth1` towards a backend."""

    consumer_key: Name
    """Name under which the backend knows this gateway."""
    consumer_secret: Secret | None = None
    """The secret that belongs to it; RSA-SHA1 needs none."""
    token: Name | None = None
    """Token of a user in whose name the gateway calls; none for calls in its own name (2-legged)."""
    token_secret: Secret | None = None
    """The secret that belongs to the token."""
    signature_method: SignatureMethod = "HMAC-SHA1"
    """How it is signed. `HMAC-SHA256` is no part of RFC 5849, yet many backends know it."""
    private_key: PrivateKey | None = None
    """RSA key in PEM, for `RSA-SHA1`."""
    realm: Realm | None = None
    """What the backend calls the part that is protected; it is not signed."""
    version: bool = True
    """Whether `oauth_version="1.0"` goes along."""
    form_body: bool = True
    """Whether the parameters of a body of type `application/x-www-form-urlencoded` are signed, as RFC 5849 wants it.
    Every body is then kept whole before it is sent; where no forms are sent, `false` lets bodies stream."""
    form_limit: int = Field(default=1024 * 1024, ge=1)
    """Bytes at most of a form that is signed; a call with a longer one is refused."""
    body_hash: bool = False
    """Whether a body that is no form is protected by `oauth_body_hash`, for backends that know it (an extension). Every
    body is then kept whole."""
    plaintext_over_http: bool = False
    """Whether `PLAINTEXT` may go to a target without TLS, where anybody on the way reads the secrets."""
    header: HeaderName = "Authorization"
    """Header that carries the credentials."""

    @model_validator(mode="after")
    def _have_what_the_method_needs(self) -> "OAuth1CredentialOptions":
        if self.signature_method == "RSA-SHA1":
            if self.private_key is None:
                raise ValueError("RSA-SHA1 signs with a private_key; write one")
        elif not self.consumer_secret:
            raise ValueError(f"{self.signature_method} needs a consumer_secret, and not an empty one; write it")
        elif self.private_key is not None:
            raise ValueError(
                f"{self.signature_method} has no use for a private_key; write `signature_method: RSA-SHA1`, "
                "or take the key out"
            )
        if self.token is None and self.token_secret is not None:
            raise ValueError("there is a token_secret and no token; write the token or take the secret out")
        if self.body_hash and self.signature_method == "PLAINTEXT":
            raise ValueError("PLAINTEXT signs nothing, so a body_hash would protect nothing; take it out")
        return self


class OAuth1Credential(Credential[OAuth1CredentialOptions]):
    """Signs each attempt as RFC 5849 says (HC-8).

    Scheme, host and port are those of the call as it is sent. It has to stand last, since it signs the query, to which
    another credential may add. A body that is no form, such as JSON, is not signed.
    """

    signs_message = True

    def __init__(self, options: OAuth1CredentialOptions) -> None:
        super().__init__(options)
        self._signs = options.signature_method != "PLAINTEXT"
        if self._signs and (options.form_body or options.body_hash):
            self.reads = {"request.body"}
        self._wall = time.time
        self._key = None if options.private_key is None else private_key(options.private_key)

    @hookimpl
    def startup(self, host: Host) -> None:
        """Take the clock of the house."""
        self._wall = host.clock.wall

    @hookimpl
    def sign(self, exchange: Exchange, outbound: Outbound) -> None:
        """Put the line behind those of other credentials, in the place of what the caller sent.

        Raises:
            BadGateway: the method is PLAINTEXT and the target has no TLS (RFC 5849, 3.4.4).
            ContentTooLarge: the form is too long to be signed, or has too many parameters.
        """
        options = self.options
        if not (self._signs or options.plaintext_over_http or outbound.target.scheme == "https"):
            raise BadGateway(
                "The backend has no TLS, and its credentials may not be sent without.", reason="plaintext-without-tls"
            )
        line = self._line(outbound, str(int(self._wall())), new_nonce())
        add_credentials(exchange, outbound, options.header, line)

    def _line(self, outbound: Outbound, timestamp: str, nonce: str) -> str:
        options = self.options
        protocol = [("oauth_consumer_key", options.consumer_key)]
        if options.token is not None:
            protocol.append(("oauth_token", options.token))
        protocol += [
            ("oauth_signature_method", options.signature_method),
            ("oauth_timestamp", timestamp),
            ("oauth_nonce", nonce),
        ]
        if options.version:
            protocol.append(("oauth_version", "1.0"))
        form = is_form(outbound.headers.get("content-type"))
        if options.body_hash and not form and not outbound.body.empty:
            protocol.append(("oauth_body_hash", body_hash(outbound.body.data, options.signature_method)))
        protocol.append(("oauth_signature", self._signature(outbound, protocol, form=form)))
        return header_line(protocol, options.realm)

    def _signature(self, outbound: Outbound, protocol: list[tuple[str, str]], *, form: bool) -> str:
        options = self.options
        base = ""
        if self._signs:
            uri = base_uri(
                outbound.target.scheme, outbound.headers.get("host") or outbound.target.authority, outbound.path
            )
            try:
                signed: list[tuple[str | bytes, str | bytes]] = [*pairs(outbound.query), *protocol]
                if form and options.form_body:
                    signed += pairs(self._form(outbound))
            except ValueError as error:
                raise ContentTooLarge(f"The request cannot be signed: {error}.") from None
            base = base_string(outbound.method, uri, signed)
        if options.signature_method == "RSA-SHA1":
            assert self._key is not None
            return rsa_signature(base, self._key)
        return shared_signature(options.signature_method, base, options.consumer_secret, options.token_secret)

    def _form(self, outbound: Outbound) -> bytes:
        form, limit = outbound.body.data, self.options.form_limit
        if len(form) > limit:
            raise ValueError(f"its form is longer than {limit} bytes")
        return form
