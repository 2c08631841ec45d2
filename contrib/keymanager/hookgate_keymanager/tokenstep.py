"""The step ``access-token``: an access token is looked at, wherever it stands (FL-45)."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hookgate import Exchange, Headers, Host, Interceptor, Options, Response, hookimpl
from hookgate.workshop import CARRIERS, Realm, challenge_of
from hookgate_keymanager.looking import LIFECYCLE, asked, identity_of, known
from hookgate_keymanager.section import KeyManagement

LOCATIONS: Mapping[str, tuple[str, ...]] = {
    "header": ("header",),
    "cookie": ("cookie",),
    "header-or-cookie": ("header", "cookie"),
    "query": ("query",),
    "any": ("header", "cookie", "query"),
}
SCHEME = "bearer "


def _name(text: str) -> str:
    Headers({text: ""})  # the names of cookies are tokens, too
    return text


class AccessTokenOptions(Options):
    """Options of `access-token`."""

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_name)] = "access_token"
    """What the token is called: the name of the header, the cookie, or the parameter of the query. A header that is
    `Authorization` has `Bearer` in front of it."""
    location: Literal["header", "cookie", "header-or-cookie", "query", "any"] = "header"
    """Where it may stand. Queries end up in the logs and histories of everything on the way, so prefer a header. Of a
    cookie browsers send along what others ask for: see that it has `SameSite`. In headers, `Authorization: Bearer`
    counts beside the name."""
    grant_types: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    """Grants by which a token has to be given, such as `authorization_code`; without any, each will do. A token that
    came of a refresh token is of the grant that the first one was."""
    error: Literal["json", "text"] = "json"
    """What the body of a refusal is."""
    realm: Realm = "hookgate"
    """What the challenge says the token is for."""
    hide: bool = True
    """Whether the token is taken out of a request that is let through, so that the backend does not see it."""


class AccessToken(Interceptor[AccessTokenOptions]):
    """Lets calls through that show a good access token of the key manager in a header, a cookie or the query.

    The identity is as that of `oauth`, which also looks at scopes, kinds of tokens and the client. A call without a
    token, with two of them, with one that is none or one of another grant is answered 401, as RFC 6750 says it:
    `{"error": "invalid_token", "error_description": …}`, or that in words. Where nobody can tell it is 500 (900900). An
    API that is a prototype, which its lifecycle says in `vars.lifecycle`, is called without a token, too (KC-13).
    """

    category = "security"
    sides = {"request"}
    writes = {"identity", "request.headers", "request.path", "answer"}

    def __init__(self, options: AccessTokenOptions) -> None:
        super().__init__(options)
        self._places = LOCATIONS[options.location]
        self._challenge = challenge_of("Bearer", options.realm)
        self._host: Host

    @hookimpl
    def startup(self, host: Host) -> None:
        """Refuse a document without a key manager."""
        self._host = host
        host.section("keymanager", KeyManagement)

    @hookimpl
    def on_request(self, exchange: Exchange) -> Response | Awaitable[Response | None] | None:
        """Look for the token, and ask whose it is; nobody waits for what is known.

        Raises:
            CannotTell: the key manager cannot be asked.
        """
        if "query" in self._places:
            exchange.hide(f"request.query.{self.options.name}")
        found = self._found(exchange)
        if not found and exchange.variables.get(LIFECYCLE) is not None:
            return None
        if not found:
            return self._refused("", "The call has no access token.")
        if len(found) > 1:
            return self._refused("invalid_request", "The call has more than one access token.")
        said = known(self._host, found[0])
        return self._later(exchange, found[0]) if said is None else self._judged(exchange, said)

    async def _later(self, exchange: Exchange, token: str) -> Response | None:
        said = await asked(self._host, token)
        if said is None:
            return self._refused("invalid_token", "The access token is not good, or not any more.")
        return self._judged(exchange, said)

    def _judged(self, exchange: Exchange, said: Mapping[str, Any]) -> Response | None:
        grants = self.options.grant_types
        if grants and said.get("grant_type") not in grants:
            return self._refused("invalid_token", "The access token was given by a grant that is not taken here.")
        exchange.identity = identity_of(said, "access-token")
        if self.options.hide:
            self._take_out(exchange)
        return None

    def _found(self, exchange: Exchange) -> list[str]:
        request, name = exchange.request, self.options.name
        found: list[str] = []
        for place in self._places:
            if place != "header" or name.lower() != "authorization":
                found += [each for each in CARRIERS[place].find(request, name) if each]
        if "header" in self._places:
            lines = request.headers.getall("Authorization")
            found += [line[len(SCHEME) :].strip() for line in lines if line.lower().startswith(SCHEME)]
        return found

    def _take_out(self, exchange: Exchange) -> None:
        for place in self._places:
            CARRIERS[place].remove(exchange.request, self.options.name)
        if "header" in self._places:
            lines = exchange.request.headers.getall("Authorization")
            if any(line.lower().startswith(SCHEME) for line in lines):
                exchange.request.headers.remove("Authorization")

    def _refused(self, error: str, text: str) -> Response:
        told: dict[str, Any] = {"error": error or "invalid_request", "error_description": text}
        response = Response.json(told, 401) if self.options.error == "json" else Response.text(text, 401)
        response.headers.add("WWW-Authenticate", f'{self._challenge}, error="{error}"' if error else self._challenge)
        response.headers.add("Cache-Control", "no-store")
        return response
