"""Callers who are known by a secret: how a document lists them, and who a secret is told by."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from hookgate import Identity, Options, Secret


def _password(password: Secret) -> Secret:
    if not password:
        raise ValueError("the password is empty, which would let anybody in; write one")
    return password


Password = Annotated[Secret, AfterValidator(_password)]
"""As the type of an option: the password of a caller."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$")]
"""As the type of an option: a SHA-256 hash in hexadecimal."""


def short_for(option: str) -> Callable[[object], object]:
    """Return a validator that lets a secret alone stand for a mapping with nothing else in it than this option."""

    def validate(value: object) -> object:
        return {option: value} if isinstance(value, str | Secret) else value

    return validate


class SecretCaller(Options):
    """Options of one caller: a secret that nobody else has, or its hash, and what is known of whoever has it.

    A plugin derives from it, names the option that holds the secret in ``known_by``, and declares the four options,
    each in its own words::

        class TicketCaller(SecretCaller):
            known_by = "ticket"
            ticket: Secret | None = None
            sha256: Sha256 | None = None
            roles: tuple[str, ...] = ()
            application: str | None = None
    """

    known_by: ClassVar[str]
    if TYPE_CHECKING:
        sha256: str | None
        roles: tuple[str, ...]
        application: str | None

    @model_validator(mode="after")
    def _have_one_secret(self) -> Self:
        if (self._secret is None) == (self.sha256 is None):
            raise ValueError(f"write either {self.known_by} or sha256")
        return self

    @property
    def digest(self) -> bytes:
        """The hash of the secret, 32 bytes."""
        secret = self._secret
        return _digest(secret.reveal()) if secret is not None else bytes.fromhex(self.sha256 or "")

    @property
    def _secret(self) -> Secret | None:
        secret: Secret | None = getattr(self, self.known_by)
        return secret


def tell_apart(option: str, callers: Mapping[str, SecretCaller]) -> None:
    """Check the callers that an option lists by their names.

    Raises:
        ValueError: two of them have the same secret.
    """
    seen: dict[bytes, str] = {}
    for name, caller in callers.items():
        if (other := seen.setdefault(caller.digest, name)) != name:
            same = f"{option}: {other!r} and {name!r} have the same {caller.known_by}"
            raise ValueError(f"{same}; give each one of its own")


class Callers:
    """Who has which secret.

    A secret is looked up by its SHA-256 hash. How long that takes depends on how the hash compares with those of the
    real ones, and not on how many characters were right: without knowing a secret nobody can choose the bits of its
    hash step by step. So the time tells nothing that would help in guessing, and is the same however many there are.
    """

    def __init__(self, method: str, callers: Mapping[str, SecretCaller]) -> None:
        self._identities = {
            caller.digest: Identity(name, method, caller.roles, application=caller.application)
            for name, caller in callers.items()
        }

    def find(self, secret: str) -> Identity | None:
        """Return who has a secret, or ``None`` if nobody has."""
        return self._identities.get(sha256(secret.encode("utf-8", "surrogatepass")).digest())  # inline: amid a call


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogatepass")).digest()
