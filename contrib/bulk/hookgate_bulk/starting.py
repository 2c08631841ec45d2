"""Storing a bulk, which whoever holds it then begins the rows of."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from hookgate import Host
from hookgate_bulk.conversion import Row
from hookgate_bulk.records import BulkRules, read_rows
from hookgate_workflows import Graph, Schema

AT_ONCE = asyncio.Semaphore(2)
"""Bodies that are read at once: that takes a thread, and the memory of all rows."""


async def rows_in(content: bytes, rules: BulkRules, schema: Schema | None, *, is_csv: bool) -> list[Row]:
    """Read, convert and check rows, beside the loop.

    Raises:
        Unreadable: there are none, or too many.
    """
    async with AT_ONCE:
        return await asyncio.to_thread(read_rows, content, rules, schema, is_csv=is_csv)


async def start(
    host: Host,
    graph: Graph,
    rules: BulkRules,
    found: Sequence[Row],
    *,
    request: Mapping[str, Any],
    owner: str | None,
    action: str = "",
    route: str = "",
    method: str = "",
    handler: str = "",
) -> dict[str, Any]:
    """Store a bulk; return its row.

    Raises:
        JournalAway: there are no workflows here, or no store.
        StoreError: the store is away, and the bulk is not there.
    """
    section: Any = host.section("bulk_engine")
    driver = section.driver
    about = {
        "action": action[:200],
        "route": route[:300],
        "method": method[:20],
        "owner": None if owner is None else owner[:200],
        "workflow": graph.name[:200],
        "definition": orjson.dumps(graph.body).decode(),
        "handler": handler[:200],
        "request": orjson.dumps(request).decode(),
        "parallel": rules.at_once,
        "sequence_timeout": rules.sequence_timeout,
        "stop_on_error": int(rules.stop_on_error),
    }
    made: dict[str, Any] = await driver.bulks.add(about, found, host.clock.wall())
    driver.poke()
    return made


def receipt(made: Mapping[str, Any], found: Sequence[Row]) -> dict[str, Any]:
    """Return what whoever starts a bulk is told."""
    return {
        "bulk_id": made["id"],
        "guid": made["guid"],
        "rows": len(found),
        "invalid": sum(bool(row.errors) for row in found),
    }
