"""What the pages share: who looks at an API, and what they may do with what belongs to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import wraps
from typing import Any

from quart import Response

from hookgate import Host
from hookgate_apimanager.shop import Shop
from hookgate_apimanager.visibility import Offer, Viewer
from hookgate_community.keeping import attach
from hookgate_community.section import Community, CommunitySection
from hookgate_community.visibility import Level, levels_seen, may_speak
from hookgate_community.writing import Author, TooOften
from hookgate_management.pages import ADMIN, READ, Caller, Calls, Operations, Refusal, as_json, current, where
from hookgate_people import By, people_of
from hookgate_storage import Store

SPEAK = "comment"
"""The permission to rate APIs and to write about them; subscribers have it (KC-11)."""
MODERATE = "lifecycle"
"""The permission to moderate what is written about the APIs of the own tenant, which publishers have; they answer, too.
"""
KEEP = frozenset({ADMIN, "api_api", "lifecycle"})
"""Permissions to write documents of the APIs of the own tenant: those of who makes and publishes them."""


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody at an API that they see."""

    api: str
    offer: Offer
    viewer: Viewer
    caller: Caller | None
    """``None`` for who has not said who they are."""

    @property
    def levels(self) -> frozenset[Level]:
        """The levels of documents that they see."""
        return levels_seen(self.viewer, self.offer)

    @property
    def keeps(self) -> bool:
        """Whether they write its documents."""
        return self._of_its_own(KEEP)

    @property
    def moderates(self) -> bool:
        """Whether they moderate what is written about it."""
        return self._of_its_own(frozenset({ADMIN, MODERATE}))

    @property
    def by(self) -> By:
        """Who they are, for the audit."""
        return By("" if self.caller is None else self.caller.name, where())

    def is_(self, user: str) -> bool:
        """Whether they are that user."""
        return self.caller is not None and self.caller.person is not None and bool(user) and self.caller.name == user

    def _of_its_own(self, needs: frozenset[str]) -> bool:
        scope = current.get()
        held = frozenset() if self.caller is None else self.caller.permissions
        return bool(needs & held) and (scope is None or scope.tenant == self.offer.tenant)

    def let_keep(self) -> None:
        """Let them write documents.

        Raises:
            Refusal: they may not.
        """
        if not self.keeps:
            raise self._forbidden("api_api or lifecycle")

    def let_moderate(self) -> None:
        """Let them moderate.

        Raises:
            Refusal: they may not.
        """
        if not self.moderates:
            raise self._forbidden(MODERATE)

    def let_remove(self, author: str) -> None:
        """Let them remove what an author has written: who has written it may, and who moderates.

        Raises:
            Refusal: they may not.
        """
        if not self.is_(author):
            self.let_moderate()

    def _forbidden(self, permission: str) -> Refusal:
        name = "" if self.caller is None else self.caller.name
        return Refusal(403, f"{name} may not do that; it takes the permission {permission}.", "forbidden")


class Visits:
    """Calls about documents, and about what people say."""

    def __init__(self, api: Operations, calls: Calls, host: Host) -> None:
        self.api, self._calls, self._host = api, calls, host
        self.shop = Shop(calls, host)

    @property
    def settings(self) -> CommunitySection:
        """What documents and people may do."""
        return self._host.section("community", Community).record

    async def store(self) -> Store:
        """Return the store.

        Raises:
            Refusal: nothing is stored, or the store is away.
        """
        store: Store = (await self._calls.changer()).store
        attach(store)
        return store

    def look(self, name: str) -> Visit:
        """Return who looks at an API, be it somebody who does not say who they are.

        Raises:
            Refusal: they say that they are somebody whom nobody knows (401), or see no such API (404).
        """
        viewer = self.shop.viewer()
        self.shop.one(viewer, name)
        offer = self.shop.offer(viewer, name)
        assert offer is not None  # or there would be none
        return Visit(name, offer, viewer, None if viewer.tenant is None else self._calls.callers.caller())

    def come(self, name: str) -> Visit:
        """Return who wants to change something at an API.

        Raises:
            Refusal: nobody whom we know (401), or they see no such API (404).
        """
        self._calls.callers.caller()
        return self.look(name)

    def user(self, visit: Visit) -> Caller:
        """Return who wants to change something of their own.

        Raises:
            Refusal: they stand in the document, and have nothing here (409).
        """
        caller = visit.caller
        assert caller is not None
        if caller.person is None:
            raise Refusal(409, "You stand in the document: only users of the store write here.", "in-file")
        return caller

    async def author(self, visit: Visit, *, rates: bool = False) -> Author:
        """Return who writes. Who moderates answers; it does not rate.

        Raises:
            Refusal: they may not (403), or stand in the document (409).
        """
        caller = visit.caller
        assert caller is not None
        if not {ADMIN, SPEAK} & caller.permissions and (rates or not visit.moderates):
            detail = f"{caller.name} may not do that; it takes the permission {SPEAK}."
            raise Refusal(403, detail, "forbidden")
        self.user(visit)
        if not may_speak(visit.viewer, visit.offer, several=self.shop.several):
            raise Refusal(403, f"{visit.api} is not for people of your tenant to write about.", "forbidden")
        user = await people_of(await self.store()).users.get(caller.name)
        # who has said nothing else is called as they log in, which is not for everybody
        display = "" if user is None or user.display == user.name else user.display
        return Author(caller.name, display, self.settings.writes, self.settings.per)

    def told(self, visit: Visit, said: Any) -> dict[str, Any]:
        """Return something that was said. The name of a user, which is what they log in with, is told to the people of
        their tenant, and to who reads everything; to others what they are called.
        """
        told = asdict(said)
        caller, author = visit.caller, told.pop("author")
        knows = caller is not None and (
            (current.get() is None and bool({ADMIN, READ} & caller.permissions))
            or self.shop.tenant_of(author) == visit.viewer.tenant
        )
        return {**told, "author": author if author and knows else None, "own": visit.is_(author)}


def paged(what: str, told: list[dict[str, Any]], limit: int, **more: Any) -> Response:
    """Answer with a page, and with where the next begins."""
    behind = {"next": told[limit - 1]["id"]} if len(told) > limit else {}
    return as_json({what: told[:limit], **more, **behind})


def now_and_then(page: Callable[..., Awaitable[Response]]) -> Callable[..., Awaitable[Response]]:
    """Return a page that says for how long somebody has to wait who writes too often."""

    @wraps(page)
    async def asked(**names: Any) -> Response:
        try:
            return await page(**names)
        except TooOften as error:
            answer = Refusal(429, f"{error}", "too-often").answer()
            answer.headers["Retry-After"] = str(int(error.seconds) + 1)
            return answer

    return asked
