"""What somebody sees of the APIs, and may subscribe to, with which tiers: for pages, out of what is live."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from quart import request

from hookgate import Host, Item
from hookgate_apimanager.records import MachineSection
from hookgate_apimanager.sections import LifecycleMachine, Lifecycles, Visibilities
from hookgate_apimanager.subscribing import UNLIMITED, Offers, Subscribing, SubscribingSection
from hookgate_apimanager.visibility import Offer, Viewer, may_subscribe, sees
from hookgate_management.pages import ADMIN, READ, Calls, Refusal, current

INSIDERS = frozenset({ADMIN, READ, "api_api", "lifecycle"})
"""Permissions of who makes or publishes APIs."""


class Shop:
    """APIs and tiers for somebody who calls."""

    def __init__(self, calls: Calls, host: Host) -> None:
        self._calls, self._host = calls, host

    @property
    def settings(self) -> SubscribingSection:
        """What people may have."""
        found: Subscribing = self._maybe("subscribing") or Subscribing()
        return found.record

    @property
    def several(self) -> bool:
        """Whether there are several tenants."""
        tenants = self._maybe("tenants")
        return tenants is not None and bool(tenants.items)

    async def rated(self, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what is told of APIs with their ratings (KC-82), where something is installed that knows of these."""
        community = self._maybe("community")
        if community is None:
            return told
        ratings = await community.ratings([each["api"] for each in told])
        return [{**each, "rating": ratings[each["api"]]} if each["api"] in ratings else each for each in told]

    def tenant_of(self, name: str) -> str:
        """Return the tenant whose a user or an API is; nothing for what is of none."""
        tenants = self._maybe("tenants")
        return "" if tenants is None else str(tenants.tenant_of(name))

    def viewer(self) -> Viewer:
        """Return who looks, be it somebody who does not say who they are.

        Raises:
            Refusal: they say that they are somebody whom nobody knows.
        """
        try:
            caller = self._calls.callers.caller()
        except Refusal as refusal:
            if refusal.status != 401 or "Authorization" in request.headers:
                raise
            return Viewer()
        scope = current.get()
        roles = frozenset() if caller.person is None else caller.person.roles
        return Viewer("" if scope is None else scope.tenant, roles, bool(INSIDERS & caller.permissions))

    def seen(self, who: Viewer, only: str | None = None) -> Iterator[dict[str, Any]]:
        """Give what somebody sees, by the names of the APIs; of one, if it is named."""
        apis = self._maybe("apis")
        there = () if apis is None else apis.items
        for item in sorted((each for each in there if only in (None, each.name)), key=lambda each: each.name):
            if (offer := self.offer(who, item.name)) is not None:
                may = may_subscribe(who, offer, several=self.several)
                yield _told(item, self._state(item.name), self._machine, may=may)

    def one(self, who: Viewer, name: str) -> dict[str, Any]:
        """Return one of them.

        Raises:
            Refusal: there is none that somebody sees.
        """
        for each in self.seen(who, name):
            return each
        raise Refusal(404, f"There is no apis/{name}.", "missing")

    def offer(self, who: Viewer, name: str) -> Offer | None:
        """Return to whom an API is offered, if somebody sees it."""
        visibilities: Visibilities = self._maybe("visibilities") or Visibilities()
        offer = visibilities.offer(name, self.tenant_of(name))
        inside = who.insider and who.tenant == offer.tenant
        return offer if sees(who, offer) and (inside or self._machine.states[self._state(name)].shown) else None

    def let_subscribe(self, who: Viewer, name: str) -> None:
        """Let somebody subscribe to an API.

        Raises:
            Refusal: they do not see it (404), its state takes no new subscriptions (409, KC-15), or it is not for their
                tenant (403, KC-46).
        """
        self.one(who, name)
        offer, state = self.offer(who, name), self._state(name)
        if offer is None or not may_subscribe(who, offer, several=self.several):
            raise Refusal(403, f"{name} is not for subscribers of your tenant.", "forbidden")
        if not self._machine.states[state].subscribable:
            raise Refusal(409, f"{name} is {state}, and takes no new subscriptions.", "lifecycle")

    def tiers(self, roles: Collection[str], level: str, api: str = "") -> list[dict[str, str]]:
        """Return the tiers that somebody with these roles may choose at a level (KC-36), of those that an API offers
        (KC-35); where nothing counts by tiers, the one that counts nothing."""
        section, asked = self._maybe("tiers"), self._offers.of(api).tiers
        names = [UNLIMITED] if section is None else section.offered(roles, level)
        if asked:
            names = [each for each in asked if each in names]
        about = {} if section is None else section.tiers
        return [{"name": each, "description": about[each].description if each in about else ""} for each in names]

    def tier(self, roles: Collection[str], level: str, wanted: str | None, api: str = "") -> str:
        """Return the tier that somebody chooses, the only one where they name none.

        Raises:
            Refusal: it is not offered (400), or not to somebody with such roles (403), or there are several.
        """
        may = [each["name"] for each in self.tiers(roles, level, api)]
        if wanted is None:
            if len(may) == 1:
                return may[0]
            raise Refusal(400, f"Name a tier: {', '.join(may) or 'none is there'}.", "tier")
        if wanted in may:
            return wanted
        if wanted in self._offered(level, api):
            raise Refusal(403, f"You may not choose the tier {wanted}.", "forbidden")
        detail = f"The tier {wanted[:100]!r} is not offered: {', '.join(may) or 'there is none'}."
        raise Refusal(400, detail, "tier", [{"pointer": "/tier", "detail": "is not offered"}])

    def default_tier(self) -> str:
        """Return the tier of an application for which none is chosen.

        Raises:
            Refusal: it is not there.
        """
        name = self.settings.default_application.tier
        if name not in self._offered("application", ""):
            detail = f"There is no tier {name}: write another one to subscribing.default_application.tier."
            raise Refusal(409, detail, "tier")
        return name

    def asks_for_approval(self, api: str) -> bool:
        """Whether a publisher approves new subscriptions to an API."""
        said = self._offers.of(api).approval
        return self.settings.approval if said is None else said

    def _offered(self, level: str, api: str) -> list[str]:
        """Return the tiers of a level, whoever asks."""
        section, asked = self._maybe("tiers"), self._offers.of(api).tiers
        names = [UNLIMITED]
        if section is not None:
            names = [name for name, tier in section.tiers.items() if level in tier.levels]
        return [each for each in names if not asked or each in asked]

    @property
    def _machine(self) -> MachineSection:
        machine: LifecycleMachine = self._maybe("lifecycle_machine") or LifecycleMachine()
        return machine.record

    @property
    def _offers(self) -> Offers:
        return self._maybe("offers") or Offers()

    def _state(self, name: str) -> str:
        lifecycles: Lifecycles = self._maybe("lifecycles") or Lifecycles()
        return lifecycles.state_of(name, self._machine)

    def _maybe(self, section: str) -> Any:
        try:
            return self._host.section(section)
        except LookupError:
            return None


def _told(item: Item[Any], state: str, machine: MachineSection, *, may: bool) -> dict[str, Any]:
    record, said = item.record, machine.states[state]
    return {
        "api": item.name,
        "name": record.name,
        "version": record.version,
        "state": state,
        "base_path": record.base_path or "/",
        "hosts": list(record.hosts),
        "description": record.description,
        "default_version": record.default_version,
        "prototype": said.calls == "open",
        "subscribable": may and said.subscribable,
    }
