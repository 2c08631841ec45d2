"""A section and a command in one file of a site's folder."""

from hookgate import Command, Options, Section, hookimpl


class Poster(Options):
    """A text, and where it hangs."""

    path: str
    """Path that clients ask for."""


class Posters(Section[Poster]):
    """Texts that hang somewhere, by what they say."""

    @hookimpl
    def routes(self, site):
        """Make a route that answers, for each."""
        for item in self.items:
            step = {"respond": {"body": item.name}}
            route = {"name": f"poster-{item.name}", "match": {"path": item.record.path}, "flow": [step]}
            yield site.route(route, item.path, {"match.path": "path"})


class Glue(Command[Options]):
    """Says that a poster is glued."""

    @hookimpl
    def add_commands(self, commands):
        """Add `glue`."""

        @commands.command("glue")
        def glue(name: str) -> None:
            """Glue a poster to the wall."""
            print(name, "is on the wall")
