"""What is noted of a row when its instance is over, in the transaction that closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hookgate import Host

if TYPE_CHECKING:
    from hookgate_workflows import Also, Instance

LABEL = "bulk "
"""What labels of instances that are rows begin with; the number of the bulk follows."""


def over(host: Host, instance: Instance) -> Also | None:
    """Note what came of a row."""
    if not instance.label.startswith(LABEL) or instance.parent is not None:
        return None
    import orjson

    from hookgate_bulk.keeping import ended
    from hookgate_workflows import Also

    number, errors = instance.id, orjson.dumps(instance.errors).decode()
    response, status, closed = instance.context.get("*response*"), instance.status, instance.closed

    def write(connection: Any) -> None:
        ended(connection, number, status, errors, response, closed)

    def done() -> None:
        section: Any = host.section("bulk_engine")
        section.poke(int(instance.label.removeprefix(LABEL)))

    return Also(write, done)
