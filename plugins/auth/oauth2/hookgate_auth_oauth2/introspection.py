"""Tokens of callers, shown to the authorization server that issued them (RFC 6750, RFC 7662)."""

import asyncio
import re
from collections import OrderedDict
from hashlib import sha256
from typing import Any, NamedTuple

from pydantic import Field, model_validator

from hookgate import AuthMethod, Duration, Exchange, Host, Identity, ServiceUnavailable, hookimpl
from hookgate.workshop import BearerTokens, HeaderName, Prefix, Realm, Scopes, identity_of, texts_of, words_of
from hookgate_auth_oauth2.endpoint import Endpoint, EndpointError, ServerOptions, Text, Url, check_safe

LEEWAY = 5.0
"""Seconds by which the clock of the authorization server may differ."""
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


class OAuth2Options(ServerOptions):
    """Options of `oauth2` for callers."""

    introspection_endpoint: Url
    """URL where the authorization server tells what a token is worth (RFC 7662): `https`, or `http` on a loopback
    address; see `allow_http`. It is called as `client_id`."""
    scopes: Scopes = ()
    """Scopes a token must have, all of them: a list, or a text with spaces between. A token without them is answered
    403 (RFC 6750, 3.1)."""
    audience: tuple[Text, ...] = ()
    """Names of this service: `aud` of a token must have one of them. Without any, those for every service are taken."""
    issuer: Text | None = None
    """What `iss` of a token must be."""
    subject_claim: Text = "sub"
    """Member of the answer that names the caller. An answer without `sub` may have `username` or `client_id` instead;
    any other name is taken as it is."""
    roles_claim: Text = "roles"
    """Member of the answer with the roles: a list, or a text with spaces between. `scope` makes roles of scopes."""
    application_claim: Text = "client_id"
    """Member of the answer that names the calling application."""
    cache_seconds: Duration = Field(default=60.0, ge=0, le=3600)
    """Seconds an answer is believed, at most until the token expires. That long a revoked token is still taken."""
    cache_size: int = Field(default=10_000, ge=1)
    """Answers that are kept; the one that was not used for longest is forgotten first."""
    max_concurrent: int = Field(default=64, ge=1)
    """Tokens that are asked about at a time; a call with a further unknown token is answered 503."""
    max_token: int = Field(default=4096, ge=16, le=65536)
    """Characters a token may have."""
    prefix: Prefix = "Bearer"
    """Word before the token, in any case; empty where the header holds the token alone."""
    header: HeaderName = "Authorization"
    """Request header that carries the token (AC-44)."""
    hide: bool = False
    """Whether the header is taken out of a request whose token was accepted, so that the backend does not see it."""
    realm: Realm = "hookgate"
    """What the challenge names as the place the token is for."""

    @model_validator(mode="after")
    def _be_safe_to_call(self) -> "OAuth2Options":
        check_safe("introspection_endpoint", self.introspection_endpoint, allow_http=self.allow_http)
        return self


class _Verdict(NamedTuple):
    """What is known of a token: whose it is, or why it is refused. Times are Unix times in seconds."""

    identity: Identity | None
    why: str
    until: float
    scopes: frozenset[str] = frozenset()


class OAuth2(AuthMethod[OAuth2Options]):
    """Recognises callers by an access token, about which it asks the authorization server.

    The answer is believed for a minute (`cache_seconds`), good or bad, and calls with the same token wait for the same
    answer. A token that is not active, has expired, is of another issuer or for another service is answered 401 with
    `error="invalid_token"`; one that lacks a scope 403 with `error="insufficient_scope"`. A token that is bound to a
    key of its holder (`cnf`, or another `token_type` than Bearer) is refused, since possession is not checked here.

    If the server is down, or refuses the gateway's own credentials, nothing is known of the caller: 503. What it
    answered is in the log. All members of the answer are `claims` of the identity.
    """

    writes = {"request.headers", "variables"}

    def __init__(self, options: OAuth2Options) -> None:
        super().__init__(options)
        self._endpoint = Endpoint(options.introspection_endpoint, options)
        self._verdicts: OrderedDict[bytes, _Verdict] = OrderedDict()
        self._asking: dict[bytes, asyncio.Future[_Verdict]] = {}
        self._tasks: set[Any] = set()
        self._host: Host
        self._tokens = BearerTokens(options, "access token")

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house."""
        self._host = host

    @hookimpl
    async def shutdown(self) -> None:
        """End the requests that are under way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @hookimpl
    async def identify(self, exchange: Exchange) -> Identity | None:
        """Return whose token it is, or `None` when the request has none.

        Raises:
            Unauthorized: the token is not active, or not meant for this service.
            Forbidden: it lacks a scope.
            ServiceUnavailable: the authorization server does not tell.
        """
        token = self._tokens.read(exchange)
        if token is None:
            return None
        if len(token) > self.options.max_token or not _TOKEN.fullmatch(token):
            why = "The access token is malformed."
            raise self._tokens.refused(exchange, self.entry, why, "malformed-credentials")
        verdict = await self._verdict(token)
        if verdict.identity is None:
            raise self._tokens.refused(exchange, self.entry, verdict.why)
        self._tokens.check_scopes(verdict.scopes)
        if self.options.hide:
            exchange.request.headers.remove(self.options.header)
        return verdict.identity

    @hookimpl
    def challenge(self, exchange: Exchange) -> str:
        """Ask for a token; say what was wrong with the one that came."""
        return self._tokens.challenge(exchange, self.entry)

    async def _verdict(self, token: str) -> _Verdict:
        key = sha256(token.encode()).digest()
        known = self._verdicts.get(key)
        if known is not None:
            if self._host.clock.wall() < known.until:
                self._verdicts.move_to_end(key)
                return known
            del self._verdicts[key]
        future = self._asking.get(key)
        if future is None:
            if len(self._asking) >= self.options.max_concurrent:
                raise ServiceUnavailable("Too many access tokens are being checked.", reason="auth-error")
            future = self._asking[key] = asyncio.get_running_loop().create_future()
            future.add_done_callback(_seen)
            task = self._host.start(f"{self.entry.id}: introspection", self._ask(token, key, future))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            return await asyncio.shield(future)  # which others wait for, too
        except EndpointError:
            raise ServiceUnavailable("The access token cannot be checked now.", reason="auth-error") from None

    async def _ask(self, token: str, key: bytes, future: "asyncio.Future[_Verdict]") -> None:
        form = [("token", token), ("token_type_hint", "access_token")]
        try:
            answer = await self._endpoint.post(self._host.http, form)
            verdict = self._judged(answer)
            self._verdicts[key] = verdict
            while len(self._verdicts) > self.options.cache_size:
                self._verdicts.popitem(last=False)
            future.set_result(verdict)
        except EndpointError as error:
            self._host.log.warning("%s: a token could not be checked: %s", self.entry.id, error)
            future.set_exception(error)
        finally:
            del self._asking[key]
            if not future.done():
                future.set_exception(EndpointError("the request was ended"))

    def _judged(self, answer: dict[str, Any]) -> _Verdict:
        options, now = self.options, self._host.clock.wall()
        until = now + options.cache_seconds
        why = self._wrong(answer, now)
        if why:
            return _Verdict(None, why, until)
        others = ("username", "client_id") if options.subject_claim == "sub" else ()
        subjects = (answer.get(name) for name in (options.subject_claim, *others))
        subject = next((value for value in subjects if isinstance(value, str) and value), None)
        if subject is None:
            return _Verdict(None, "The access token does not tell whose it is.", until)
        roles, application = answer.get(options.roles_claim), answer.get(options.application_claim)
        identity = identity_of("oauth2", subject, answer, roles, application)
        expires = answer.get("exp")
        if isinstance(expires, int | float):
            until = min(until, expires)
        return _Verdict(identity, "", until, frozenset(words_of(answer.get("scope"))))

    def _wrong(self, answer: dict[str, Any], now: float) -> str:
        """Return what is wrong with a token, or nothing."""
        if answer.get("active") is not True:
            return "The access token is not active."
        for name in ("exp", "nbf"):
            moment = answer.get(name)
            if moment is not None and (isinstance(moment, bool) or not isinstance(moment, int | float)):
                return "The access token has a time that is none."
        if "exp" in answer and answer["exp"] is not None and not now < answer["exp"] + LEEWAY:
            return "The access token has expired."
        if answer.get("nbf") is not None and not answer["nbf"] <= now + LEEWAY:
            return "The access token is not valid yet."
        kind = answer.get("token_type")
        if answer.get("cnf") is not None or (isinstance(kind, str) and kind.lower() != "bearer"):
            return "The access token is not a bearer token."
        if self.options.issuer is not None and answer.get("iss") != self.options.issuer:
            return "The access token is of another issuer."
        if self.options.audience and not set(self.options.audience) & set(texts_of(answer.get("aud"))):
            return "The access token is for another service."
        return ""


def _seen(future: "asyncio.Future[_Verdict]") -> None:
    """Look at an error for which nobody waits any more, so that the event loop does not complain of it."""
    if not future.cancelled():
        future.exception()
