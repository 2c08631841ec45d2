"""The pages where people look for APIs: what is hidden from them is not there."""

from __future__ import annotations

from quart import Response, request

from hookgate import Host
from hookgate_apimanager.shop import Shop
from hookgate_apimanager.visibility import levels
from hookgate_management.pages import ASKS, LIMIT, Calls, Operation, Operations, Parameter, as_json, number

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
        "rating": {
            "type": "object",
            "description": "Where ratings are kept.",
            "properties": {"average": {"type": ["number", "null"]}, "count": {"type": "integer"}},
        },
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

    shop = Shop(calls, host)

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
        seen = [each for each in shop.seen(shop.viewer()) if each["api"] > behind]
        told = {"apis": await shop.rated(seen[:limit]), "levels": levels(several=shop.several)}
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
        return as_json((await shop.rated([shop.one(shop.viewer(), name)]))[0])
