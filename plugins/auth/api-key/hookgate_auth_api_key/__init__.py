"""Recognise callers by an API key, and show one to backends."""

from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from hookgate import (
    AuthMethod,
    BadRequest,
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
    CARRIERS,
    Callers,
    Realm,
    SecretCaller,
    Sha256,
    challenge_of,
    query_without,
    short_for,
    tell_apart,
)

NAMES = {"header": "X-Api-Key", "query": "api_key", "cookie": "api_key"}
"""Under which name a key comes or goes unless told otherwise."""


def _key(key: Secret) -> Secret:
    text = key.reveal()
    if not text:
        raise ValueError("the key is empty, which would let anybody in; write one")
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("a key is of visible ASCII characters, so that it means the same wherever it is carried")
    return key


def _carriable(location: str, name: str | None) -> str:
    """Return the name under which a key is carried.

    Raises:
        ValueError: a header or cookie cannot have this name.
    """
    if name is None:
        return NAMES[location]
    if not name:
        raise ValueError("name is empty; write one or leave it out")
    if location != "query":
        Headers({name: ""})  # the names of cookies are tokens, too
    return name


class ApiKeyCaller(SecretCaller):
    """One caller: a key, or its hash, and what is known of whoever has it."""

    known_by = "key"
    key: Annotated[Secret, AfterValidator(_key)] | None = None
    """The key itself: visible ASCII characters, without spaces."""
    sha256: Sha256 | None = None
    """The SHA-256 hash of the key in hexadecimal, so that the document does not hold the key. Only a long random key is
    safe from being guessed from it: 16 random bytes or more."""
    roles: tuple[str, ...] = ()
    """Roles of the caller, for steps further right that ask for them."""
    application: str | None = None
    """The application that calls, for steps that count by application."""


Caller = Annotated[ApiKeyCaller, BeforeValidator(short_for("key"), json_schema_input_type=Secret | ApiKeyCaller)]
Subject = Annotated[str, Field(min_length=1)]


class ApiKeyOptions(Options):
    """Options of `api-key` for callers."""

    keys: dict[Subject, Caller] = Field(min_length=1)
    """Callers by name: each a key, or a mapping with `key` or `sha256`, `roles` and `application`. The name becomes the
    subject of the identity. No two callers have the same key."""
    location: Literal["header", "query", "cookie"] = "header"
    """Where the key is: a header, a parameter of the query, or a cookie. Queries end up in the logs and histories of
    everything on the way, so prefer the header."""
    name: str | None = None
    """Name of the header, parameter or cookie: `X-Api-Key` for a header and `api_key` for the others unless given.
    Headers are compared without case."""
    hide: bool = True
    """Whether a key that was accepted is taken out of the request, so that the backend does not see it."""
    realm: Realm = "hookgate"
    """What the challenge says the key is for."""

    @model_validator(mode="after")
    def _tell_callers_apart(self) -> "ApiKeyOptions":
        _carriable(self.location, self.name)
        tell_apart("keys", self.keys)
        return self


class ApiKey(AuthMethod[ApiKeyOptions]):
    """Recognises callers by a key of theirs in a header, in the query or in a cookie.

    Where several keys are presented, even equal ones, the request is refused with 400: the backend might take another
    one. A key that nobody has stays where it is, since another method may know it.

    A presented key is looked up by its SHA-256 hash. How long that takes depends on how the hash compares with those of
    the real keys, and not on how many characters of a key were right: without knowing a key nobody can choose the bits
    of its hash step by step. So the time tells nothing that would help in guessing, and is the same however many keys
    there are.

    No scheme for API keys is registered, but a 401 needs a challenge (RFC 9110, 11.6.1): it says
    `ApiKey realm="hookgate"`.
    """

    writes = {"request.headers", "request.path"}

    def __init__(self, options: ApiKeyOptions) -> None:
        super().__init__(options)
        self._name = _carriable(options.location, options.name)
        self._presented, self._hide = CARRIERS[options.location]
        self._callers = Callers("api-key", options.keys)
        self._challenge = challenge_of("ApiKey", options.realm)

    @hookimpl
    def identify(self, exchange: Exchange) -> Identity | None:
        """Return whose key it is, or `None` when the request has no key.

        Raises:
            Unauthorized: nobody has this key.
            BadRequest: there are several.
        """
        keys = self._presented(exchange.request, self._name)
        if len(keys) > 1:
            raise BadRequest("The request has more than one API key.", reason="repeated-credentials")
        if not keys:
            return None
        identity = self._callers.find(keys[0])
        if identity is None:
            raise Unauthorized("The API key is not known.", reason="wrong-credentials")
        if self.options.hide:
            self._hide(exchange.request, self._name)
        return identity

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for a key."""
        return self._challenge


class ApiKeyCredentialOptions(Options):
    """Options of `api-key` towards a backend."""

    key: Secret
    """The key. In a header it is of characters of Latin-1 without control characters; in the query it may be anything
    and is sent as UTF-8, percent-encoded."""
    location: Literal["header", "query"] = "header"
    """Where the key goes: into a header, or behind the parameters of the query."""
    name: str | None = None
    """Name of the header or parameter: `X-Api-Key` or `api_key` unless given."""

    @field_validator("key")
    @classmethod
    def _not_empty(cls, key: Secret) -> Secret:
        if not key:
            raise ValueError("the key is empty; write one")
        return key

    @model_validator(mode="after")
    def _sendable(self) -> "ApiKeyCredentialOptions":
        name = _carriable(self.location, self.name)
        if self.location == "header":
            Headers({name: self.key.reveal()})
        return self


class ApiKeyCredential(Credential[ApiKeyCredentialOptions]):
    """Shows the backend a key. It replaces whatever stood under that name, so that a key of the caller's does not reach
    the backend; the rest of the query stays as it was encoded."""

    def __init__(self, options: ApiKeyCredentialOptions) -> None:
        super().__init__(options)
        self._name = _carriable(options.location, options.name)
        self._parameter = f"{quote(self._name, safe='')}={quote(options.key.reveal(), safe='')}"

    @hookimpl
    def sign(self, exchange: Exchange, outbound: Outbound) -> None:
        """Put the key into the header or behind the query."""
        if self.options.location == "header":
            outbound.headers.set(self._name, self.options.key.reveal())
            return
        rest = query_without(outbound.query, self._name)
        outbound.query = f"{rest}&{self._parameter}" if rest else self._parameter
