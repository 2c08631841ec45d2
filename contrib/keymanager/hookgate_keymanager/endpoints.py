"""The endpoints of the authorization server, as the last step of their routes (KC-4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from hookgate import Entry, Exchange, Host, Interceptor, Options, Response, hookimpl
from hookgate.workshop import is_loopback
from hookgate_keymanager.asked import Malformed, form_of
from hookgate_keymanager.authorizing import Authorizing
from hookgate_keymanager.builtin import BuiltIn
from hookgate_keymanager.describing import issuer_of, metadata
from hookgate_keymanager.extending import Grant, GrantEndpoint
from hookgate_keymanager.identifying import CLAIMS, TITLES
from hookgate_keymanager.identifying import metadata as openid
from hookgate_keymanager.records import KeyManagementSection
from hookgate_keymanager.scopes import Granting, Scopes
from hookgate_keymanager.server import Server, Told
from hookgate_keymanager.userinfo import userinfo
from hookgate_people import TooMany
from hookgate_storage import StoreError


class Place(NamedTuple):
    """Where an endpoint is."""

    path: str
    methods: tuple[str, ...]


ENDPOINTS: Mapping[str, Place] = {
    "authorization": Place("/authorize", ("GET", "POST")),
    "token": Place("/token", ("POST",)),
    "revocation": Place("/revoke", ("POST",)),
    "introspection": Place("/introspect", ("POST",)),
    "keys": Place("/jwks", ("GET",)),
    "metadata": Place("/.well-known/oauth-authorization-server", ("GET",)),
    "configuration": Place("/.well-known/openid-configuration", ("GET",)),
    "userinfo": Place("/userinfo", ("GET", "POST")),
}
IDENTIFYING = ("configuration", "userinfo")
"""Those that are there where there are ID tokens."""
_HEADERS = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))
GUESSES = frozenset({"invalid_client"})
"""Errors of somebody who may be guessing secrets; passwords are counted where they are compared."""


class Endpoint(Interceptor[Options]):
    """Answers at one endpoint."""

    category = "security"
    sides = {"request"}
    reads = {"request.body"}
    writes = {"answer"}

    def __init__(
        self,
        name: str,
        record: KeyManagementSection,
        built_in: BuiltIn,
        grant: Grant[Any] | None = None,
        place: GrantEndpoint | None = None,
    ) -> None:
        super().__init__(Options())
        self.name, self._record, self._built_in = name, record, built_in
        self._grant, self._place = grant, place
        self.entry = Entry(f"keymanager.{name}", f"keymanager-{name}", "interceptor")
        self._server = Server(built_in, record, self._granting)
        self._authorizing = Authorizing(self._server)
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Remember the house, which knows the scopes."""
        self._host = host
        self._server.log = host.log

    @hookimpl
    async def on_request(self, exchange: Exchange) -> Response:
        """Answer as RFC 6749, 7009 and 7662 say."""
        exchange.hide("request.body", "request.headers.authorization", "response.body")
        if self.name in ("metadata", "configuration"):
            about = metadata(exchange, self._record, self._scopes().names())
            more = openid(issuer_of(exchange, self._record), self._record) if self.name == "configuration" else {}
            return Response.json(about | more)
        if self.name == "keys":
            return Response.json(await self._built_in.keys())
        clear = exchange.request.scheme != "https" and not self._record.plain_http
        if clear and not is_loopback(exchange.request.client):
            told = _error(400, "invalid_request", "secrets are sent over TLS only")
        elif self.name == "authorization":
            return await self._authorizing.answer(exchange, self._granting(), self._titles())
        elif self._place is not None and self._place.page is not None:
            return await self._place.page(exchange, self._granting(), self._titles())
        else:
            told = await self._told(exchange)
        response = Response.json(dict(told.said), told.status)
        for name, value in (*_HEADERS, *(each for each in told.headers if each[0].lower() not in _OURS)):
            response.headers.add(name, value)
        return response

    async def _told(self, exchange: Exchange) -> Told:
        request = exchange.request
        try:
            if self.name == "userinfo":
                return await userinfo(exchange, self._built_in)
            asked = await form_of(exchange)
            self._count(request.client)
            if self.name == "token":
                told = await self._server.token(asked)
            elif self._grant is not None and self._place is not None and self._place.ask is not None:
                told = await self._server.ask(self._grant, self._place.ask, asked, exchange)
            else:
                told = await self._server.endpoint(self.name, asked)
            if told.error in GUESSES:
                self._built_in.people.attempts.count(request.client)
        except Malformed as error:
            return _error(400, "invalid_request", str(error))
        except TooMany as error:
            later = (("Retry-After", str(int(error.seconds) + 1)),)
            return _error(429, "temporarily_unavailable", "too many attempts have failed; try again later", later)
        except StoreError as error:
            self._host.log.warning("tokens cannot be looked at: %s", error)
            return _error(503, "temporarily_unavailable", "the store of tokens is away; try again later")
        return told

    def _count(self, address: str) -> None:
        """Let nobody go on who has guessed wrong too often."""
        attempts = self._built_in.people.attempts
        attempts.count(address)
        attempts.take_back(address)

    def _granting(self) -> Granting:
        record = self._record
        standard = CLAIMS if record.identifies else ()
        roles, allowed = self._scopes().roles(), record.allow_scopes
        return Granting(roles, allowed, record.default_scope, record.any_case_roles, standard)

    def _titles(self) -> Mapping[str, str]:
        return {**TITLES, **{item.name: item.record.title for item in self._scopes().items}}

    def _scopes(self) -> Scopes:
        try:
            return self._host.section("scopes", Scopes)
        except LookupError:
            return Scopes()


_OURS = frozenset({"content-type", "cache-control", "pragma"})


def _error(status: int, error: str, description: str, headers: tuple[tuple[str, str], ...] = ()) -> Told:
    return Told(status, {"error": error, "error_description": description}, headers)
