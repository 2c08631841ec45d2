"""The step ``oauth``: lets calls through that show a token of the key manager (FL-44)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from hookgate import Exchange, Fault, Host, Interceptor, Options, hookimpl
from hookgate.workshop import BearerTokens, HeaderName, MissingCredentials, Prefix, Realm, Scopes, challenge_of
from hookgate_keymanager.family import APPLICATION, USER
from hookgate_keymanager.faults import (
    InvalidCredentials,
    ScopeMissing,
    WrongKind,
)
from hookgate_keymanager.looking import LIFECYCLE, asked, identity_of, known
from hookgate_keymanager.section import KeyManagement

Kind = Literal["any", "application", "application-user", "none"]


class Rule(Options):
    """What an operation wants of a token."""

    tokens: Kind | None = None
    """Which tokens it takes: of applications, of users, either, or `none` for calls without one; null for what the
    step says (KC-54)."""
    scopes: Scopes | None = None
    """Scopes of which the token has one at least; null for what the step says, an empty list for no scope."""


class OAuthOptions(Options):
    """Options of `oauth`."""

    tokens: Kind = "any"
    """Which tokens are taken: of applications, of users (`application-user`), either, or `none`, which asks for none
    (KC-26, KC-54)."""
    scopes: Scopes = ()
    """Scopes of which the token has one at least; without any, every good token will do (KC-63)."""
    operations: dict[str, Rule] = Field(default_factory=dict)
    """What is different for some calls, by `METHOD`, by `/resource` of an API, or by `METHOD /resource`; the most
    exact one counts."""
    key_type: Literal["production", "sandbox"] | None = None
    """Which keys are taken, where not both (KC-73)."""
    client_id_header: HeaderName | None = None
    """A header in which the caller has to name the client that the token is of, if any (FL-44)."""
    header: HeaderName = "Authorization"
    """The header that holds the token."""
    prefix: Prefix = "Bearer"
    """The word before it; empty for a header that holds the token alone."""
    realm: Realm = "hookgate"
    """What the challenge says the token is for."""
    hide: bool = True
    """Whether the header is taken out of a request that is let through, so that the backend does not see the token."""

    @field_validator("operations")
    @classmethod
    def _known(cls, operations: dict[str, Rule]) -> dict[str, Rule]:
        for name in operations:
            method, blank, path = name.rpartition(" ") if not name.startswith("/") else ("", " ", name)
            if not blank:
                method, path = path, ""
            right = (not method or (method.isascii() and method.isalpha() and method.isupper())) and (
                not path or path.startswith("/")
            )
            if not right or not (method or path):
                raise ValueError(f"{name!r} is no operation: write GET, /resource, or GET /resource")
        return operations


class OAuth(Interceptor[OAuthOptions]):
    """Lets calls through that show a good token of the key manager, and says whose it is.

    The identity is the user, or the owner of the application where the token is of that; its claims have `client_id`,
    `scope`, `token_kind`, `key_type` and `exp`. The answers of the key manager are remembered, as the section
    `keymanager` says; what is revoked is forgotten by every node within a second.

    A call without a token is 401 (code 900902), one with a token that is none, or a key of another kind, 401 (900901),
    with a token of an application where one of a user is wanted 401 (900905), and without the scope 403 (900910). Where
    nobody can tell it is 500 (900900): nobody is let in unasked. An API that is a prototype, which its lifecycle says
    in `vars.lifecycle`, is called without a token, too; one that is shown is looked at (KC-13).
    """

    category = "security"
    sides = {"request"}
    writes = {"identity", "request.headers"}

    def __init__(self, options: OAuthOptions) -> None:
        super().__init__(options)
        self._bearer = BearerTokens(_Places(options))
        self._challenge = challenge_of(options.prefix or "Bearer", options.realm)
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Refuse a document without a key manager."""
        self._host = host
        host.section("keymanager", KeyManagement)

    @hookimpl
    def on_request(self, exchange: Exchange) -> Awaitable[None] | None:
        """Ask who shows the token; nobody waits for what is known.

        Raises:
            BadRequest: there are two of them.
            MissingCredentials: there is none.
            InvalidCredentials: it is none of ours.
            WrongKind: it is of an application, or of a user, where the other one is wanted.
            ScopeMissing: it has none of the scopes.
            CannotTell: the key manager cannot be asked.
        """
        tokens, scopes = self._rule(exchange)
        if tokens == "none":
            return None
        token = self._bearer.read(exchange)
        if not token and exchange.variables.get(LIFECYCLE) is not None:
            return None
        if not token:
            raise self._asking(MissingCredentials, "The call has no token.")
        said = known(self._host, token)
        if said is None:
            return self._later(exchange, token, tokens, scopes)
        self._let(exchange, said, token, tokens, scopes)
        return None

    async def _later(self, exchange: Exchange, token: str, tokens: Kind, scopes: tuple[str, ...]) -> None:
        said = await asked(self._host, token)
        if said is None:
            raise self._asking(InvalidCredentials, "The token is not good, or not any more.", "invalid_token")
        self._let(exchange, said, token, tokens, scopes)

    def _let(
        self, exchange: Exchange, said: Mapping[str, Any], token: str, tokens: Kind, scopes: tuple[str, ...]
    ) -> None:
        self._check(exchange, said, tokens)
        held = str(said.get("scope", "")).split()
        if scopes and not set(scopes) & set(held):
            raise self._lacking(exchange, scopes, token)
        exchange.identity = identity_of(said, "oauth")
        if self.options.hide:
            exchange.request.headers.remove(self.options.header)

    def _rule(self, exchange: Exchange) -> tuple[Kind, tuple[str, ...]]:
        options = self.options
        if not options.operations:
            return options.tokens, options.scopes
        method, api = exchange.request.method, exchange.api
        resource = "" if api is None else api.resource
        for name in (f"{method} {resource}", resource, method):
            rule = options.operations.get(name)
            if rule is not None:
                tokens = options.tokens if rule.tokens is None else rule.tokens
                return tokens, options.scopes if rule.scopes is None else rule.scopes
        return options.tokens, options.scopes

    def _check(self, exchange: Exchange, said: Mapping[str, Any], tokens: Kind) -> None:
        options = self.options
        if options.client_id_header is not None:
            shown = exchange.request.headers.single(options.client_id_header)
            if not shown:
                raise self._asking(MissingCredentials, f"The call has no {options.client_id_header}.")
            if shown != said.get("client_id"):
                raise self._asking(InvalidCredentials, "The token is of another client.", "invalid_token")
        if options.key_type is not None and said.get("key_type") != options.key_type:
            raise self._asking(InvalidCredentials, f"This is no {options.key_type} key.", "invalid_token")
        kind = said.get("token_kind")
        if tokens not in ("any", kind):
            wanted = {APPLICATION: "an application", USER: "a user"}[tokens]
            raise self._asking(WrongKind, f"This takes the token of {wanted}.", "invalid_token")

    def _asking(self, fault: type[Fault], detail: str, error: str = "") -> Fault:
        challenge = self._challenge if not error else f'{self._challenge}, error="{error}"'
        return fault(detail, headers={"WWW-Authenticate": challenge})

    def _lacking(self, exchange: Exchange, scopes: tuple[str, ...], token: str) -> Fault:
        challenge = f'{self._challenge}, error="insufficient_scope", scope="{" ".join(scopes)}"'
        api = exchange.api
        place = exchange.request.path if api is None else f"/{api.name.lstrip('/')}, version: {api.version}"
        shown = "*" * 8 + token[-4:] if len(token) > 16 else "*" * 8
        return ScopeMissing(
            f"Access failure for API: {place} with key: {shown}", headers={"WWW-Authenticate": challenge}
        )


class _Places:
    """What is read of the options: scopes are looked at here, where one of them is enough."""

    scopes: tuple[str, ...] = ()

    def __init__(self, options: OAuthOptions) -> None:
        self.header, self.prefix, self.realm = options.header, options.prefix, options.realm
