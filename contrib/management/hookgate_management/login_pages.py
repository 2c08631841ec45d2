"""The page on which people log in: plain HTML without a script, for passwords and for providers outside."""

from __future__ import annotations

import base64
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, replace
from hmac import compare_digest, digest
from html import escape

from quart import Blueprint, Response, request

from hookgate_management.asking import Asked
from hookgate_management.browsers import Browsers
from hookgate_management.callers import where
from hookgate_management.factor_forms import factor_forms, logged_in
from hookgate_management.oidc import LoginRefused, Pending, Provider
from hookgate_management.problems import Refusal
from hookgate_management.shell import HEADERS, fields_of, held_by, page_of
from hookgate_management.tenancy import current
from hookgate_people import By, CodeNeeded, Denied, People, TooMany, forgery_token
from hookgate_storage import Keys, Missing, Refused, StoreError

MINUTES = 10
"""How long a login at a provider may take."""
MOST_FINISHED = 10_000


class Logins:
    """Logins at providers: which are under way the browser keeps, sealed; which are over is kept here."""

    def __init__(self, providers: Mapping[str, Provider], asked: Asked, browsers: Browsers) -> None:
        self.providers, self.asked, self.browsers = providers, asked, browsers
        self._finished: OrderedDict[str, float] = OrderedDict()

    async def begin(self, name: str) -> Response:
        """Send the browser to a provider.

        Raises:
            LoginRefused: there is none of that name, its tenant is disabled, or it is away.
        """
        provider, people = self._provider(name), await self.asked.people()
        place = provider.options.url or f"{'https' if self.browsers.secure else 'http'}://{request.host}"
        redirect = f"{place.rstrip('/')}/-/login/{name}/callback"
        url, pending = await provider.begin(redirect, time.time() + MINUTES * 60)
        sealed = _keys(people).seal(json.dumps(asdict(pending)).encode(), "login")
        answer = Response("", 303, {"Location": url, **HEADERS})
        text = base64.urlsafe_b64encode(sealed).decode()
        # the provider sends the browser back, and such calls have no cookie that is `Strict`
        age, secure = MINUTES * 60, self.browsers.secure
        answer.set_cookie(self._cookie, text, age, path="/", secure=secure, httponly=True, samesite="Lax")
        return answer

    async def finish(self, name: str) -> str:
        """Begin a session of whom a provider vouches for; return what is shown of it.

        Raises:
            LoginRefused: it comes to nothing.
            TooMany: too many logins of that address have failed.
            StoreError: the store is away.
        """
        provider, people, address = self._provider(name), await self.asked.people(), where()
        people.attempts.count(address)
        try:
            pending = self._pending(people, name)
            told = {key: request.args[key] for key in request.args if len(request.args.getlist(key)) == 1}
            who = await provider.finish(pending, told)
            who = replace(who, name=self._named(provider, who.name))
            mapped, managed = provider.mapped(who), provider.managed()
            if strange := sorted(role for role in managed if self._whose(role) != provider.options.tenant):
                raise LoginRefused(
                    "roles", f"{provider.title} gives the role {strange[0]}, which is not of its tenant."
                )
            await self.asked.know(people, provider.options.tenant)
            user = await people.outside.arrived(
                who,
                address,
                mapped,
                managed,
                make=provider.options.make_users,
                whose=lambda user: self._whose(user) == provider.options.tenant,
            )
            agent = request.headers.get("User-Agent", "")
            text, _ = await people.sessions.begin(
                By(user, address), f"oidc:{name}", agent, instead=self.browsers.shown()
            )
        except LoginRefused as error:
            await people.audit.noted(By("", address), "login", provider.audited, f"refused: {error.kind}")
            raise
        except (Refused, Missing) as error:
            await people.audit.noted(By("", address), "login", provider.audited, "refused: user")
            sentence = str(error)
            raise LoginRefused("user", f"{sentence[:1].upper()}{sentence[1:]}.") from None
        people.attempts.take_back(address)
        return text

    def tenant_of(self, provider: str) -> str:
        """Return the tenant whose people log in at a provider; nothing for those of none, and for no provider."""
        return self.providers[provider].options.tenant if provider in self.providers else ""

    def _whose(self, name: str) -> str:
        """Return the tenant of a user or a role; nothing for what is of none."""
        tenants = self.asked.tenants()
        return "" if tenants is None else tenants.tenant_of(name)

    def _named(self, provider: Provider, claimed: str) -> str:
        """Return the name of a user here: one of the tenant of the provider, or of none.

        Raises:
            LoginRefused: that is a name of somebody else.
        """
        tenant, whose = provider.options.tenant, self._whose(claimed)
        name = f"{claimed}@{tenant}" if tenant and not whose else claimed
        if self._whose(name) != tenant:
            what = f"a user of the tenant {tenant}" if tenant else "a user of no tenant"
            raise LoginRefused("tenant", f"{claimed[:100]} is no name of {what}, for whom {provider.title} vouches.")
        return name

    def over(self, answer: Response) -> None:
        """Take from the browser what it has kept of a login."""
        secure = self.browsers.secure
        answer.delete_cookie(self._cookie, path="/", secure=secure, httponly=True, samesite="Lax")

    @property
    def _cookie(self) -> str:
        return "__Host-hookgate-login" if self.browsers.secure else "hookgate-login"

    def _provider(self, name: str) -> Provider:
        if name not in self.providers:
            raise LoginRefused("no-provider", f"There is no provider {name[:50]!r}.", 404)
        provider, tenants = self.providers[name], self.asked.tenants()
        if provider.options.tenant:
            section = {} if tenants is None else tenants.tenants
            if provider.options.tenant not in section or section[provider.options.tenant].disabled:
                raise LoginRefused("tenant", f"The tenant of {provider.title} is disabled.")
        return provider

    def _pending(self, people: People, name: str) -> Pending:
        """Return the login that this call ends; each ends once."""
        try:
            sealed = base64.urlsafe_b64decode(request.cookies.get(self._cookie, ""))
            pending = Pending(**json.loads(_keys(people).open(sealed, "login")))
        except (ValueError, TypeError, StoreError):
            raise LoginRefused("state", "This browser has no login under way here; begin again.") from None
        state = request.args.get("state", "")
        if pending.provider != name or not compare_digest(state.encode(), pending.state.encode()):
            raise LoginRefused("state", "This is the answer to another login; begin again.")
        now = time.time()
        if pending.ends < now:
            raise LoginRefused("state", f"The login took more than {MINUTES} minutes; begin again.")
        while self._finished and (next(iter(self._finished.values())) < now or len(self._finished) >= MOST_FINISHED):
            self._finished.popitem(last=False)
        if pending.state in self._finished:
            raise LoginRefused("state", "This login is over; begin again.")
        self._finished[pending.state] = pending.ends
        return pending


def login_pages(blueprint: Blueprint, logins: Logins) -> None:
    """Add the pages."""
    asked, browsers = logins.asked, logins.browsers

    async def page() -> Response:
        try:
            people = await asked.people()
            held = await people.sessions.held(browsers.shown())
        except (Refusal, StoreError) as error:
            return shown(str(error), 503)
        if held is None:
            return shown(tenant=request.args.get("tenant", ""))
        factor = await people.factors.get(held.session.user)
        return logged_in(held, forgery_token(browsers.shown()), factor)

    async def form() -> Response:
        try:
            browsers.let_log_in()
            fields = await fields_of()
            name, password, code = (fields.get(each, "") for each in ("name", "password", "code"))
            people, address = await asked.people(), where()
            person = await people.login(name, password, address, code)
            agent = request.headers.get("User-Agent", "")
            by = By(person.name, address)
            text, _ = await people.sessions.begin(by, "password", agent, instead=browsers.shown())
        except CodeNeeded:
            return shown("Write the code of your second factor, too, or a recovery code.", 401, name)
        except (Denied, Missing):
            return shown("Name, password or code are wrong.", 401, name)
        except TooMany as error:
            return _later(error)
        except Refusal as error:
            return shown(str(error), error.status)
        except StoreError:
            return shown("The store of users is away. Try again later.", 503)
        answer = Response("", 303, {"Location": "/-/login", **HEADERS})
        browsers.give(answer, text)
        return answer

    async def begin(name: str) -> Response:
        try:
            browsers.let_log_in(navigated=True)
            return await logins.begin(name)
        except LoginRefused as error:
            return shown(str(error), error.status, tenant=logins.tenant_of(name))
        except Refusal as error:
            return shown(str(error), error.status)

    async def callback(name: str) -> Response:
        try:
            browsers.let_log_in(navigated=True)
            text = await logins.finish(name)
        except LoginRefused as error:
            answer = shown(str(error), error.status, tenant=logins.tenant_of(name))
        except TooMany as error:
            answer = _later(error)
        except Refusal as error:
            answer = shown(str(error), error.status)
        except StoreError:
            answer = shown("The store of users is away. Try again later.", 503)
        else:
            # a redirect would be one of the provider, whose calls have no cookie that is `Strict`
            again = '<meta http-equiv="refresh" content="0;url=/-/login">'
            answer = page_of("Logged in", '<p><a href="/-/login">Go on</a></p>', more=again)
            browsers.give(answer, text)
        logins.over(answer)
        return answer

    async def log_out() -> Response:
        try:
            people = await asked.people()
            held = await held_by(browsers, people, await fields_of())
            if held is not None:
                await people.sessions.end(By(held.session.user, where()), held.session.id)
        except Refusal as error:
            return shown(str(error), error.status)
        except StoreError:
            return shown("The store of users is away. Try again later.", 503)
        answer = Response("", 303, {"Location": "/-/login", **HEADERS})
        browsers.take(answer)
        return answer

    def shown(trouble: str = "", status: int = 200, name: str = "", tenant: str = "") -> Response:
        current.set(None)
        offered = {each: provider for each, provider in logins.providers.items() if logins.tenant_of(each) == tenant}
        return page_of("Log in", _form(offered, trouble, name), status)

    blueprint.add_url_rule("/login", "login-page", page, methods=["GET"])
    blueprint.add_url_rule("/login", "login-form", form, methods=["POST"])
    blueprint.add_url_rule("/login/<name>", "login-begin", begin, methods=["GET"])
    blueprint.add_url_rule("/login/<name>/callback", "login-callback", callback, methods=["GET"])
    blueprint.add_url_rule("/logout", "logout-form", log_out, methods=["POST"])

    factor_forms(blueprint, asked.people, browsers)

    def _later(error: TooMany) -> Response:
        text = str(error)
        answer = shown(f"{text[:1].upper()}{text[1:]}.", 429)
        answer.headers["Retry-After"] = str(int(error.seconds) + 1)
        return answer


def _form(providers: Mapping[str, Provider], trouble: str, name: str) -> str:
    told = f'<p role="alert">{escape(trouble)}</p>' if trouble else ""
    links = "".join(
        f'<p><a href="/-/login/{escape(each)}">Log in with {escape(provider.title)}</a></p>'
        for each, provider in providers.items()
    )
    return (
        f'{told}<form method="post" action="/-/login">'
        f'<label for="name">Name</label><input id="name" name="name" autocomplete="username" required '
        f'value="{escape(name)}">'
        '<label for="password">Password</label><input id="password" name="password" type="password" '
        'autocomplete="current-password" required>'
        '<label for="code">Code of a second factor, if you have one</label><input id="code" name="code" '
        'autocomplete="one-time-code">'
        f"<button>Log in</button></form>{links}"
    )


def _keys(people: People) -> Keys:
    return Keys([digest(people.store.secret, b"hookgate logins outside", "sha256")])
