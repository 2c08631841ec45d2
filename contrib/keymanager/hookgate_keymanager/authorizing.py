"""The authorization endpoint: somebody logs in, agrees, and is sent back with a code (RFC 6749, 4.1; RFC 7636).

Nothing is kept between the pages but what the browser has: what was asked, and who has logged in, sealed, for a few
minutes, and bound to a cookie, so that no page of somebody else can agree for anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from hookgate import Exchange, Response
from hookgate_keymanager import pages
from hookgate_keymanager.asked import Malformed, fields_of
from hookgate_keymanager.binding import Stays, check_own, cookie_of, new_cookie, opened, seal, set_cookie
from hookgate_keymanager.clients import Client
from hookgate_keymanager.describing import issuer_of
from hookgate_keymanager.logins import Login
from hookgate_keymanager.scopes import MOST, Granting, is_scope
from hookgate_keymanager.server import Server
from hookgate_people import By, CodeNeeded, Denied, TooMany
from hookgate_storage import StoreError

PLACE = "agreement"
"""What is sealed for these pages opens on no other."""
LONGEST_STATE = 2000
LONGEST_NONCE = 500
LONGEST_HINT = 200
LONGEST_AGE = 9
"""Digits of `max_age`."""
LONGEST_FORM = 20_000
_CHALLENGE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class Asking(NamedTuple):
    """A request of a client that somebody can be sent back to."""

    client: Client
    redirect_uri: str
    written: bool
    scope: str
    state: str
    challenge: str
    nonce: str
    max_age: int | None
    """Seconds after a login when somebody has to log in again (OpenID Connect Core 1.0, 3.1.2.1)."""


CARRIED = ("redirect_uri", "written", "scope", "state", "challenge", "nonce", "max_age")
PROMPTS = frozenset({"none", "login", "consent", "select_account"})
"""All but the first are what happens at any rate: everybody logs in and agrees anew."""
NOT_HERE = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}
"""Parameters that nobody may think we have looked at (OpenID Connect Core 1.0, 3.1.2.6)."""


class SentBack(Exception):
    """The browser goes back to the client with an error."""

    def __init__(self, redirect_uri: str, state: str, error: str, description: str) -> None:
        super().__init__(error)
        self.redirect_uri, self.state, self.error, self.description = redirect_uri, state, error, description


class Authorizing:
    """Answers at ``/authorize``."""

    def __init__(self, server: Server) -> None:
        self._server, self._built_in = server, server.built_in

    async def answer(self, exchange: Exchange, granting: Granting, titles: Mapping[str, str]) -> Response:
        """Answer a call."""
        request = exchange.request
        try:
            if request.method == "GET":
                fields = fields_of(request.query)
                hint = fields.get("login_hint", "")[:LONGEST_HINT]
                return self._login(exchange, await self._asking(fields), name=hint)
            form = fields_of(bytes(await request.body.read()).decode("ascii", errors="replace"), LONGEST_FORM)
            check_own(exchange)
            asking, user, at = await self._opened(exchange, form)
            if not user:
                return await self._logged_in(exchange, asking, form, granting, titles)
            if asking.max_age and self._built_in.store.clock() > at + asking.max_age:
                return self._login(exchange, asking, "That took too long. Log in once more.", user)
            return await self._agreed(exchange, asking, user, Login(at, asking.nonce), form, granting)
        except SentBack as back:
            told = {"error": back.error, "error_description": back.description}
            return self._back(exchange, back.redirect_uri, back.state, told)
        except (Stays, Malformed) as error:
            text = str(error)
            return pages.trouble(f"{text[:1].upper()}{text[1:]}.", 400)
        except TooMany as error:
            response = pages.trouble("Too many logins have failed. Try again later.", 429)
            response.headers.add("Retry-After", str(int(error.seconds) + 1))
            return response
        except StoreError:
            return pages.trouble("The store of users is away. Try again later.", 503)

    async def _asking(self, fields: Mapping[str, str]) -> Asking:
        name = fields.get("client_id", "")
        client = await self._built_in.clients.get(name) if 0 < len(name) <= 64 else None
        if client is None:
            raise Stays("the client that sent you here is not known")
        written = "redirect_uri" in fields
        redirect_uri = fields.get("redirect_uri") or client.get_default_redirect_uri()
        if redirect_uri is None or not client.check_redirect_uri(redirect_uri):
            raise Stays("the client that sent you here has not said where to go back to, or may not say that")
        state = fields.get("state", "")

        def refuse(error: str, description: str) -> SentBack:
            return SentBack(redirect_uri, state if len(state) <= LONGEST_STATE else "", error, description)

        if len(state) > LONGEST_STATE:
            raise refuse("invalid_request", f"state has more than {LONGEST_STATE} characters")
        for name, error in NOT_HERE.items():
            if name in fields:
                raise refuse(error, f"there is no {name} here: write the parameters")
        if fields.get("response_mode", "query") != "query":
            raise refuse("invalid_request", "response_mode is query")
        if "response_type" not in fields:
            raise refuse("invalid_request", "there is no response_type")
        if fields["response_type"] != "code":
            raise refuse("unsupported_response_type", "there is only code here")
        if not client.check_response_type("code") or "authorization_code" not in self._server.record.grants:
            raise refuse("unauthorized_client", "this client may not ask for codes")
        challenge = fields.get("code_challenge", "")
        if fields.get("code_challenge_method", "plain" if challenge else "S256") != "S256":
            raise refuse("invalid_request", "code_challenge_method is S256 (RFC 7636; plain protects nobody)")
        if not challenge:
            raise refuse("invalid_request", "there is no code_challenge, which OAuth 2.1 wants of every client")
        if len(challenge) != 43 or not _CHALLENGE.issuperset(challenge):
            raise refuse("invalid_request", "code_challenge is the SHA-256 of a verifier in base64url (RFC 7636, 4.2)")
        scope = fields.get("scope", "")
        asked = scope.split(" ") if scope else []
        if len(asked) > MOST or not all(map(is_scope, asked)):
            raise refuse("invalid_scope", f"scopes are up to {MOST} words with one blank between")
        nonce, age = fields.get("nonce", ""), fields.get("max_age", "")
        if len(nonce) > LONGEST_NONCE:
            raise refuse("invalid_request", f"nonce has more than {LONGEST_NONCE} characters")
        if age and not (age.isascii() and age.isdigit() and len(age) <= LONGEST_AGE):
            raise refuse("invalid_request", "max_age is a whole number of seconds")
        prompts = fields["prompt"].split(" ") if "prompt" in fields else []
        if not PROMPTS.issuperset(prompts) or ("none" in prompts and len(prompts) > 1):
            raise refuse("invalid_request", "prompt is none, or some of login, consent and select_account")
        if prompts == ["none"]:
            raise refuse("login_required", "somebody has to log in")
        max_age = int(age) if age else None
        return Asking(client, redirect_uri, written, scope, state, challenge, nonce, max_age)

    def _login(self, exchange: Exchange, asking: Asking, message: str = "", name: str = "") -> Response:
        given = new_cookie(exchange)
        sealed = self._seal(given, asking, "", 0.0)
        response = pages.login(self._action(exchange), asking.client.application, {"sealed": sealed}, message, name)
        set_cookie(exchange, response, given)
        return response

    async def _logged_in(
        self, exchange: Exchange, asking: Asking, form: Mapping[str, str], granting: Granting, titles: Mapping[str, str]
    ) -> Response:
        name, address = form.get("name", ""), exchange.request.client
        people = self._built_in.people
        try:
            person = await people.login(name, form.get("password", ""), address, form.get("code", ""))
        except CodeNeeded:
            message = "Write the code of your second factor, too, or a recovery code."
            return self._login(exchange, asking, message, name)
        except Denied:
            return self._login(exchange, asking, "Name, password or code are wrong.", name)
        except TooMany as error:
            response = self._login(exchange, asking, "Too many logins have failed. Try again later.", name)
            response.status = 429
            response.headers.add("Retry-After", str(int(error.seconds) + 1))
            return response
        granted = granting.granted(asking.scope.split(" ") if asking.scope else [], person.roles, login=True)
        shown = [(each, titles.get(each, "")) for each in granted.split(" ")]
        kept = {"sealed": self._seal(cookie_of(exchange), asking, person.name, self._built_in.store.clock())}
        return pages.consent(self._action(exchange), asking.client.application, person.name, shown, kept)

    async def _agreed(
        self,
        exchange: Exchange,
        asking: Asking,
        user: str,
        login: Login,
        form: Mapping[str, str],
        granting: Granting,
    ) -> Response:
        client, people = asking.client, self._built_in.people
        by = By(user)
        if form.get("answer") != "yes":
            await people.audit.noted(by, "agree", f"clients/{client.client_id}", "refused: by the user")
            raise SentBack(asking.redirect_uri, asking.state, "access_denied", "the user does not agree")
        person = await people.person(user)
        if person is None:
            raise SentBack(asking.redirect_uri, asking.state, "access_denied", "the user is gone")
        scope = granting.granted(asking.scope.split(" ") if asking.scope else [], person.roles, login=True)
        code = await self._built_in.issuing.keep_code(
            client,
            user,
            scope,
            asking.redirect_uri,
            asking.challenge,
            self._server.record.code_lifetime,
            login,
            written=asking.written,
        )
        await people.audit.noted(by, "agree", f"clients/{client.client_id}", "done")
        return self._back(exchange, asking.redirect_uri, asking.state, {"code": code})

    def _back(self, exchange: Exchange, redirect_uri: str, state: str, told: Mapping[str, str]) -> Response:
        joint = "&" if urlsplit(redirect_uri).query else "?"
        issuer = {"iss": issuer_of(exchange, self._server.record)}  # RFC 9207
        query = urlencode({**told, **({"state": state} if state else {}), **issuer})
        response = Response(303, {"Location": f"{redirect_uri}{joint}{query}"})
        for name, value in pages.HEADERS:
            response.headers.add(name, value)
        return response

    def _action(self, exchange: Exchange) -> str:
        return exchange.request.path

    def _seal(self, cookie: str, asking: Asking, user: str, at: float) -> str:
        fields: dict[str, Any] = {name: getattr(asking, name) for name in CARRIED}
        fields |= {"client": asking.client.client_id, "user": user, "at": at}
        return seal(self._built_in.store, cookie, PLACE, fields)

    async def _opened(self, exchange: Exchange, form: Mapping[str, str]) -> tuple[Asking, str, float]:
        said = opened(self._built_in.store, exchange, PLACE, form.get("sealed", ""))
        client = await self._built_in.clients.get(said["client"])
        if client is None or not client.check_redirect_uri(said["redirect_uri"]):
            raise Stays("the client that sent you here is not known any more")
        return Asking(client, *(said[name] for name in CARRIED)), said["user"], said["at"]
