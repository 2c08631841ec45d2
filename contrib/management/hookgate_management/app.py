"""The app `management`: the API under ``/-/api/``."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, model_validator
from quart import Blueprint, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from hookgate import App, Duration, Host, Options, hookimpl
from hookgate_management.asking import Asked
from hookgate_management.audit_pages import audit_pages
from hookgate_management.bounding import LONGEST, LONGEST_BULK, Bounds
from hookgate_management.browsers import SAFE, Browsers, SessionOptions
from hookgate_management.callers import CallerOptions, Callers
from hookgate_management.calls import Calls
from hookgate_management.changing import Changer
from hookgate_management.describing import describing
from hookgate_management.drafts import drafts
from hookgate_management.factor_pages import factor_pages
from hookgate_management.following import following
from hookgate_management.grouping import Turns
from hookgate_management.guarding import NO_STORE, Served, away_at
from hookgate_management.kinds import Kinds
from hookgate_management.ledger import ledger
from hookgate_management.login_pages import Logins, login_pages
from hookgate_management.objects import objects
from hookgate_management.oidc import Provider, ProviderOptions
from hookgate_management.once import Once
from hookgate_management.operations import Operations
from hookgate_management.pages import added
from hookgate_management.people import people_pages
from hookgate_management.plans import plans
from hookgate_management.problems import Refusal
from hookgate_management.relations import relations
from hookgate_management.session_pages import session_pages
from hookgate_management.statistics import statistics
from hookgate_management.steps import steps
from hookgate_management.tenancy import Tenants
from hookgate_management.token_pages import token_pages
from hookgate_management.turning import turning
from hookgate_management.undeployed import Undeployed
from hookgate_storage import Storage, StoreError, ask_store, installed


class ManagementOptions(Options):
    """Options of `management`."""

    callers: dict[str, CallerOptions] = Field(default_factory=dict)
    """Who may call beside the people of the store, by name; the name stands in the ledger."""
    wait: Duration = Field(default=30.0, gt=0, le=300)
    """Seconds that `?wait=live` waits for every node."""
    longest_body: int = Field(default=LONGEST, ge=1024, le=64 * LONGEST)
    """Bytes that the body of a call may have."""
    longest_bulk: int = Field(default=LONGEST_BULK, ge=1024, le=256 * LONGEST)
    """Bytes that the body of a call about many objects may have: `/apply`, `/plan`, `/apply-plan`, `/drafts/deploy`."""
    sessions: SessionOptions = SessionOptions()
    """Sessions of browsers."""
    providers: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")], ProviderOptions] = Field(
        default_factory=dict
    )
    """Where people log in outside, by name: providers of OpenID Connect."""

    @model_validator(mode="after")
    def _stored(self, info: ValidationInfo) -> ManagementOptions:
        if self.providers:
            ask_store(info, "who logs in at its providers is one of the users")
        elif not self.callers:
            ask_store(info, "nobody stands in `callers`, so it lets in the users")
        return self


class Management(App[ManagementOptions]):
    """Changes the document of a running gateway: every kind of every section, ours and those of others.

    It needs the source `store`. Objects are checked in the words of `hookgate check` before anything is stored, a
    change that others could not live with is refused, and what stands in the file can be read and not changed. Secrets
    are shown as asterisks; asterisks that are written keep the secret that is stored.
    """

    def __init__(self, options: ManagementOptions) -> None:
        super().__init__(options)
        self.browsers = Browsers(options.sessions)
        self.callers = Callers(options.callers, self.browsers)
        self._kinds: Kinds | None = None
        self._finding = asyncio.Lock()
        self._undeployed: Undeployed | None = None
        self._changer: tuple[Storage, Changer] | None = None
        """With what it was made for, which must not go while it is here."""
        self._turns = Turns()

    @hookimpl
    def startup(self, host: Host) -> None:
        """Begin to count drafts."""
        self._undeployed = Undeployed(lambda: live(host))
        host.start("drafts", self._undeployed.count(host))

    @hookimpl
    def health(self) -> Mapping[str, Any] | None:
        """Say which drafts nobody has deployed. That is no problem, and nothing is unhealthy for it."""
        return (self._undeployed.told() if self._undeployed is not None else None) or None

    def look_at_drafts(self) -> None:
        """Count drafts soon."""
        if self._undeployed is not None:
            self._undeployed.look()

    @hookimpl
    def blueprint(self, host: Host) -> Blueprint:
        """Return the API."""
        return pages(self, host)

    async def kinds(self) -> Kinds:
        """Return every kind; found out once, which takes seconds, however many want to know at a time."""
        async with self._finding:
            if self._kinds is None:
                self._kinds = await asyncio.to_thread(lambda: Kinds(installed()))
        return self._kinds

    async def changer(self, host: Host) -> Changer:
        """Return what changes the store that is live.

        Raises:
            Refusal: none is.
        """
        storage = live(host)
        if storage is None or storage.served is None:
            raise Refusal(409, NO_STORE, "no-store")
        if storage.store is None:
            raise away_at(storage)
        if self._changer is not None and self._changer[0] is storage:
            return self._changer[1]
        kinds, catalogue = await self.kinds(), await asyncio.to_thread(installed)
        if self._changer is None or self._changer[0] is not storage:  # nothing waits from here on: there is one
            known = Changer(storage.served, storage.store, kinds, catalogue, self._turns)
            if self._changer is not None:
                known.kept = self._changer[1].kept
            self._changer = storage, known
        return self._changer[1]


def live(host: Host) -> Storage | None:
    """Return the section that tells of the store; ``None`` where nothing is stored."""
    try:
        return host.section("storage", Storage)
    except LookupError:
        return None


def tenants_of(host: Host) -> Tenants | None:
    """Return the section with tenants that is live; ``None`` where there are none."""
    try:
        found: Any = host.section("tenants")
    except LookupError:
        return None
    return found if found.items else None


def pages(app: Management, host: Host) -> Blueprint:
    """Make the pages of the API."""
    blueprint = Blueprint("management", __name__)
    Bounds(app.options.longest_body, app.options.longest_bulk).put_on(blueprint)
    calls = Calls(app.callers, app.options.wait, app.kinds, lambda: app.changer(host))
    api = Operations(blueprint, Once(calls, lambda: host.state("management")).page)
    for add in (describing, objects, relations, ledger, turning, plans, drafts, steps):
        add(api, calls)
    following(api, calls, lambda: host.is_leaving)
    served = Served(app.callers, app.kinds, lambda: live(host), lambda: tenants_of(host), app.options.sessions)
    providers = {name: Provider(name, each, host) for name, each in app.options.providers.items()}
    tenants = {name: each.options.tenant for name, each in providers.items()}
    asked = Asked(app.callers, served.people, served.tenants, tenants)
    for page_of in (people_pages, factor_pages, token_pages, audit_pages):
        page_of(api, asked)
    session_pages(api, asked, app.browsers)
    login_pages(blueprint, Logins(providers, asked, app.browsers))
    statistics(api, app.callers, host)
    for add_pages in added():
        add_pages(api, calls, host)
    served.opened = frozenset(each.name for each in api.all if each.of_tenants)
    served.guard(blueprint)

    @blueprint.before_request
    async def whole() -> None:
        # an answer before the body has come ends the connection, and the next call on it fails
        with suppress(RequestEntityTooLarge):  # told by the page, if it wants the body
            await request.get_data()

    @blueprint.after_request
    async def counted(response: Response) -> Response:
        if request.method not in SAFE:
            app.look_at_drafts()
        return response

    @blueprint.errorhandler(Refusal)
    async def refused(refusal: Refusal) -> Response:
        refusal = await calls.scrubbed(refusal)
        answer = refusal.answer()
        if refusal.status == 401:
            answer.headers["WWW-Authenticate"] = 'Bearer realm="hookgate"'
        return answer

    @blueprint.errorhandler(StoreError)
    async def away(error: StoreError) -> Response:
        return Refusal(503, f"{error}.", "store-away").answer()

    @blueprint.errorhandler(HTTPException)
    async def other(error: HTTPException) -> Response:
        return Refusal(error.code or 500, f"{error.description}").answer()

    return blueprint
