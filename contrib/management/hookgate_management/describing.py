"""Pages that describe the API: its kinds, the schema of the document, and OpenAPI."""

from __future__ import annotations

import asyncio

from quart import Response

from hookgate_management.answers import as_json
from hookgate_management.calls import Calls
from hookgate_management.openapi import described
from hookgate_management.operations import ASKS, Operation, Operations


def describing(api: Operations, calls: Calls) -> None:
    """Add the pages."""

    @api.add(Operation("GET", "/", "kinds", "List the kinds, with the permission each takes", {200: "kinds"}, ASKS))
    async def kinds() -> Response:
        calls.callers.let_look()
        told = [
            {
                "kind": each.section,
                "name": each.name,
                "shape": each.cls.shape,
                "permission": each.permission,
                "objects": f"/-/api/objects/{each.section}",
            }
            for each in (await calls.kinds()).values()
        ]
        return as_json({"kinds": told})

    schema_type = "application/schema+json"

    @api.add(
        Operation(
            "GET",
            "/schema",
            "schema",
            "Return the JSON Schema of the document",
            {200: "schema"},
            ASKS,
            answer_media=schema_type,
        )
    )
    async def schema() -> Response:
        calls.callers.let_look()
        return as_json((await calls.kinds()).document, content_type=schema_type)

    @api.add(Operation("GET", "/openapi.json", "openapi", "Return this description", {200: "schema"}, ASKS))
    async def openapi() -> Response:
        calls.callers.let_look()
        return as_json(await asyncio.to_thread(described, api.all, await calls.kinds(), api.schemas))
