"""HTTP Basic authentication, of callers and towards backends (RFC 7617)."""

import hmac
import secrets
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from hookgate import AuthMethod, Credential, Exchange, Identity, Options, Outbound, Secret, Unauthorized, hookimpl
from hookgate.workshop import HeaderName, Password, Realm, Scheme, add_credentials, challenge_of


def encode(user: str, password: str) -> str:
    """Return the token of a user and a password: the Base64 of `user:password` in UTF-8."""
    return b64encode(f"{user}:{password}".encode()).decode("ascii")


def decode(token: str) -> tuple[str, str]:
    """Return user and password of a token; the user ends at the first colon.

    Raises:
        ValueError: it is not Base64, not UTF-8, or has no colon.
    """
    user, colon, password = b64decode(token, validate=True).decode("utf-8").partition(":")
    if not colon:
        raise ValueError("no colon between user and password")
    return user, password


def _user_name(name: str) -> str:
    if not name:
        raise ValueError("a user name is empty; write one")
    if ":" in name:
        raise ValueError(f"{name!r} has a colon, which ends the user name on the wire (RFC 7617); choose another name")
    if not name.isprintable():
        raise ValueError(f"{name!r} has a control character, which RFC 7617 does not allow")
    return name


UserName = Annotated[str, AfterValidator(_user_name)]


class BasicOptions(Options):
    """Options of `basic` for callers."""

    users: dict[UserName, Password] = Field(min_length=1)
    """Passwords by user name. A name has no colon (RFC 7617)."""
    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Roles by user name, for steps further right that ask for them."""
    realm: Realm = "hookgate"
    """What the challenge tells a person to log in to."""
    header: HeaderName = "Authorization"
    """Request header that carries the credentials (AC-44)."""

    @model_validator(mode="after")
    def _know_who_has_roles(self) -> "BasicOptions":
        for user in self.roles:
            if user not in self.users:
                raise ValueError(f"roles: {user!r} is none of the users; add a password under users or take it out")
        return self


class Basic(AuthMethod[BasicOptions]):
    """Recognises callers by user name and password.

    Comparing takes as long for an unknown user as for a wrong password. Of several lines of the header the first one
    whose scheme is `Basic`, in any case, counts.
    """

    def __init__(self, options: BasicOptions) -> None:
        super().__init__(options)
        self._digests = {user: _digest(password.reveal()) for user, password in options.users.items()}
        self._nobody = secrets.token_bytes(sha256().digest_size)
        self._challenge = f'{challenge_of("Basic", options.realm)}, charset="UTF-8"'

    @hookimpl
    def identify(self, exchange: Exchange) -> Identity | None:
        """Return the user, or `None` when the header has nothing of this scheme.

        Raises:
            Unauthorized: the credentials are malformed, or user and password do not go together.
            BadRequest: the header comes more than once.
        """
        scheme, _, token = (exchange.request.headers.single(self.options.header) or "").partition(" ")
        return self._identity(token.strip()) if scheme.lower() == "basic" else None

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for user and password, in UTF-8."""
        return self._challenge

    def _identity(self, token: str) -> Identity:
        try:
            user, password = decode(token)
        except ValueError:
            raise Unauthorized("The Basic credentials are malformed.", reason="malformed-credentials") from None
        if not hmac.compare_digest(_digest(password), self._digests.get(user, self._nobody)):
            raise Unauthorized("User name and password do not match.", reason="wrong-credentials")
        return Identity(user, method="basic", roles=self.options.roles.get(user, ()))


def _digest(password: str) -> bytes:
    """Bring passwords to one length, so that comparing them does not tell how long they are."""
    return sha256(password.encode()).digest()


class BasicCredentialOptions(Options):
    """Options of `basic` towards a backend."""

    username: UserName
    """User name; it has no colon (HC-10, RFC 7617)."""
    password: Secret
    """Password."""
    prefix: Scheme = "Basic"
    """Word in the place of the scheme (AC-16)."""
    header: HeaderName = "Authorization"
    """Header that carries the credentials."""


class BasicCredential(Credential[BasicCredentialOptions]):
    """Shows the backend a user name and a password.

    What the request had under the header is taken out: a caller's credentials are for the gateway. What header actions
    and credentials before this one wrote stays, so that several credentials make several lines in their order (X7).
    """

    def __init__(self, options: BasicCredentialOptions) -> None:
        super().__init__(options)
        self._value = f"{options.prefix} {encode(options.username, options.password.reveal())}"

    @hookimpl
    def sign(self, exchange: Exchange, outbound: Outbound) -> None:
        """Put the line behind those of other credentials, in the place of what the caller sent."""
        add_credentials(exchange, outbound, self.options.header, self._value)
