"""What pages about applications and subscriptions share: who may do what with which of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from typing import Any

from quart import Response, request

from hookgate import Fault, Host
from hookgate_apimanager.applications import Applications
from hookgate_apimanager.applications import Kept as Application
from hookgate_apimanager.keys import ApiKeys, Clients
from hookgate_apimanager.register import Register, register_of
from hookgate_apimanager.shop import Shop
from hookgate_apimanager.subscriptions import Kept as Subscription
from hookgate_apimanager.subscriptions import Subscriptions
from hookgate_management.pages import (
    ADMIN,
    READ,
    Caller,
    Calls,
    Operation,
    Operations,
    Refusal,
    as_json,
    clean_name,
    current,
    where,
)
from hookgate_people import By

Page = Callable[..., Awaitable[Response]]
SUBSCRIBE = "subscribe"
"""The permission to have applications and subscriptions; subscribers have it (KC-11)."""
MANAGE = "subscriptions"
"""The permission to manage the subscriptions to the APIs of the own tenant; publishers have it (KC-11)."""


class Desk:
    """Calls about applications and subscriptions."""

    def __init__(self, api: Operations, calls: Calls, host: Host) -> None:
        self.api, self.host = api, host
        self.calls, self.callers = calls, calls.callers
        self.shop = Shop(calls, host)

    def add(self, *told: Any, **more: Any) -> Callable[[Page], Page]:
        """Return what adds a page, which people of tenants may call, too; all else is as for :class:`Operation`."""
        return self.api.add(replace(Operation(*told, **more), of_tenants=True))

    async def register(self) -> Register:
        """Return the register of the store.

        Raises:
            Refusal: nothing is stored, or the store is away.
        """
        return register_of((await self.calls.changer()).store)

    async def applications(self) -> Applications:
        """Return what makes applications."""
        return Applications(await self.register())

    async def subscriptions(self) -> Subscriptions:
        """Return what makes subscriptions."""
        return Subscriptions(await self.register())

    async def clients(self) -> Clients:
        """Return what keeps clients."""
        return Clients(await self.register())

    async def api_keys(self) -> ApiKeys:
        """Return what makes API keys."""
        return ApiKeys(await self.register())

    def by(self, caller: Caller) -> By:
        """Return who calls, for the audit."""
        return By(caller.name, where())

    def subscriber(self) -> Caller:
        """Return who calls, who may have applications.

        Raises:
            Refusal: they may not.
        """
        self.callers.let(SUBSCRIBE)
        return self.callers.caller()

    def looker(self) -> Caller:
        """Return who calls, who may see applications or subscriptions.

        Raises:
            Refusal: they may see none.
        """
        caller = self.callers.caller()
        if not {ADMIN, READ, SUBSCRIBE, MANAGE} & caller.permissions:
            detail = f"{caller.name} may not see that; it takes the permission {SUBSCRIBE} or {MANAGE}."
            raise Refusal(403, detail, "forbidden")
        return caller

    def owner(self, caller: Caller, named: str | None) -> str:
        """Return for whom something is done: the caller, or as an administrator somebody else.

        Raises:
            Refusal: the caller may not, or stands in the document and names nobody.
        """
        if named is None or (named == caller.name and caller.person is not None):
            if caller.person is None:
                raise Refusal(409, "You stand in the document, and have no applications: name an owner.", "in-file")
            return caller.name
        self.callers.let(ADMIN)
        scope = current.get()
        if scope is not None and not scope.has(named):
            raise Refusal(403, f"{named[:200]} is nobody of the tenant.", "forbidden")
        return clean_name(named)

    async def roles(self, owner: str) -> frozenset[str]:
        """Return the roles that count for what an owner may choose."""
        person = await (await self.register()).people.person(owner)
        return frozenset() if person is None else person.roles

    async def default(self, caller: Caller, owner: str) -> Application:
        """Return the default application of an owner, made when it is first needed (KC-24)."""
        kept = await self.applications()
        if (found := await kept.found_default(owner)) is not None:
            return found
        name, tier = self.shop.settings.default_application.name, self.shop.default_tier()
        return await kept.default_of(self.by(caller), owner, name, tier, self.shop.tenant_of(owner))

    async def application(self, name: str, caller: Caller, *, looks: bool = False) -> Application:
        """Return an application that the caller has, or as an administrator manages; with ``looks`` also one that the
        caller may read.

        Raises:
            Refusal: there is none for the caller.
        """
        found = await (await self.applications()).get(clean_name(name))
        if found is None or not self._has(caller, found.owner, found.tenant, looks=looks):
            raise Refusal(404, f"There is no application {name[:100]}.", "missing")
        return found

    async def subscription(self, name: str, caller: Caller, *, looks: bool = False) -> tuple[Subscription, bool]:
        """Return a subscription that the caller has or manages, and whether they manage it.

        Raises:
            Refusal: there is none for the caller.
        """
        found = await (await self.subscriptions()).get(clean_name(name))
        if found is not None:
            if self.manages(caller, found.tenant):
                return found, True
            if self._has(caller, found.owner, self.shop.tenant_of(found.owner), looks=looks):
                return found, False
        raise Refusal(404, f"There is no subscription {name[:100]}.", "missing")

    @staticmethod
    def manages(caller: Caller, tenant: str) -> bool:
        """Whether the caller manages the subscriptions to APIs of a tenant."""
        scope = current.get()
        return bool({ADMIN, MANAGE} & caller.permissions) and (scope is None or scope.tenant == tenant)

    @staticmethod
    def _has(caller: Caller, owner: str, tenant: str, *, looks: bool) -> bool:
        if caller.person is not None and caller.name == owner:
            return True
        scope, needs = current.get(), {ADMIN, READ} if looks else {ADMIN}
        return bool(needs & caller.permissions) and (scope is None or scope.tenant == tenant)

    def key_manager(self) -> Any:
        """Return who makes clients.

        Raises:
            Refusal: nobody does.
        """
        try:
            section: Any = self.host.section("keymanager")
        except LookupError:
            detail = "There is no key manager here: write the section keymanager to the document."
            raise Refusal(409, detail, "no-key-manager") from None
        return section.manager


def query(name: str) -> str | None:
    """Return a parameter of the query that a database can be asked for."""
    written = request.args.get(name)
    return None if written is None else clean_name(written)


def kept_as(kept: Application | Subscription, made: str = "") -> Response:
    """Return an answer with what is kept, and its version; where it was ``made``, it says where it is."""
    version = {"ETag": f'"{kept.version}"'}
    return as_json(asdict(kept), 201, {"Location": made, **version}) if made else as_json(asdict(kept), headers=version)


async def asked(answer: Any) -> Any:
    """Return what the key manager answers.

    Raises:
        Refusal: it refuses, or does not answer.
    """
    try:
        return await answer if hasattr(answer, "__await__") else answer
    except Fault as fault:
        status = fault.status if fault.status < 500 else 503
        raise Refusal(status, fault.detail or "The key manager does not answer.", fault.reason) from fault
