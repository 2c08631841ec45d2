"""``hookgate trace``: find and read the traces of a running gateway, or watch new ones come."""

from __future__ import annotations

import http.client
import json as json_text
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote, urlencode, urlsplit

import typer
from rich.table import Table
from rich.text import Text

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import ask, errors, management_url, out, print_line, refused, table
from hookgate.exchange import printable
from hookgate_trace.shown import as_lines

PATIENCE = 30.0
"""Seconds to wait for the gateway; followers hear of it at least every 15."""
MISSING = "does not show its traces: write `gateway: {observers: [trace]}` and `management: {apps: [health, trace]}`"
LONGEST = 1024 * 1024
"""Bytes of a line that a gateway sends to followers."""


def _filter(name: str, text: str) -> Any:
    return typer.Option(f"--{name}", help=text)


class Read(Command[Options]):
    """Find and read the traces of a running gateway, or watch new ones come."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `trace`."""
        commands.command("trace")(command)


def command(
    identifier: Annotated[str | None, typer.Argument(metavar="ID", help="Show this one, whole.")] = None,
    path: Annotated[list[str] | None, _filter("path", "Path, with what is below it; * is anything.")] = None,
    status: Annotated[list[str] | None, _filter("status", "Status: 404, 5xx or none.")] = None,
    method: Annotated[list[str] | None, _filter("method", "Method of the request.")] = None,
    route: Annotated[list[str] | None, _filter("route", "Name of the route.")] = None,
    api: Annotated[list[str] | None, _filter("api", "Name of the API.")] = None,
    api_version: Annotated[list[str] | None, _filter("api-version", "Version of the API.")] = None,
    application: Annotated[list[str] | None, _filter("application", "Name of the calling application.")] = None,
    environment: Annotated[list[str] | None, _filter("environment", "Name of the environment.")] = None,
    outcome: Annotated[list[str] | None, _filter("outcome", "ok, aborted, broken and so on.")] = None,
    reason: Annotated[list[str] | None, _filter("reason", "Why it was traced: header, sample or a rule.")] = None,
    fault: Annotated[list[str] | None, _filter("fault", "Reason of the fault, such as rate-limited.")] = None,
    correlation: Annotated[
        list[str] | None, _filter("correlation", "Id of the call, X-Request-Id or trace id of traceparent.")
    ] = None,
    slower: Annotated[str | None, _filter("slower", "Milliseconds the call took at least.")] = None,
    since: Annotated[str | None, _filter("since", "10m ago, or a time (RFC 3339).")] = None,
    until: Annotated[str | None, _filter("until", "Likewise.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, max=500, help="How many; 50 unless said.")] = None,
    before: Annotated[int | None, typer.Option("--before", min=1, help="The next page, by the number told.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show new ones as they come, until Ctrl+C.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Whole traces; with --json for export.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, as /-/traces has it.")] = False,
    management: Annotated[
        str | None,
        typer.Option("--management", help="URL of the management listener. Default: $HOOKGATE_MANAGEMENT_URL."),
    ] = None,
) -> None:
    """Show the traces that a running gateway has kept, newest first; with ID, all that happened in one call.

    The gateway has to have the observer `trace` and the app `trace`. Filters given again are alternatives. Exit code 1
    if there is no such trace; 3 if no gateway answers.
    """
    asked: list[tuple[str, str]] = []
    for name, values in (
        ("path", path),
        ("status", status),
        ("method", method),
        ("route", route),
        ("api", api),
        ("version", api_version),
        ("application", application),
        ("environment", environment),
        ("outcome", outcome),
        ("reason", reason),
        ("fault", fault),
        ("correlation", correlation),
    ):
        asked += [(name, value) for value in values or ()]
    of_time = {"slower": slower, "since": since, "until": until}
    asked += [(name, value) for name, value in of_time.items() if value is not None]
    paged = [(name, str(value)) for name, value in (("limit", limit), ("before", before)) if value is not None]
    url = management_url(management)
    if identifier is not None:
        if asked or paged or follow or full:
            raise typer.BadParameter("a trace that is named needs no filters, no --follow and no --full")
        _one(url, identifier, json=json)
    elif follow:
        if paged or full or since or until:
            raise typer.BadParameter("--follow shows what is still to come: leave out times, pages and --full")
        _follow(url, asked, json=json)
    else:
        _list(url, [*asked, *paged], full=full, json=json)


def _one(url: str, identifier: str, *, json: bool) -> None:
    document = _asked(url, f"/-/traces/{quote(identifier, safe='')}", ())
    if json:
        out.print_json(data=document)
    else:
        _show(document)


def _list(url: str, query: Sequence[tuple[str, str]], *, full: bool, json: bool) -> None:
    page = _asked(url, "/-/traces", [*query, *((("full", "true"),) if full else ())])
    found = page["traces"]
    if json:
        out.print_json(data=page)
    elif full:
        for number, each in enumerate(found):
            if number:
                out.print("─" * 80)
            _show(each["trace"])
    elif found:
        out.print(_table(found))
    if page["trouble"]:
        errors.print(printable(f"the gateway cannot keep traces: {page['trouble']}"), style="red")
    if page["lost"]:
        errors.print(f"{page['lost']} traces were lost")
    if page["next"] is not None and not json:
        errors.print(f"more with --before {page['next']}")
    if not found:
        errors.print("no trace matches" if query else "there are no traces")
        raise typer.Exit(1)


def _show(document: Mapping[str, Any]) -> None:
    for line in as_lines(document):
        print_line(line)


def _table(traces: Sequence[Mapping[str, Any]]) -> Table:
    """Make a table with a line for each trace."""
    titles = ("time", "status", "ms", "call", "route", "why", "id")
    drawn = table(titles, map(_cells, traces), whole=("time", "ms", "call", "id"))
    drawn.columns[2].justify = "right"
    return drawn


def _cells(trace: Mapping[str, Any]) -> list[Text]:
    time = datetime.fromtimestamp(trace["time"], UTC).strftime("%m-%d %H:%M:%S.%f")[:-3]
    status = trace["status"]
    colour = "dim" if status is None else "green" if status < 400 else "yellow" if status < 500 else "red"
    fault = f" {trace['fault']}" if trace["fault"] else ""
    outcome = f" {trace['outcome']}" if trace["outcome"] != "ok" else ""
    api = f"{trace['api']} {trace['version'] or ''}".strip() if trace["api"] else trace["route"] or "-"
    cells = (
        (time, ""),
        (f"{status or '-'}{fault}{outcome}", colour),
        (f"{trace['milliseconds']:,.1f}", ""),
        (f"{trace['method']} {trace['path']}", ""),
        (api, ""),
        (trace["reason"], "dim"),
        (trace["id"], "dim"),
    )
    return [Text(printable(text), style=style) for text, style in cells]


def _follow(url: str, query: Sequence[tuple[str, str]], *, json: bool) -> None:
    try:
        for kind, data in _events(url, query):
            if kind == "dropped":
                errors.print(f"{data['dropped']} traces came too fast and were left out")
            elif json:
                print(json_text.dumps(data), flush=True)
            else:
                out.print(Text("  ").join(_cells(data)))
    except KeyboardInterrupt:
        return
    errors.print("the gateway has ended this: it stops, or keeps its traces elsewhere now")


def _events(url: str, query: Sequence[tuple[str, str]]) -> Iterator[tuple[str, Any]]:
    """Read server-sent events until the gateway ends them."""
    place = urlsplit(url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    try:
        if place.scheme not in ("http", "https") or not place.hostname:
            raise ValueError(f"{url!r} cannot be called: write an absolute http or https URL")
        connection = kind(place.hostname, place.port, timeout=PATIENCE)
    except ValueError as error:
        raise MachineError(f"no gateway answers on {url}: {error}") from error
    try:
        connection.request("GET", f"{place.path}/-/traces/follow{'?' if query else ''}{urlencode(query)}")
        answer = connection.getresponse()
        if answer.status != 200:
            refused(url, answer.status, _document(answer.read(LONGEST)), MISSING)
        event = ""
        while line := answer.readline(LONGEST):
            name, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                yield event, json_text.loads(value)
    except TimeoutError as error:
        raise MachineError(f"{url} has been silent for {PATIENCE:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise MachineError(f"no gateway answers on {url}: {error}") from error
    finally:
        connection.close()


def _asked(url: str, page: str, query: Sequence[tuple[str, str]]) -> Any:
    """Ask a gateway for a page."""
    _, status, document = ask(url, page, query)
    return document if status == 200 and document is not None else refused(url, status, document, MISSING)


def _document(body: bytes) -> Any:
    try:
        return json_text.loads(body)
    except ValueError:
        return None
