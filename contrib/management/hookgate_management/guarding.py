"""Before each call: who it is. After it: what was refused goes into the audit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from quart import Blueprint, Response, g, request

from hookgate import MASK
from hookgate_management.browsers import SAFE, SessionOptions
from hookgate_management.callers import ADMIN, Caller, Callers, where
from hookgate_management.factor_pages import FACTOR_PAGES
from hookgate_management.kinds import Kinds
from hookgate_management.problems import Refusal
from hookgate_management.tenancy import Tenants, confined, current, scope_of
from hookgate_people import By, InUse, People, TooMany, address, people_of
from hookgate_storage import Exists, Missing, Refused, Stale, Storage, StoreError

NO_STORE = "Nothing is stored: this gateway reads a file only. Start it with HOOKGATE_SOURCE=store."
AWAY = "The store is away; the last snapshot serves."
WAYS = ((Exists, 409, "exists"), (InUse, 409, "in-use"), (Missing, 404, "missing"), (Stale, 412, "stale"))
"""What a refusal of people is told as; 422 for others."""


FAR = "This gateway follows the store of another one: call the management API there."


def away_at(storage: Storage) -> Refusal:
    """Return why there is no store to be asked: it is away, or this node only follows one."""
    if storage.served is not None and storage.served.teller is not None:
        return Refusal(409, FAR, "far-node")
    return Refusal(503, AWAY, "store-away")


class Served:
    """The people of the store that is live."""

    def __init__(
        self,
        callers: Callers,
        kinds: Callable[[], Awaitable[Kinds]],
        storage: Callable[[], Storage | None],
        tenants: Callable[[], Tenants | None],
        sessions: SessionOptions,
    ) -> None:
        self._callers, self._kinds, self._storage, self.tenants = callers, kinds, storage, tenants
        self._sessions = sessions
        self.opened: frozenset[str] = frozenset()
        """Pages of other distributions that know of tenants."""

    async def people(self) -> People:
        """Return them.

        Raises:
            Refusal: nothing is stored, or the store is away.
        """
        found = await self.maybe()
        if found is None:
            raise Refusal(409, NO_STORE, "no-store")
        return found

    async def maybe(self) -> People | None:
        """Return them; ``None`` where nothing is stored.

        Raises:
            Refusal: the store is away.
        """
        storage = self._storage()
        if storage is None or storage.served is None:
            return None
        if storage.store is None:
            raise away_at(storage)
        found, kinds = people_of(storage.store), await self._kinds()
        found.sessions.idle, found.sessions.lifetime = self._sessions.idle, self._sessions.lifetime
        found.mask = lambda kind, body: _masked(kinds, kind, body)
        return found

    def guard(self, api: Blueprint) -> None:
        """Find out before each call who it is, and note after it what was refused."""

        @api.before_request
        async def recognise() -> None:
            address.set(where())
            with suppress(Refusal):
                await self.maybe()  # what callers of the document write is noted, too
            await self._callers.recognise(self.maybe)
            current.set(None)
            if isinstance(g.caller, Caller):
                try:
                    await self._confine(g.caller)
                except (Refusal, StoreError) as error:
                    g.caller = error

        @api.after_request
        async def note(response: Response) -> Response:
            if response.status_code >= 400 and request.method not in SAFE and request.args.get("dry_run") != "true":
                with suppress(StoreError, Refusal):
                    await self._note(response.status_code)
            return response

        @api.errorhandler(Refused)
        async def refused(error: Refused) -> Response:
            ways = ((status, kind) for each, status, kind in WAYS if isinstance(error, each))
            status, kind = next(ways, (422, "invalid"))
            return Refusal(status, f"{_sentence(error)}.", kind).answer()

        @api.errorhandler(TooMany)
        async def many(error: TooMany) -> Response:
            answer = Refusal(429, f"{_sentence(error)}.", "too-many-logins").answer()
            answer.headers["Retry-After"] = str(int(error.seconds) + 1)
            return answer

    async def _confine(self, caller: Caller) -> None:
        """Let somebody of a tenant do what is theirs."""
        storage = self._storage()
        scope = await scope_of(caller.name, self.tenants(), None if storage is None else storage.store)
        current.set(scope)
        page = (request.endpoint or "").rpartition(".")[2]
        if page not in FACTOR_PAGES:
            await self._ask_for_factor(caller)
        if scope is not None and (why := confined(scope, page, request.view_args or {}, self.opened)) is not None:
            raise why

    async def _ask_for_factor(self, caller: Caller) -> None:
        """Refuse an administrator who has logged in with a password only, where that is not enough."""
        if not self._sessions.admin_needs_factor or caller.person is None or caller.token:
            return
        with_password = caller.session is None or caller.session.method == "password"
        if with_password and ADMIN in caller.permissions:
            found = await (await self.people()).factors.get(caller.name)
            if found is None or not found.confirmed:
                detail = "Administrators need a second factor here: make one with POST /-/api/me/factor."
                raise Refusal(403, detail, "second-factor")

    async def _note(self, status: int) -> None:
        people = None if status in {429, 503} else await self.maybe()
        if people is None:
            return
        caller = g.get("caller")
        who = caller.name if isinstance(caller, Caller) else ""
        what = request.path.partition("/api/")[2]
        await people.audit.noted(By(who, where()), request.method.lower(), what, f"refused: {status}")


def _masked(kinds: Kinds, kind: str, body: Any) -> Any:
    return kinds.masker.masked(body, kinds[kind].schema) if kind in kinds else MASK


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]
