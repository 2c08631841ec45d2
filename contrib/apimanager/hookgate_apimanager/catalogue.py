"""The pages where people look for APIs: what is hidden from them is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quart import Response, request

from hookgate import Host, Item
from hookgate_apimanager.records import MachineSection
from hookgate_apimanager.sections import LifecycleMachine, Lifecycles, Visibilities
from hookgate_apimanager.visibility import Viewer, levels, may_subscribe, sees
from hookgate_management.pages import (
    ADMIN,
    ASKS,
    LIMIT,
    READ,
    Calls,
    Operation,
    Operations,
    Parameter,
    Refusal,
    as_json,
    current,
    number,
)

INSIDERS = frozenset({ADMIN, READ, "api_api", "lifecycle"})
"""Permissions of who makes or publishes APIs."""
_TEXT = {"type": "string"}
_API = {
    "type": "object",
    "required": ["api", "name", "version", "state", "base_path", "hosts", "description", "prototype", "subscribable"],
    "properties": {
        "api": {**_TEXT, "description": "Its name with its version."},
        "name": _TEXT,
        "version": _TEXT,
        "state": _TEXT,
        "base_path": _TEXT,
        "hosts": {"type": "array", "items": _TEXT},
        "description": _TEXT,
        "default_version": {"type": "boolean"},
        "prototype": {"type": "boolean", "description": "It is called without a subscription."},
        "subscribable": {"type": "boolean", "description": "Whether the caller may subscribe to it."},
    },
}
_APIS = {
    "type": "object",
    "required": ["apis", "levels"],
    "properties": {
        "apis": {"type": "array", "items": _API},
        "levels": {"type": "array", "items": _TEXT, "description": "Levels of visibility that may be chosen."},
        "next": {**_TEXT, "description": "`after` of the next page, if any."},
    },
}


def catalogue_pages(api: Operations, calls: Calls, host: Host) -> None:
    """Add the pages."""
    api.schemas |= {"api.offered": _API, "api.offers": _APIS}
    after = Parameter("after", "The `next` of the page before.")

    def viewer() -> Viewer:
        try:
            caller = calls.callers.caller()
        except Refusal as refusal:
            if refusal.status != 401 or "Authorization" in request.headers:
                raise
            return Viewer()
        scope = current.get()
        roles = frozenset() if caller.person is None else caller.person.roles
        return Viewer("" if scope is None else scope.tenant, roles, bool(INSIDERS & caller.permissions))

    def found(who: Viewer) -> Iterator[dict[str, Any]]:
        machine: MachineSection = (_maybe(host, "lifecycle_machine") or LifecycleMachine()).record
        lifecycles: Lifecycles = _maybe(host, "lifecycles") or Lifecycles()
        offers: Visibilities = _maybe(host, "visibilities") or Visibilities()
        tenants: Any = _maybe(host, "tenants")
        several = tenants is not None and bool(tenants.items)
        apis: Any = _maybe(host, "apis")
        for item in sorted(() if apis is None else apis.items, key=lambda each: each.name):
            offer = offers.offer(item.name, tenants.tenant_of(item.name) if several else "")
            state = lifecycles.state_of(item.name, machine)
            inside = who.insider and who.tenant == offer.tenant
            if sees(who, offer) and (inside or machine.states[state].shown):
                yield _told(item, state, machine, may=may_subscribe(who, offer, several=several))

    @api.add(
        Operation(
            "GET",
            "/apis",
            "apis",
            "List the APIs that the caller sees",
            {200: "offers"},
            ASKS | {400},
            (LIMIT, after),
            of_tenants=True,
            anonymous=True,
        )
    )
    async def listing() -> Response:
        limit, behind = number("limit", 100, 1000), request.args.get("after", "")
        seen = [each for each in found(viewer()) if each["api"] > behind]
        tenants: Any = _maybe(host, "tenants")
        told = {"apis": seen[:limit], "levels": levels(several=tenants is not None and bool(tenants.items))}
        return as_json(told | ({"next": seen[limit - 1]["api"]} if len(seen) > limit else {}))

    @api.add(
        Operation(
            "GET",
            "/apis/<name>",
            "api",
            "Return an API that the caller sees",
            {200: "offered"},
            ASKS | {404},
            of_tenants=True,
            anonymous=True,
        )
    )
    async def one(name: str) -> Response:
        for each in found(viewer()):
            if each["api"] == name:
                return as_json(each)
        raise Refusal(404, f"There is no apis/{name}.", "missing")


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


def _maybe(host: Host, section: str) -> Any:
    try:
        return host.section(section)
    except LookupError:
        return None
