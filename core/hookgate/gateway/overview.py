"""What a gateway tells of its connections: for pages, for commands, and for whoever asks a :class:`Host`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hookgate.connections.connection import Connection
from hookgate.exchange.outbound import Target

NETWORK_ISSUES = ("connect-failed", "timeout")
"""How attempts end that never came to an answer: no connection, no such name, no time left (HC-20)."""


def target_facts(target: Target) -> dict[str, Any]:
    """Return what is known of a target; ``last_seen`` is Unix time (AC-8)."""
    return {
        "url": target.url,
        "weight": target.weight,
        "active": target.active,
        "health": "healthy" if target.health.healthy else "unhealthy",
        "reason": target.health.reason,
        "last_seen": target.last_seen,
        "in_flight": target.in_flight,
        "failures": target.failures,
    }


def connection_facts(connection: Connection) -> dict[str, Any]:
    """Return what is known of a connection. No options, headers or paths, so that no secret is among it (HC-7).

    ``health`` is that of its active targets together, ``current`` the target that its balancer keeps to, if it keeps to
    one. Counts are those since the connection was made: a reload that changes it begins anew.
    """
    balancer, counts = connection.balancer, dict(connection.counts)
    return {
        "name": connection.name,
        "tags": list(connection.tags),
        "health": health_of(connection.targets),
        "transport": connection.transport.entry.name,
        "balancer": balancer.entry.name if balancer is not None else None,
        "monitors": [monitor.entry.name for monitor in connection.monitors],
        "max_tries": connection.retries.max_tries,
        "current": _url(getattr(balancer, "current", None)),
        "targets": [target_facts(target) for target in connection.targets],
        "pool": dict(connection.transport.facts()),
        "counts": counts,
        "northbound_errors": counts.pop("northbound_errors", 0),
        "southbound_errors": counts.pop("southbound_errors", 0),
        "network_issues": sum(counts.get(kind, 0) for kind in NETWORK_ISSUES),
    }


def health_of(targets: list[Target]) -> Literal["healthy", "degraded", "unhealthy"]:
    """Return how targets are together: all of those that are active well, some, or none."""
    well = [target.health.healthy for target in targets if target.active and target.weight > 0]
    if well and all(well):
        return "healthy"
    return "degraded" if any(well) else "unhealthy"


def _url(current: object) -> str | None:
    if isinstance(current, Target):
        return current.url
    return current if isinstance(current, str) else None


def overview(connections: Mapping[str, Connection]) -> dict[str, dict[str, Any]]:
    """Return what is known of each connection, by name."""
    return {name: connection_facts(connection) for name, connection in connections.items()}
