"""Time limits that never act: another one, in their place or above them, always ends the call sooner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hookgate import Loaded, Problem

RULE = "limit-never-acts"


def times(configuration: Loaded) -> Iterator[Problem]:
    """Compare what connections say with what the routes that call them say."""
    whole: Any = configuration
    routes: dict[str, list[Any]] = {}
    for route in whole.routes:
        if (to := route.section.to) is not None:
            routes.setdefault(to.connection, []).append(route)
    others = _texts([vars(plugin.options) for plugin in whole.instances.values() if hasattr(plugin, "options")])
    cap = whole.gateway.timeout_cap
    for item in configuration.sections["connections"].items:
        calling = routes.get(item.name, [])
        if calling and item.name not in others:  # how long a step waits for what it calls, nobody knows here
            yield from _of_connection(item, calling)
        yield from _of_routes(item, calling, cap)


def _of_connection(item: Any, calling: Sequence[Any]) -> Iterator[Problem]:
    """Find what all of the routes that call a connection end sooner."""
    said = item.record.timeouts
    for place, value in (
        *(((*item.path, "timeouts", name), getattr(said, name)) for name in said.model_fields_set),
        ((*item.path, "pool", "queue_timeout"), item.record.pool.queue_timeout),
    ):
        streams = place[-1] == "read" and any(route.section.to.stream for route in calling)
        ends = [_end(route.section.to.timeout, said, place[-1] != "request") for route in calling]
        if value is None or streams or not all(end is not None and end[0] < value for end in ends):
            continue
        longest, why = max(end for end in ends if end is not None)
        message = f"{value:g} s never pass, as {why} ends calls after {longest:g} s: write less here, or leave it out"
        if place[-1] == "read":
            message += "; if it is for event streams, say `stream: true` in `to` of their route"
        yield Problem(place, f"{message} [{RULE}]")


def _end(timeout: float | None, said: Any, with_request: bool) -> tuple[float, str] | None:
    """Return after how many seconds a call of a route ends at the latest, and what says so; ``None`` for never."""
    ends = [] if timeout is None else [(timeout, "the time limit of its routes")]
    if with_request and said.request is not None and (timeout is None or "request" in said.model_fields_set):
        ends.append((said.request, "timeouts.request"))
    return min(ends, default=None)


def _of_routes(item: Any, calling: Sequence[Any], cap: float | None) -> Iterator[Problem]:
    """Find limits of routes that are above that of the one attempt a call has."""
    record = item.record
    bound = record.timeouts.request if "request" in record.timeouts.model_fields_set else None
    if bound is None or record.max_tries > 1 or record.auth or record.headers:  # these take time before the attempt
        return
    told: set[tuple[Any, ...]] = set()
    for route in calling:
        timeout, api = route.section.to.timeout, route.api
        if timeout is None or timeout <= bound or (api is not None and timeout == cap):  # nobody has written that
            continue
        what = (api.name, api.version, timeout) if api is not None else (route.name,)
        if what not in told:
            told.add(what)
            place = route.path if api is not None else (*route.path, "to", "timeout")
            passing = f"the {timeout:g} s of to.timeout here or above" if api is not None else f"{timeout:g} s"
            message = f"{passing} never pass, as timeouts.request of the connection {item.name} ends calls after "
            message += f"{bound:g} s: write less, or leave that out"
            yield Problem(place, f"{message} [{RULE}]")


def _texts(value: object) -> set[str]:
    """Return every text in the options of plugins, which may be the name of a connection."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, Mapping):
        return set().union(*map(_texts, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return set().union(*map(_texts, value))
    return _texts(vars(value)) if hasattr(value, "model_fields_set") else set()
