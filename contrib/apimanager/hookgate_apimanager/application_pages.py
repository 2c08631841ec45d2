"""Pages about applications."""

from __future__ import annotations

from contextlib import suppress

from quart import Response, request

from hookgate import Host
from hookgate_apimanager import answers
from hookgate_apimanager.applications import ApplicationChange, Kept
from hookgate_apimanager.desk import Desk, asked, kept_as, query
from hookgate_apimanager.key_pages import key_pages
from hookgate_management.pages import (
    ADMIN,
    AFTER,
    ASKS,
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

PATCH = ("application/merge-patch+json", "application/json")


class NewApplication(Body):
    """What an application is made of."""

    name: str
    description: str = ""
    tier: str | None = None
    owner: str | None = None


class ChangedApplication(Body):
    """What changes of an application."""

    name: str | None = None
    description: str | None = None
    tier: str | None = None
    owner: str | None = None
    blocked: bool | None = None


def application_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= answers.APPLICATIONS
    desk = Desk(api, calls, host)
    _list(desk)
    _make(desk)
    _one(desk)
    _tiers(desk)
    key_pages(desk)


def _list(desk: Desk) -> None:
    owner_of = Parameter("owner", "Whose; only who reads everything sees those of others. `*` for all of them.")
    about = "List applications, the own ones if not told otherwise; the default one is there when it is asked for"
    takes = (LIMIT, AFTER, owner_of)

    @desk.add("GET", "/applications", "applications", about, {200: "applications"}, READS | {400, 404}, takes)
    async def page() -> Response:
        caller, whose = desk.looker(), request.args.get("owner")
        kept, limit, scope = await desk.applications(), number("limit", 100, 1000), current.get()
        everybody = whose == "*" or (whose is None and caller.person is None)
        owner = None if everybody else query("owner") or caller.name
        if owner != caller.name or caller.person is None:
            if not {ADMIN, READ} & caller.permissions:
                raise Refusal(403, f"{caller.name} may see the own applications only.", "forbidden")
        else:
            desk.subscriber()
            with suppress(Refusal):  # told where it is needed: its tier is not there
                await desk.default(caller, owner)
        tenant = None if scope is None else scope.tenant
        return listed("applications", await kept.page(after(), limit + 1, owner=owner, tenant=tenant), limit, "id")


def _make(desk: Desk) -> None:
    @desk.add(
        "POST",
        "/applications",
        "make-application",
        "Make an application",
        {201: "application"},
        CHANGES,
        sends=schema_of(NewApplication),
        headers=("ETag", "Location"),
    )
    async def make() -> Response:
        caller, found = desk.subscriber(), await sent_as(NewApplication)
        owner = desk.owner(caller, found.owner)
        tier = found.tier
        if tier is None:
            tier = desk.shop.default_tier()
        else:
            tier = desk.shop.tier(await desk.roles(owner), "application", tier)
        kept, tenant = await desk.applications(), desk.shop.tenant_of(owner)
        most = desk.shop.settings.applications
        made = await kept.make(desk.by(caller), owner, found.name, tier, tenant, found.description, most=most)
        return kept_as(made, f"/-/api/applications/{made.id}")


def _one(desk: Desk) -> None:
    place = "/applications/<name>"

    @desk.add(
        "GET", place, "application", "Return an application", {200: "application"}, READS | {404}, headers=("ETag",)
    )
    async def one(name: str) -> Response:
        found = await desk.application(name, desk.looker(), looks=True)
        return kept_as(found)

    @desk.add(
        "PATCH",
        place,
        "change-application",
        "Change an application; owner and block are for administrators",
        {200: "application"},
        CHANGES,
        (IF_MATCH,),
        schema_of(ChangedApplication),
        PATCH,
        headers=("ETag",),
    )
    async def change(name: str) -> Response:
        caller, found = desk.subscriber(), await sent_as(ChangedApplication)
        kept, old = await desk.applications(), await desk.application(name, caller)
        if found.blocked is not None:
            desk.callers.let(ADMIN)
        owner = None if found.owner is None else desk.owner(caller, found.owner)
        if owner is not None and desk.shop.tenant_of(owner) != old.tenant:
            raise Refusal(422, "An application stays in its tenant.", "tenant")
        if found.tier is not None and found.tier != old.tier:
            desk.shop.tier(await desk.roles(owner or old.owner), "application", found.tier)
        wanted = ApplicationChange(found.name, found.description, found.tier, found.blocked, owner)
        new = await kept.change(desk.by(caller), old.id, wanted, expected())
        if found.name is not None or owner is not None:  # also where it was told to somebody before who did not answer
            await _tell_key_manager(desk, new)
        return kept_as(new)

    @desk.add(
        "DELETE",
        place,
        "remove-application",
        "Remove an application with its keys and subscriptions",
        {200: "nothing"},
        READS | {404, 412},
        (IF_MATCH,),
    )
    async def remove(name: str) -> Response:
        caller = desk.subscriber()
        kept, old = await desk.applications(), await desk.application(name, caller)
        freely = ADMIN in caller.permissions
        await kept.remove(desk.by(caller), old.id, expected(), freely=freely)
        return as_json({})


def _tiers(desk: Desk) -> None:
    about = "List the tiers that the caller may choose: for applications, or for subscriptions to an API"
    level = Parameter("level", "For what.", {"enum": ["application", "subscription"]})
    api_of = Parameter("api", "Of that API, for subscriptions.")

    @desk.add("GET", "/tiers", "tiers", about, {200: "tiers"}, ASKS | {400, 404}, (level, api_of))
    async def tiers() -> Response:
        desk.looker()
        viewer, api, wanted = desk.shop.viewer(), query("api"), request.args.get("level", "subscription")
        if wanted not in ("application", "subscription"):
            raise Refusal(400, f"level={wanted[:50]} is neither application nor subscription.", "query")
        if api is not None:
            desk.shop.one(viewer, api)
        return as_json({"tiers": desk.shop.tiers(viewer.roles, wanted, api or "")})


async def _tell_key_manager(desk: Desk, application: Kept) -> None:
    """Tell the key manager what an application is called, which it shows to people, and whose it is."""
    for each in await (await desk.clients()).of(application.id):
        if not each.mapped:
            changes = {"application": application.name, "owner": application.owner}
            await asked(desk.key_manager().update_client(each.client_id, changes))
