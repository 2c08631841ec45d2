"""``hookgate cache``: what a running gateway keeps, and out with it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hookgate import Command, Options, hookimpl
from hookgate.commands import ask, out, refused, table

MISSING = "does not show what it keeps: write `management: {apps: [health, cache]}`"
Management = Annotated[
    str | None,
    typer.Option("--management", help="URL of the management listener. Default: $HOOKGATE_MANAGEMENT_URL."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(
    name="cache", help="Show what a running gateway keeps of answers, and take it out.", no_args_is_help=True
)


class Cache(Command[Options]):
    """Show what a running gateway keeps of answers, and take it out."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add the group `cache`."""
        commands.add_typer(app)


@app.command("list")
def listing(json: AsJson = False, management: Management = None) -> None:
    """Show each step `cache` with the number of answers that it keeps, and the octets that these take."""
    found = _asked(management, "/-/cache", [], "GET")
    if json:
        out.print_json(data=found)
        return
    rows = [(each["step"], str(each["entries"]), str(each["octets"])) for each in found["caches"]]
    out.print(table(("step", "answers", "octets"), rows, whole=("step",)))


@app.command("purge")
def purge(
    tag: Annotated[str | None, typer.Option("--tag", help="Those with this tag.")] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Those of one URL, with scheme, host, path and query as clients ask.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    step: Annotated[str | None, typer.Option("--step", help="Only what this step keeps, by its id.")] = None,
    json: AsJson = False,
    management: Management = None,
) -> None:
    """Take answers out, by one of --tag, --url and --all.

    The gateway has to serve the app `cache`. Exit code 1 if there is no such step; 3 if no gateway answers.
    """
    named = [("tag", tag)] * (tag is not None) + [("url", url)] * (url is not None) + [("all", "true")] * everything
    if len(named) != 1:
        raise typer.BadParameter("say what is to go, by one of --tag, --url and --all")
    query = [(name, value or "") for name, value in named] + ([("step", step)] if step is not None else [])
    found = _asked(management, "/-/cache/purge", query, "POST")
    if json:
        out.print_json(data=found)
    else:
        out.print(f"{found['purged']} taken out")


def _asked(management: str | None, page: str, query: list[tuple[str, str]], method: str) -> Any:
    url, status, document = ask(management, page, query, method=method)
    if status == 200 and isinstance(document, dict):
        return document
    return refused(url, status, document, MISSING)
