"""Short texts at paths of their own."""

from collections.abc import Iterator

from pydantic import Field

from hookgate import Options, Route, Section, Site, hookimpl


class Banner(Options):
    """A text, and where it is shown."""

    path: str
    """Path that clients ask for."""
    text: str = Field(min_length=1)
    """What they read."""


class Banners(Section[Banner]):
    """Short texts at paths of their own."""

    shape, kind, key = "list", "banner", ("path",)

    @hookimpl
    def routes(self, site: Site) -> Iterator[Route | None]:
        """Make a route that answers, for each."""
        for number, item in enumerate(self.items):
            step = {"respond": {"body": item.record.text}}
            route = {"name": f"banner-{number}", "match": {"path": item.record.path}, "flow": [step]}
            yield site.route(route, item.path, {"match.path": "path"})
