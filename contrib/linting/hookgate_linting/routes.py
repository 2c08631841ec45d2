"""Routes that are written correctly and hardly meant so: where their calls go, and whether any get there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hookgate import Branch, FlowOptions, Interceptor, Loaded, Problem, Ways
from hookgate.flow import asked
from hookgate.http import BODILESS

_OF_OTHERS = re.compile(r"(?<=/):(\w+)(?=/|$)|<(?:\w+:)?(\w+)>|\$(\w{1,100})")
"""Variables as other systems write them."""
ANSWERS = frozenset({"answer", "target", "response.status"})
"""Effects of steps that may answer calls, or send them somewhere."""


def routes(configuration: Loaded) -> Iterator[Problem | None]:
    """Look at every route; ``None`` in between, so that calls can be served."""
    made: Any = configuration.routes
    known = [route for route in made if route.app is None]
    takers = _takers(known)
    told: set[tuple[str, str]] = set()
    for route in known:
        for rule, place, message in (
            *_goes_nowhere(configuration.flow, route),
            *_names_differ(route),
            *_as_text(route),
            *_hidden(route, takers),
            *_bodies(configuration.flow, route),
        ):
            if (rule, route.name) not in told:
                told.add((rule, route.name))
                yield Problem(place, f"{message} [{rule}]")
        yield None


def _bodies(common: FlowOptions, route: Any) -> Iterator[tuple[str, Any, str]]:
    """Tell what becomes of bodies where a destination names a method that is not that of the calls."""
    to, methods = route.section.to, route.route.methods
    method, _ = ("", "") if to is None or to.path is None else asked(to.path)
    others = {"POST", "PUT", "PATCH"} if methods is None else set(methods) - {method}
    place = (*route.path, "to", "path")
    if method in BODILESS and (carrying := sorted(others - BODILESS)):
        message = (
            f"the bodies of {', '.join(carrying)} are not sent, as {method} has none, nor are their Content-* headers"
        )
        yield "body-dropped", place, message
    if method in ("POST", "PUT", "PATCH") and methods is not None and others and others <= BODILESS:
        steps = [step for flow in (common, route.steps) for _, step in flow.ways().way_in]
        if not any("request.body" in step.writes or isinstance(step, Branch) for step in steps):
            message = f"{method} is sent with an empty body, as {', '.join(sorted(others))} brings none"
            yield "body-missing", place, f"{message}: place a step that writes one, or leave it so"


def _goes_nowhere(common: FlowOptions, route: Any) -> Iterator[tuple[str, Any, str]]:
    if route.section.to is None and not _may_answer(common) and not _may_answer(route.steps):
        message = (
            f"calls of the route {route.name!r} go nowhere: write `to`, or place a step that answers, such as respond"
        )
        yield "goes-nowhere", route.path, message


def _may_answer(flow: FlowOptions | Ways) -> bool:
    return any(_answers(step) for _, step in flow.ways().way_in)


def _answers(step: Interceptor[Any]) -> bool:
    """Whether a step may answer; of one that nothing is known of it is taken for true."""
    if isinstance(step, Branch):
        return any(map(_may_answer, step.branches.values()))
    return type(step).category == "custom" or not ANSWERS.isdisjoint(step.writes)


def _names_differ(route: Any) -> Iterator[tuple[str, Any, str]]:
    to, received = route.section.to, route.route.parameters
    if to is None or to.path is None or to.path_params == "by_name":
        return
    wanted = list(dict.fromkeys(part.partition("}")[0] for part in to.path.split("{")[1:]))
    for name, value in zip(wanted, received, strict=False):
        if name != value:
            message = f"{{{name}}} is filled with the value of {{{value}}}, since names count by their order: "
            message += "write the names of the match, or `path_params: by_name`"
            yield "names-differ", (*route.path, "to", "path"), message
            return


def _as_text(route: Any) -> Iterator[tuple[str, Any, str]]:
    to, received = route.section.to, route.route.parameters
    for match in _OF_OTHERS.finditer("" if to is None or to.path is None else to.path):
        name = match[1] or match[2] or match[3]
        if name.isdigit():
            name = received[int(name) - 1] if 0 < int(name) <= len(received) else ""
        if name in received:
            message = f"{match[0]!r} is no variable and is sent as it stands: write {{{name}}}"
            yield "variable-as-text", (*route.path, "to", "path"), message
            return


def _takers(known: Sequence[Any]) -> dict[tuple[Any, ...], list[Any]]:
    """Return the routes that take everything under a path of a host, by the segments of that path."""
    found: dict[tuple[Any, ...], list[Any]] = {}
    for route in known:
        each = route.route
        everything = each.template.kind in ("prefix", "catch-all") and each.methods is None and each.when is None
        if everything and each.host_pattern is not None:
            found.setdefault(each.template.segments, []).append(route)
    return found


def _hidden(route: Any, takers: dict[tuple[Any, ...], list[Any]]) -> Iterator[tuple[str, Any, str]]:
    template, own = route.route.template, route.route.host_pattern
    if template.kind == "extension":
        covering = takers.get((), [])
    else:
        shorter = range(len(template.segments) + (template.kind in ("exact", "template")))
        covering = [taker for length in shorter for taker in takers.get(template.segments[:length], ())]
    for taker in covering:
        if taker.name != route.name and _is_closer(taker.route.host_pattern, own):
            message = f"calls for {taker.route.host} never get to the route {route.name!r}: {taker.name!r} takes "
            message += f"everything at {taker.route.path} there; give {route.name!r} that host, too"
            yield "hidden-by-host", (*route.path, "match") if route.path[0] == "routes" else route.path, message


def _is_closer(pattern: Any, other: Any) -> bool:
    """Whether calls for a host are looked up there before they are looked up at the other one, which takes it, too."""
    if other is None:
        return True
    (_, name, port), (wildcard, above, its_port) = pattern, other
    return wildcard and its_port in ("", port) and pattern != other and f".{name}".endswith(f".{above}")
