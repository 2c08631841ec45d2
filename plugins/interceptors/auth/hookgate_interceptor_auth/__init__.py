"""Let through only callers that one or all of the named methods recognise."""

from inspect import isawaitable
from typing import Any, Literal

from pydantic import Field

from hookgate import (
    AuthMethod,
    Exchange,
    Fault,
    Identity,
    Interceptor,
    Options,
    PluginError,
    Unauthorized,
    hookimpl,
)


class AuthOptions(Options):
    """Options of `auth`."""

    require: Literal["any", "all"] = "any"
    """`any`: the first method that recognises the caller decides, and a wrong credential of one kind does no harm if
    another one is right. `all`: every method must recognise the caller; the first that does not ends the call."""
    methods: tuple[AuthMethod[Any], ...] = Field(min_length=1)
    """Methods, asked in this order."""


class Auth(Interceptor[AuthOptions]):
    """Finds out who is calling, and answers 401 with the challenges of all its methods when it cannot (AC-43).

    The identity is `exchange.identity` afterwards: with `any` that of the method that succeeded, with `all` that of the
    first method, and all of them, in order, in `exchange.variables["identities"]`. A fault other than 401 (an identity
    server that is down) ends the call at once, with `any` too: it says nothing about the caller. So does a method that
    fails or returns anything but an identity or nothing: that is 500 `plugin-error`, and the log names the method.

    A request with two credentials in one place (two `Authorization` lines, two API keys) is refused with 400, whichever
    of them is good: the backend might take the other one.
    """

    category = "security"
    sides = {"request"}
    writes = {"identity", "variables"}

    @hookimpl
    async def on_request(self, exchange: Exchange) -> None:
        """Ask the methods.

        Raises:
            Unauthorized: with reason `missing-credentials` when no method found credentials of its kind, and
                `wrong-credentials` when at least one did.
        """
        if self.options.require == "all":
            await self._all(exchange)
        else:
            await self._any(exchange)

    async def _any(self, exchange: Exchange) -> None:
        wrong: Unauthorized | None = None
        for method in self.options.methods:
            try:
                identity = await _identify(method, exchange)
            except Unauthorized as fault:
                wrong = wrong or fault
                continue
            if identity is not None:
                exchange.identity = identity
                return
        raise self._refusal(exchange, wrong)

    async def _all(self, exchange: Exchange) -> None:
        identities = []
        for method in self.options.methods:
            try:
                identity = await _identify(method, exchange)
            except Unauthorized as fault:
                raise self._refusal(exchange, fault) from None
            if identity is None:
                raise self._refusal(exchange, None)
            identities.append(identity)
        exchange.identity = identities[0]
        exchange.variables["identities"] = tuple(identities)

    def _refusal(self, exchange: Exchange, wrong: Unauthorized | None) -> Unauthorized:
        """Make the 401, with one header line for each challenge: a list in one line is read wrongly by many clients."""
        asked = (_challenge(method, exchange) for method in self.options.methods)
        challenges = [("WWW-Authenticate", challenge) for challenge in asked if challenge]
        if wrong is None:
            detail = "This route needs credentials, and the request has none of a kind it accepts."
            return Unauthorized(detail, reason="missing-credentials", headers=challenges)
        detail = wrong.detail or "The credentials are not accepted."
        return Unauthorized(detail, reason="wrong-credentials", headers=challenges)


async def _identify(method: Any, exchange: Exchange) -> Identity | None:
    """Ask a method. Only an identity lets anybody in: what else it returns is its own failure.

    Raises:
        PluginError: the method failed, or returned something else.
    """
    try:
        found: object = method.identify(exchange)
        if isawaitable(found):
            found = await found
    except Fault:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(method, "identify", f"{type(error).__name__}: {error}") from error
    if found is None or isinstance(found, Identity):
        return found
    raise _failed(method, "identify", f"returned a {type(found).__name__} where an Identity or None was expected")


def _challenge(method: Any, exchange: Exchange) -> str | None:
    """Ask for a challenge.

    Raises:
        PluginError: the method failed, or gave none that can be sent.
    """
    if not hasattr(method, "challenge"):
        return None
    try:
        challenge: object = method.challenge(exchange)
    except (Exception, SystemExit) as error:
        raise _failed(method, "challenge", f"{type(error).__name__}: {error}") from error
    if challenge is None or (isinstance(challenge, str) and challenge.isprintable()):
        return challenge
    raise _failed(method, "challenge", "returned what is no text for a header line")


def _failed(method: AuthMethod[Any], hook: str, what: str) -> PluginError:
    return PluginError(what, plugin=method.entry.id, hook=hook)
