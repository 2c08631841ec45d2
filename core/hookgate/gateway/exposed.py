"""Apps on the public listener: what a document says of those behind a flow, and the routes that it comes to.

What stands under the path of an app is no route's: apps are asked first, the longest path of them before the others.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, NamedTuple, Protocol

from pydantic import Discriminator, Tag

from hookgate.connections.destination import Destination
from hookgate.contract.duration import PositiveDuration
from hookgate.contract.families import App
from hookgate.contract.metadata import Described
from hookgate.document.entries import Interceptors
from hookgate.document.inside import SIDES
from hookgate.exchange.errors import NotFound, Path, Problem
from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import Response
from hookgate.flow.paths import Template, normalise, parse
from hookgate.flow.record import Name, RouteLimitsSection
from hookgate.flow.router import Route, Router
from hookgate.flow.routes import RouteConfig
from hookgate.gateway.site import LoadingSite

_ENTRY, _RECORD = "<entry>", "<record>"
"""Names that pydantic puts into the places of mistakes; no key of a document is called so."""


class ExposedSection(Described):
    """An app behind a flow: calls under its path take the way of a route, and the app is its destination."""

    app: App[Any]
    """Which app."""
    name: Name | None = None
    """What logs, metrics and traces call it; `expose` and the path if left out."""
    flow: Interceptors = ()
    """Steps right of those in `gateway.flow`."""
    request: Interceptors = ()
    """Steps on the way in only, right of those in `flow`."""
    response: Interceptors = ()
    """Steps on the way out only, right of those in `flow`."""
    timeout: PositiveDuration | None = 60.0
    """Seconds until the answer is complete, or until its head where it is an event stream; null for no bound."""
    limits: RouteLimitsSection = RouteLimitsSection()
    """What differs from `gateway.limits`."""


class Placed(NamedTuple):
    """An app behind a flow, and where it stands."""

    prefix: str
    plugin: App[Any]
    timeout: float | None
    longest: int | None
    """Bytes of a request body that the document wants it to take, if it says so."""
    bridge: Bridge


class Bridge(Protocol):
    """The part ``bridge`` of the house: gives calls that have passed a flow to an app."""

    def destination(self, placed: Placed, said: Destination) -> Callable[[Exchange], Awaitable[Response]]:
        """Make what a route sends its calls to in the place of a backend."""

    def pages(self, placed: Placed) -> Any:
        """Make the ASGI app of an app, without its pages."""


def _form(written: object) -> str:
    """Tell an entry of an app from the form with a flow, also where that has a mistake in it."""
    if isinstance(written, Mapping):
        several = len(written) > 1 or "app" in written
        return _RECORD if several or not ExposedSection.model_fields.keys().isdisjoint(written) else _ENTRY
    return _RECORD if isinstance(written, ExposedSection) else _ENTRY


Exposed = Annotated[Annotated[App[Any], Tag(_ENTRY)] | Annotated[ExposedSection, Tag(_RECORD)], Discriminator(_form)]
"""An app, alone or behind a flow."""


def apps_alone(expose: Mapping[str, Any]) -> dict[str, App[Any]]:
    """Return the apps that calls reach without a flow, by their path."""
    return {prefix: app for prefix, app in expose.items() if not isinstance(app, ExposedSection)}


def routes_of(expose: Mapping[str, Any], site: LoadingSite) -> Iterator[RouteConfig]:
    """Make the routes of apps behind a flow; mistakes are noted."""
    for prefix, exposed in expose.items():
        if not isinstance(exposed, ExposedSection) or not hasattr(exposed, "app"):  # it was disabled, which is refused
            continue
        path: Path = ("gateway", "expose", prefix)
        if _template(prefix) is None or normalise(prefix) != prefix:
            site.problem(path, f"{prefix!r} is no path of plain segments, such as /status", at_key=True)
            continue
        bridge: type[Bridge] | None = site.part("bridge", path, "an app behind a flow")
        if bridge is None:
            continue
        lists = {side: getattr(exposed, side) for side in SIDES}
        steps = site.flow(lists, path, f"gateway.expose{prefix}", scope="route")
        said = {
            "name": exposed.name or f"expose {prefix}",
            "match": {"path": f"{prefix}/*"},
            "limits": exposed.limits,
            "labels": exposed.labels,
            **exposed.extensions,
        }
        made = site.route(said, path, steps=steps)
        if made is not None:
            yield replace(made, app=Placed(prefix, exposed.app, exposed.timeout, exposed.limits.request_body, bridge()))


def _template(prefix: str) -> Template | None:
    with suppress(ValueError):
        template = parse(prefix)
        if template.kind == "exact":
            return template
    return None


def hidden(expose: Iterable[str], routes: Iterable[Any]) -> Iterator[Problem]:
    """Warn of routes that no call can reach, since all of theirs go to an app."""
    for prefix in expose:
        if (above := _template(prefix)) is None:
            continue
        for route in routes:
            template: Template = route.route.template
            segments = template.segments[: len(above.segments)]
            if route.app is None and template.kind != "extension" and segments == above.segments:
                message = f"the app at {prefix} takes every call of the route {route.name!r}, which so never runs"
                yield Problem((*route.path, *(("match",) if route.path[0] == "routes" else ())), message)


class AppsFirst:
    """Finds the route of a call where apps stand behind a flow; in the place of a router."""

    def __init__(self, apps: Iterable[tuple[str, Route]], routes: Router) -> None:
        by_prefix = dict(apps)
        self._prefixes = tuple(by_prefix)
        self._apps = Router(list(by_prefix.values()))
        self._routes = routes

    def find(self, exchange: Exchange) -> Route:
        """Find the route of a call, as :meth:`Router.find` does."""
        if exchange.request.path.startswith(self._prefixes):
            with suppress(NotFound):
                return self._apps.find(exchange)
        return self._routes.find(exchange)
