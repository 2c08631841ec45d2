"""Keys of callers, and memory of what they have sent."""

from collections import deque
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from hookgate import Identity, Options, Secret, ServiceUnavailable
from hookgate_auth_signature.keys import SHORTEST, Algorithm, Encoding, Key, public_key, secret_key


def _named(text: str) -> str:
    if not text or len(text) > 256:
        raise ValueError("write 1 to 256 characters")
    return text


KeyId = Annotated[str, AfterValidator(_named)]


class CallerKeyOptions(Options):
    """One key of a caller: a shared secret for an HMAC algorithm, or a public key."""

    algorithm: Algorithm
    """The one algorithm this key is for; a message that names another is refused."""
    secret: Secret | None = None
    """The shared secret of an HMAC algorithm: 8 bytes at least, best 32 random ones."""
    encoding: Encoding = "text"
    """What the shared secret is: the `text` itself, or bytes in `base64`."""
    public_key: str | None = Field(default=None, max_length=65536)
    """The public key in PEM, for all other algorithms."""
    subject: str | None = Field(default=None, min_length=1)
    """Who the caller is then; the key id unless given."""
    roles: tuple[str, ...] = ()
    """Roles, for steps further right that ask for them."""
    application: str | None = None
    """The calling application, where plans and limits go by application."""

    @model_validator(mode="after")
    def _have_one_key(self) -> "CallerKeyOptions":
        load_caller_key(self)
        return self


def load_caller_key(options: CallerKeyOptions) -> Key:
    """Return the key of the options. Raises ValueError if it is none for the algorithm."""
    if (options.secret is None) == (options.public_key is None):
        raise ValueError("write either secret or public_key")
    if options.secret is not None:
        return secret_key(options.algorithm, options.secret.reveal(), options.encoding, SHORTEST)
    return public_key(options.algorithm, options.public_key or "")


def identity_of(key_id: str, options: CallerKeyOptions) -> Identity:
    """Return who owns a key."""
    claims = {"key_id": key_id}
    return Identity(options.subject or key_id, "signature", options.roles, claims, options.application)


class Memory:
    """What has been seen lately, up to a number of messages. Times are Unix seconds."""

    def __init__(self, size: int, keep: float) -> None:
        self._size = size
        self._keep = keep
        self._seen: set[bytes] = set()
        self._order: deque[tuple[float, bytes]] = deque()

    def first_time(self, mark: bytes, now: float) -> bool:
        """Remember a message and tell whether it is new.

        Raises:
            ServiceUnavailable: there is no room; forgetting one too early would let it in again.
        """
        while self._order and self._order[0][0] < now:
            self._seen.discard(self._order.popleft()[1])
        if mark in self._seen:
            return False
        if len(self._order) >= self._size:
            raise ServiceUnavailable(
                "There are more signed calls at present than can be remembered; try again later.",
                reason="replay-memory-full",
            )
        self._seen.add(mark)
        self._order.append((now + self._keep, mark))
        return True
