"""Bearer tokens: fixed ones that callers show, and one shown to backends (RFC 6750)."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from hookgate import (
    AuthMethod,
    Credential,
    Exchange,
    Headers,
    Identity,
    Options,
    Outbound,
    Secret,
    Unauthorized,
    hookimpl,
)
from hookgate.workshop import (
    Callers,
    HeaderName,
    Realm,
    SecretCaller,
    Sha256,
    add_credentials,
    challenge_of,
    short_for,
    tell_apart,
)

_B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What a token is made of (RFC 6750, 2.1)."""


def _token(token: Secret) -> Secret:
    if not token:
        raise ValueError("the token is empty, which would let anybody in; write one")
    if not _B64TOKEN.fullmatch(token.reveal()):
        raise ValueError("a token is of letters, digits and -._~+/ with = at its end only (RFC 6750); make another one")
    return token


class BearerCaller(SecretCaller):
    """One caller: a token, or its hash, and what is known of whoever has it."""

    known_by = "token"
    token: Annotated[Secret, AfterValidator(_token)] | None = None
    """The token itself: letters, digits and `-._~+/`, with `=` at its end only (RFC 6750)."""
    sha256: Sha256 | None = None
    """The SHA-256 hash of the token in hexadecimal, so that the document does not hold the token. Only a long random
    token is safe from being guessed from it: 16 random bytes or more."""
    roles: tuple[str, ...] = ()
    """Roles of the caller, for steps further right that ask for them."""
    application: str | None = None
    """The application that calls, for steps that count by application."""


Caller = Annotated[BearerCaller, BeforeValidator(short_for("token"), json_schema_input_type=Secret | BearerCaller)]
Subject = Annotated[str, Field(min_length=1)]


class BearerOptions(Options):
    """Options of `bearer` for callers."""

    tokens: dict[Subject, Caller] = Field(min_length=1)
    """Callers by name: each a token, or a mapping with `token` or `sha256`, `roles` and `application`. The name becomes
    the subject of the identity. No two callers have the same token."""
    hide: bool = True
    """Whether a token that was accepted is taken out of the request, so that the backend does not see it."""
    realm: Realm = "hookgate"
    """What the challenge says the token is for."""
    header: HeaderName = "Authorization"
    """Request header that carries the token (AC-44)."""

    @model_validator(mode="after")
    def _tell_callers_apart(self) -> "BearerOptions":
        tell_apart("tokens", self.tokens)
        return self


class Bearer(AuthMethod[BearerOptions]):
    """Recognises callers by a fixed token of theirs (RFC 6750).

    Of several lines of the header the first one whose scheme is `Bearer`, in any case, counts. A token that nobody has
    stays where it is, since another method may know it. Tokens in the query or in a form are not looked at: they end up
    in logs (RFC 6750, 5.3).

    A token is looked up by its SHA-256 hash. How long that takes depends on how the hash compares with those of the
    real tokens, and not on how many characters were right, so the time tells nothing that helps in guessing.
    """

    writes = {"request.headers"}

    def __init__(self, options: BearerOptions) -> None:
        super().__init__(options)
        self._callers = Callers("bearer", options.tokens)
        self._challenge = challenge_of("Bearer", options.realm)

    @hookimpl
    def identify(self, exchange: Exchange) -> Identity | None:
        """Return whose token it is, or `None` when the header has nothing of this scheme.

        Raises:
            Unauthorized: the token is malformed, or nobody has it.
        """
        line = self._line(exchange)
        if line is None:
            return None
        token = _token_of(line)
        if not _B64TOKEN.fullmatch(token):
            raise Unauthorized("The bearer token is malformed.", reason="malformed-credentials")
        identity = self._callers.find(token)
        if identity is None:
            raise Unauthorized("The bearer token is not known.", reason="wrong-credentials")
        if self.options.hide:
            self._take_out(exchange)
        return identity

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for a token; say `invalid_token` to who has shown one that nobody has (RFC 6750, 3.1)."""
        line = self._line(exchange)
        if line is None or self._callers.find(_token_of(line)) is not None:
            return self._challenge
        return f'{self._challenge}, error="invalid_token"'

    def _line(self, exchange: Exchange) -> str | None:
        return next(filter(_is_bearer, exchange.request.headers.getall(self.options.header)), None)

    def _take_out(self, exchange: Exchange) -> None:
        """Leave lines of other schemes."""
        headers, name = exchange.request.headers, self.options.header
        others = [value for value in headers.getall(name) if not _is_bearer(value)]
        headers.remove(name)
        for value in others:
            headers.add(name, value)


def _is_bearer(value: str) -> bool:
    return value.partition(" ")[0].lower() == "bearer"


def _token_of(line: str) -> str:
    return line.partition(" ")[2].strip()


class BearerCredentialOptions(Options):
    """Options of `bearer` towards a backend."""

    token: Secret
    """The token: visible ASCII characters."""
    prefix: str = "Bearer"
    """Word in the place of the scheme (AC-16)."""
    header: HeaderName = "Authorization"
    """Header that carries the token."""

    @field_validator("token")
    @classmethod
    def _sendable(cls, token: Secret) -> Secret:
        text = token.reveal()
        if not text:
            raise ValueError("the token is empty; write one")
        if not (text.isascii() and text.isprintable()) or text != text.strip():
            raise ValueError(
                "a token is of visible ASCII characters; this one has others, or a blank or line break at an end"
            )
        return token

    @field_validator("prefix")
    @classmethod
    def _be_one_word(cls, prefix: str) -> str:
        if not prefix:
            raise ValueError("prefix is empty; for a token without a word before it use the credential api-key")
        Headers({prefix: ""})  # a scheme is a token, as a header name is
        return prefix


class BearerCredential(Credential[BearerCredentialOptions]):
    """Shows the backend a fixed token (HC-11).

    What the request had under the header is taken out: a caller's credentials are for the gateway. What header actions
    and credentials before this one wrote stays, so that several credentials make several lines in their order (X7).
    """

    def __init__(self, options: BearerCredentialOptions) -> None:
        super().__init__(options)
        self._value = f"{options.prefix} {options.token.reveal()}"

    @hookimpl
    def sign(self, exchange: Exchange, outbound: Outbound) -> None:
        """Put the line behind those of other credentials, in the place of what the caller sent."""
        add_credentials(exchange, outbound, self.options.header, self._value)
