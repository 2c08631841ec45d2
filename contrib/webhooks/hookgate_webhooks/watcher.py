"""What is noted for webhooks when an instance is over, in the transaction that closes it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from hookgate import Host

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from hookgate_workflows import Also, Instance


def over(host: Host, instance: Instance) -> Also | None:
    """Note a call of a custom route that was completed in success, for each webhook that is told of it."""
    try:
        section: Any = host.section("webhooks")
    except LookupError:
        return None
    if instance.parent is not None or not instance.route or instance.errors:
        return None
    names = [name for name, each in section.webhooks.items() if each.takes(instance.method, instance.route)]
    if not names:
        return None
    import orjson
    from sqlalchemy import insert

    from hookgate_webhooks.tables import WAITING, deliveries
    from hookgate_workflows import Also

    payload = {"id": instance.guid, "request": instance.request, "response": instance.context.get("*response*")}
    written = orjson.dumps(payload).decode().replace("\\u0000", "\\ufffd")
    now = host.clock.wall()
    rows = [
        {
            "guid": str(uuid.uuid4()),
            "webhook": name,
            "instance": instance.id,
            "payload": written,
            "status": WAITING,
            "tries": "[]",
            "attempt": 0,
            "created": now,
            "next": now,
        }
        for name in names
    ]

    def write(connection: Connection) -> None:
        connection.execute(insert(deliveries), rows)

    return Also(write, section.poke)
