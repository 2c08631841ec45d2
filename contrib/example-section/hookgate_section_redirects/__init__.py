"""Old paths and where they lead now."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from hookgate import Options, Section, Site, hookimpl
from hookgate.routeconfig import RouteConfig


class Redirect(Options):
    """An old path, and where it leads now."""

    source: str
    """Path that clients ask for; `*` and `{variables}` as in the `path` of a route."""
    target: str = Field(min_length=1)
    """Where they are sent."""
    status: Literal[301, 302, 307, 308] = 308
    """How."""


class Redirects(Section[Redirect]):
    """Old paths and where they lead now; each becomes a route."""

    shape, kind, key = "list", "redirect", ("source",)

    @hookimpl
    def routes(self, site: Site) -> Iterator[RouteConfig | None]:
        """Make a route that answers, for each."""
        for item in self.items:
            step = {"redirect": {"to": item.record.target, "status": item.record.status}}
            route = {"name": f"redirect {item.name[1:] or 'home'}".replace("/", " "), "match": {"path": item.record.source}}
            yield site.route({**route, "flow": [step]}, item.path, {"match": "source", "flow": "target"})
