"""Tokens of callers that somebody else issues: shown, refused, and made an identity (RFC 6750, RFC 7519)."""

from collections.abc import Mapping, Set
from typing import Annotated, Any, Protocol

from pydantic import AfterValidator, BeforeValidator

from hookgate import Entry, Exchange, Forbidden, Identity, Unauthorized
from hookgate.workshop.credentials import challenge_of


def _split(value: object) -> object:
    return value.split() if isinstance(value, str) else value


def _scope(scope: str) -> str:
    if not (scope.isascii() and scope.isprintable()) or not scope or set(scope) & set(' "\\'):
        raise ValueError(f"{scope!r} is no scope: visible ASCII without spaces, quotes and backslashes (RFC 6749, 3.3)")
    return scope


Scopes = Annotated[
    tuple[Annotated[str, AfterValidator(_scope)], ...],
    BeforeValidator(_split, json_schema_input_type=str | list[str]),
]
"""As the type of an option: scopes as a list, or as a text with spaces between (RFC 6749, 3.3)."""


class TokenOptions(Protocol):
    """What :class:`BearerTokens` reads of the options of a plugin."""

    @property
    def header(self) -> str:
        """Request header that carries the token."""

    @property
    def prefix(self) -> str:
        """Word before the token, in any case; empty where the header holds the token alone."""

    @property
    def realm(self) -> str:
        """What the challenge names as the place the token is for."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """Scopes a token must have, all of them."""


class BearerTokens:
    """Where the tokens of callers stand, and what is said to those whose token is not good here (RFC 6750, 3)."""

    def __init__(self, options: TokenOptions, noun: str = "token") -> None:
        self._header = options.header
        self._prefix = options.prefix.lower()
        self._scopes = options.scopes
        self._wanted = frozenset(options.scopes)
        self._noun = noun
        self._challenge = challenge_of(options.prefix or "Bearer", options.realm)

    def read(self, exchange: Exchange) -> str | None:
        """Return the token of a call, or ``None`` if it has none.

        Raises:
            BadRequest: the header comes more than once.
        """
        value = exchange.request.headers.single(self._header)
        if value is None or not self._prefix:
            return value
        scheme, _, token = value.partition(" ")
        return token.strip() if scheme.lower() == self._prefix else None

    def refused(self, exchange: Exchange, entry: Entry, why: str, reason: str = "wrong-credentials") -> Unauthorized:
        """Return the fault for a token that is not good, and leave a note for the challenge.

        ``why`` is for the client: fixed words without quotes, and nothing of the token.
        """
        exchange.variables[_note(entry)] = why
        return Unauthorized(why, reason=reason)

    def challenge(self, exchange: Exchange, entry: Entry) -> str:
        """Ask for a token; say what was wrong with the one that came."""
        why = exchange.variables.get(_note(entry))
        return f'{self._challenge}, error="invalid_token", error_description="{why}"' if why else self._challenge

    def check_scopes(self, scopes: Set[str]) -> None:
        """Check the scopes of a token that is good otherwise.

        Raises:
            Forbidden: ``insufficient-scope``, with a challenge of its own.
        """
        if self._wanted <= scopes:
            return
        missing = " ".join(scope for scope in self._scopes if scope not in scopes)
        challenge = f'{self._challenge}, error="insufficient_scope", scope="{" ".join(self._scopes)}"'
        raise Forbidden(
            f"The {self._noun} lacks the scope {missing}.",
            reason="insufficient-scope",
            headers={"WWW-Authenticate": challenge},
        )


def _note(entry: Entry) -> str:
    return f"{entry.id}: invalid_token"


def identity_of(method: str, subject: str, claims: Mapping[str, Any], roles: object, application: object) -> Identity:
    """Return an identity with all the claims of a token.

    ``roles`` and ``application`` are the values of the claims that have them, if there are any, of whatever kind.
    """
    named = application if isinstance(application, str) and application else None
    return Identity(subject, method, roles=words_of(roles), claims=claims, application=named)


def texts_of(value: object) -> list[str]:
    """Return the texts of a claim that is a list, or a text alone as a list, such as ``aud`` (RFC 7519, 4.1.3)."""
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str)]


def words_of(value: object) -> tuple[str, ...]:
    """Return the texts of a claim that is a list, or the words of a text, such as ``scope`` (RFC 8693, 4.2)."""
    return tuple(value.split()) if isinstance(value, str) else tuple(texts_of(value))
