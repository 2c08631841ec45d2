"""What the gateway tells of itself, as metrics: connections of clients, pools, certificates, the last reload."""

from collections.abc import Iterator, Mapping
from typing import Any

from .exposition import Sample, metric


def house_metrics(
    status: Mapping[str, Any], overview: Mapping[str, Mapping[str, Any]], reloaded: float | None
) -> Iterator[str]:
    """Write them; ``reloaded`` is when a document last went live, in Unix time."""
    listener = status.get("listener") or {}
    about = "Connections of clients that are open."
    yield from metric("hookgate_client_connections", "gauge", about, (), [((), listener.get("connections", 0))])
    about = "Connections of clients that were refused, by what was wrong."
    refused = [((reason,), count) for reason, count in listener.get("refused", {}).items()]
    yield from metric("hookgate_client_connections_refused_total", "counter", about, ("reason",), refused)
    pools = [(name, facts["pool"]) for name, facts in overview.items()]
    states = [((name, state), pool[state]) for name, pool in pools for state in ("idle", "in_use") if state in pool]
    about = "Connections to backends that are open."
    yield from metric("hookgate_pool_connections", "gauge", about, ("connection", "state"), states)
    for what, about in (("limit", "Connections to backends there may be."), ("waiting", "Calls that wait for one.")):
        samples = [((name,), pool[what]) for name, pool in pools if pool.get(what) is not None]
        yield from metric(f"hookgate_pool_{what}", "gauge", about, ("connection",), samples)
    about = "When a certificate expires, in Unix time: of listeners, of backends and of ours towards them."
    yield from metric(
        "hookgate_certificate_not_after_seconds",
        "gauge",
        about,
        ("where", "connection", "name"),
        _certificates(listener, pools),
    )
    yield from metric(
        "hookgate_config_last_reload_successful",
        "gauge",
        "Whether the document that was read last went live.",
        (),
        [((), int(not status.get("refused", False)))],
    )
    yield from metric(
        "hookgate_config_last_reload_success_timestamp_seconds",
        "gauge",
        "When a document last went live, in Unix time.",
        (),
        [] if reloaded is None else [((), reloaded)],
    )
    about = "Things that /-/health names as wrong."
    yield from metric("hookgate_problems", "gauge", about, (), [((), len(status.get("problems", ())))])


def _certificates(listener: Mapping[str, Any], pools: list[tuple[str, Mapping[str, Any]]]) -> Iterator[Sample]:
    for name, until in listener.get("certificates", {}).items():
        yield ("listener", "", name), until
    for connection, pool in pools:
        for origin, until in (pool.get("certificates") or {}).items():
            if until is not None:
                yield ("backend", connection, origin), until
        if pool.get("client_certificate") is not None:
            yield ("client", connection, ""), pool["client_certificate"]
