"""Pages about the keys of applications, and about the scopes that may be asked for with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from pydantic import Field
from quart import Response

from hookgate import PositiveDuration
from hookgate_apimanager.desk import Desk, asked
from hookgate_apimanager.keys import Client, KeyType
from hookgate_apimanager.scoping import scopes_of
from hookgate_apimanager.subscriptions import Wanted
from hookgate_management.pages import (
    ADMIN,
    CHANGES,
    READS,
    Body,
    Refusal,
    as_json,
    schema_of,
    sent_as,
)

MOST = 10_000
_LISTED = Field(default=(), strict=False, max_length=20)


class NewKeys(Body):
    """What keys are made of."""

    key_type: KeyType = "production"
    grants: tuple[str, ...] = Field(default=("client_credentials",), strict=False, max_length=20)
    callbacks: tuple[str, ...] = _LISTED
    client_id: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")


class ChangedKeys(Body):
    """What changes of keys."""

    grants: tuple[str, ...] | None = Field(default=None, strict=False, max_length=20)
    callbacks: tuple[str, ...] | None = Field(default=None, strict=False, max_length=20)


class NewApiKey(Body):
    """What an API key is made of."""

    name: str
    key_type: KeyType = "production"
    lifetime: PositiveDuration | None = Field(default=None, strict=False, le=3e9)


def key_pages(desk: Desk) -> None:
    """Add the pages."""
    _clients(desk)
    _one_client(desk)
    _api_keys(desk)
    _scopes(desk)


def _clients(desk: Desk) -> None:
    place = "/applications/<name>/keys"

    @desk.add(
        "GET",
        place,
        "application-keys",
        "List the clients by which an application gets tokens",
        {200: "all-application-keys"},
        READS | {404},
    )
    async def page(name: str) -> Response:
        found = await desk.application(name, desk.looker(), looks=True)
        return as_json({"keys": [asdict(each) for each in await (await desk.clients()).of(found.id)]})

    @desk.add(
        "POST",
        place,
        "make-application-keys",
        "Have the key manager make a client, whose secret is shown this once; or as an administrator name one "
        "that was made elsewhere",
        {201: "application-keys"},
        CHANGES,
        sends=schema_of(NewKeys),
    )
    async def make(name: str) -> Response:
        caller, found = desk.subscriber(), await sent_as(NewKeys)
        clients, application = await desk.clients(), await desk.application(name, caller)
        if await clients.get(application.id, found.key_type) is not None:
            detail = f"{application.name} has {found.key_type} keys already; remove them, or have another secret made."
            raise Refusal(409, detail, "exists")
        made: dict[str, Any] = {"client_id": found.client_id}
        if found.client_id is not None:
            desk.callers.let(ADMIN)
        else:
            given = (application.name, application.owner, found.key_type, found.grants, found.callbacks)
            made = dict(await asked(desk.key_manager().create_client(*given)))
        client_id, mapped = str(made["client_id"]), found.client_id is not None
        try:
            await clients.keep(desk.by(caller), application, client_id, found.key_type, mapped=mapped)
        except BaseException:
            if not mapped:  # nobody would ever remove it
                await asked(desk.key_manager().delete_client(client_id))
            raise
        kept = await clients.get(application.id, found.key_type)
        told = asdict(kept) if kept is not None else {}
        return as_json(told | {key: made[key] for key in ("client_secret",) if made.get(key)}, 201)


def _one_client(desk: Desk) -> None:
    place = "/applications/<name>/keys/<key>"

    async def one(name: str, key: str) -> tuple[Any, Client]:
        application = await desk.application(name, desk.subscriber())
        found = await (await desk.clients()).get(application.id, key)
        if found is None:
            raise Refusal(404, f"The application has no {key[:20]} keys.", "missing")
        return application, found

    def let_change(found: Client) -> None:
        if found.mapped:
            raise Refusal(409, "The client was made elsewhere: change it there.", "key-manager-elsewhere")

    @desk.add(
        "PATCH",
        place,
        "change-application-keys",
        "Change grants and callbacks of a client",
        {200: "application-keys"},
        CHANGES,
        sends=schema_of(ChangedKeys),
    )
    async def change(name: str, key: str) -> Response:
        _, found = await one(name, key)
        let_change(found)
        wanted = (await sent_as(ChangedKeys)).model_dump(exclude_none=True)
        await asked(desk.key_manager().update_client(found.client_id, wanted))
        return as_json(asdict(found))

    @desk.add(
        "POST",
        f"{place}/regenerate",
        "regenerate-secret",
        "Have the key manager make another secret, which is shown this once; the one before counts no more",
        {200: "application-keys"},
        CHANGES,
    )
    async def regenerate(name: str, key: str) -> Response:
        _, found = await one(name, key)
        let_change(found)
        manager = desk.key_manager()
        if not hasattr(manager, "renew_secret"):
            raise Refusal(409, "The key manager makes no other secrets: remove the keys, and make some.", "no-renewal")
        made = await asked(manager.renew_secret(found.client_id))
        return as_json({**asdict(found), "client_secret": made["client_secret"]})

    @desk.add(
        "DELETE",
        place,
        "remove-application-keys",
        "Remove a client, with all its tokens",
        {200: "nothing"},
        READS | {404, 422},
    )
    async def remove(name: str, key: str) -> Response:
        application, found = await one(name, key)
        if not found.mapped:
            await asked(desk.key_manager().delete_client(found.client_id))
        await (await desk.clients()).remove(desk.by(desk.subscriber()), application, found)
        return as_json({})


def _api_keys(desk: Desk) -> None:
    place = "/applications/<name>/api-keys"

    @desk.add("GET", place, "api-keys", "List the API keys of an application", {200: "api-keys"}, READS | {404})
    async def page(name: str) -> Response:
        found = await desk.application(name, desk.looker(), looks=True)
        return as_json({"api_keys": [asdict(each) for each in await (await desk.api_keys()).of(found.id)]})

    @desk.add(
        "POST",
        place,
        "make-api-key",
        "Make an API key, which is shown this once",
        {201: "api-key"},
        CHANGES,
        sends=schema_of(NewApiKey),
    )
    async def make(name: str) -> Response:
        caller, found = desk.subscriber(), await sent_as(NewApiKey)
        kept, application = await desk.api_keys(), await desk.application(name, caller)
        most = desk.shop.settings.api_keys
        given = (application, found.key_type, found.name, found.lifetime)
        key, made = await kept.make(desk.by(caller), *given, most=most)
        return as_json({**asdict(made), "key": key}, 201)

    @desk.add(
        "DELETE", f"{place}/<key>", "remove-api-key", "Remove an API key, by its id", {200: "nothing"}, READS | {404}
    )
    async def remove(name: str, key: str) -> Response:
        caller = desk.subscriber()
        kept, application = await desk.api_keys(), await desk.application(name, caller)
        await kept.remove(desk.by(caller), application, key.replace("\0", ""))
        return as_json({})


def _scopes(desk: Desk) -> None:
    @desk.add(
        "GET",
        "/applications/<name>/scopes",
        "offered-scopes",
        "List the scopes that the APIs of an application ask for, and that its owner may have (KC-65)",
        {200: "offered-scopes"},
        READS | {404},
    )
    async def offered(name: str) -> Response:
        found = await desk.application(name, desk.looker(), looks=True)
        kept = await desk.subscriptions()
        apis = {each.api for each in await kept.page(Wanted(application=found.id), limit=MOST)}
        roles = await desk.roles(found.owner)
        return as_json({"scopes": list(_told_scopes(desk, apis, roles))})


def _told_scopes(desk: Desk, apis: set[str], roles: frozenset[str]) -> Iterator[dict[str, str]]:
    wanted_by = scopes_of(desk.host, apis)
    try:
        section: Any = desk.host.section("scopes")
    except LookupError:
        return
    for item in section.items:
        wanted = item.record.roles
        if item.name in wanted_by and (not wanted or not roles.isdisjoint(wanted)):
            yield {"name": item.name, "title": item.record.title, "description": item.record.description}
