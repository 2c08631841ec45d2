"""Pages about subscriptions: subscribers have their own, publishers manage those to their APIs."""

from __future__ import annotations

from dataclasses import replace

from quart import Response

from hookgate import Host
from hookgate_apimanager import answers
from hookgate_apimanager.application_pages import PATCH
from hookgate_apimanager.desk import MANAGE, Desk, kept_as, query
from hookgate_apimanager.subscriptions import Status, Wanted
from hookgate_management.pages import (
    ADMIN,
    AFTER,
    CHANGES,
    IF_MATCH,
    LIMIT,
    READ,
    READS,
    Body,
    Calls,
    Operations,
    Parameter,
    Refusal,
    after,
    as_json,
    current,
    expected,
    listed,
    number,
    schema_of,
    sent_as,
)

FILTERS = ("api", "application", "owner", "status", "tier")


class NewSubscription(Body):
    """What a subscription is made of."""

    api: str
    application: str | None = None
    tier: str | None = None


class ChangedSubscription(Body):
    """What changes of a subscription."""

    tier: str | None = None
    status: Status | None = None


def subscription_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= answers.SUBSCRIPTIONS
    desk = Desk(api, calls, host)
    _list(desk)
    _make(desk)
    _one(desk)


def _list(desk: Desk) -> None:
    takes = tuple(Parameter(each, f"Only those with this {each}.") for each in FILTERS)
    about = "List subscriptions: the own ones, or those to the APIs that the caller manages"

    @desk.add(
        "GET", "/subscriptions", "subscriptions", about, {200: "subscriptions"}, READS | {400}, (LIMIT, AFTER, *takes)
    )
    async def page() -> Response:
        caller, kept, scope = desk.looker(), await desk.subscriptions(), current.get()
        limit = number("limit", 100, 1000)
        wanted = Wanted(**{each: query(each) for each in FILTERS})
        if wanted.owner == caller.name and caller.person is not None:
            pass  # one's own, whoever has the APIs
        elif {ADMIN, READ, MANAGE} & caller.permissions:
            wanted = wanted if scope is None else replace(wanted, tenant=scope.tenant)
        elif wanted.owner is None:
            wanted = replace(wanted, owner=caller.name)
        else:
            raise Refusal(403, f"{caller.name} may see the own subscriptions only.", "forbidden")
        return listed("subscriptions", await kept.page(wanted, after(), limit + 1), limit, "id")


def _make(desk: Desk) -> None:
    about = "Subscribe an application to an API; the default application, if none is named"

    @desk.add(
        "POST",
        "/subscriptions",
        "subscribe",
        about,
        {201: "subscription"},
        CHANGES,
        sends=schema_of(NewSubscription),
        headers=("ETag", "Location"),
    )
    async def make() -> Response:
        caller, found = desk.subscriber(), await sent_as(NewSubscription)
        kept, shop = await desk.subscriptions(), desk.shop
        shop.let_subscribe(shop.viewer(), found.api)
        if found.application is None:
            application = await desk.default(caller, desk.owner(caller, None))
        else:
            application = await desk.application(found.application, caller)
        tier = shop.tier(await desk.roles(application.owner), "subscription", found.tier, found.api)
        status: Status = "PENDING" if shop.asks_for_approval(found.api) else "ACTIVE"
        most, tenant = shop.settings.subscriptions, shop.tenant_of(found.api)
        made = await kept.make(desk.by(caller), application.id, found.api, tier, tenant, status, most=most)
        return kept_as(made, f"/-/api/subscriptions/{made.id}")


def _one(desk: Desk) -> None:
    place = "/subscriptions/<name>"

    @desk.add(
        "GET", place, "subscription", "Return a subscription", {200: "subscription"}, READS | {404}, headers=("ETag",)
    )
    async def one(name: str) -> Response:
        found, _ = await desk.subscription(name, desk.looker(), looks=True)
        return kept_as(found)

    @desk.add(
        "PATCH",
        place,
        "change-subscription",
        "Change tier or status; who manages the API approves, rejects and blocks",
        {200: "subscription"},
        CHANGES,
        (IF_MATCH,),
        schema_of(ChangedSubscription),
        PATCH,
        headers=("ETag",),
    )
    async def change(name: str) -> Response:
        caller, found = desk.looker(), await sent_as(ChangedSubscription)
        old, manages = await desk.subscription(name, caller)
        if not manages:
            _let(desk, old.api, found)
        if found.tier is not None and found.tier != old.tier:
            # what somebody may choose, publishers do not give to others who may not
            desk.shop.tier(await desk.roles(old.owner), "subscription", found.tier, old.api)
        _let_status(old.status, found.status)
        kept = await desk.subscriptions()
        new = await kept.change(desk.by(caller), old.id, tier=found.tier, status=found.status, version=expected())
        return kept_as(new)

    @desk.add(
        "DELETE",
        place,
        "unsubscribe",
        "Remove a subscription; a blocked one only who manages the API",
        {200: "nothing"},
        READS | {404, 412},
        (IF_MATCH,),
    )
    async def remove(name: str) -> Response:
        caller = desk.looker()
        old, manages = await desk.subscription(name, caller)
        kept = await desk.subscriptions()
        await kept.remove(desk.by(caller), old.id, expected(), freely=manages)
        return as_json({})


def _let(desk: Desk, api: str, found: ChangedSubscription) -> None:
    """Let a subscriber choose another tier, where nobody has to approve it."""
    desk.subscriber()
    if found.status is not None or desk.shop.asks_for_approval(api):
        detail = f"That is for who manages the API; it takes the permission {MANAGE}."
        raise Refusal(403, detail, "forbidden")


def _let_status(old: str, new: Status | None) -> None:
    """Refuse what no status leads to: only who waits is rejected, and nobody waits again."""
    if new is None or new == old:
        return
    if new == "PENDING" or (new == "REJECTED" and old != "PENDING"):
        raise Refusal(409, f"The subscription is {old}, and does not become {new}.", "status")
