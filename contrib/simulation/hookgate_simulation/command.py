"""``hookgate simulate``: take one call through a document without a network, and show what happened."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from hookgate import Command, ConfigError, Headers, Identity, Options, Problem, hookimpl
from hookgate.commands import DocumentArgument, configuration, document_path, out
from hookgate.exchange import TOKEN
from hookgate_simulation import Call, Mock, mocks_in, recorded, simulate
from hookgate_simulation.shown import show

_NOT_IN_TARGET = re.compile(r"[^!-~]|#")
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_EXAMPLE = "write a method and a path, such as 'GET /orders?page=2'"
_URL = re.compile(r"(https?)://([^/?#@]+)(?=[/?#]|$)", re.IGNORECASE)


class Caller(Options):
    """Who calls, as `--identity` says it."""

    subject: str
    method: str = ""
    roles: tuple[str, ...] = ()
    claims: dict[str, Any] = {}
    application: str | None = None


class Simulate(Command[Options]):
    """Take one call through a document without a network."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `simulate`."""
        commands.command("simulate")(command)


def command(
    document: DocumentArgument = None,
    request: Annotated[
        str,
        typer.Option(
            "--request",
            metavar="'METHOD PATH'",
            help="The call, such as 'POST /orders?x=1' or 'GET https://shop.example/orders'.",
        ),
    ] = "GET /",
    header: Annotated[
        list[str] | None,
        typer.Option("--header", "-H", metavar="'NAME: VALUE'", help="A header of it; may be given again and again."),
    ] = None,
    body: Annotated[str, typer.Option(metavar="TEXT", help="Its body, or @FILE for the bytes of a file.")] = "",
    client: Annotated[str, typer.Option(metavar="IP", help="The IP address it comes from.")] = "127.0.0.1",
    https: Annotated[bool, typer.Option("--https", help="As if it came over TLS.")] = False,
    identity: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|JSON",
            help="Who calls, as if every method of authentication had found that out: a subject, or JSON with subject, "
            "method, roles, claims, application.",
        ),
    ] = None,
    upstream: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What backends answer: a list of {match: {connection, method, path}, response: {status, headers, "
            "body or json}}, or fault: connect-failed, timeout or broken in the place of response. The first that "
            "matches counts. With match: {url} an entry is for calls by URL amid the call. Without it they answer 200 "
            "and tell what they received.",
        ),
    ] = None,
    recording: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A recording that answers where no entry of --upstream does: a HAR file, or the trace of a live call.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take one call through the real flow of a document without a network, and show every hook with what it did.

    The clock stands still, counters start at zero, monitors, discovery and observers do not run, and calls by URL amid
    the call are refused unless --upstream or --recording has an answer. What else a step does, such as writing to a
    file of its own, it really does. Secrets in headers and queries are masked. Exit code 0 whatever the answer is.
    """
    problems: list[Problem] = []
    call = _call(request, header or [], body, client, problems)
    call = replace(call, scheme="https" if https else call.scheme, identity=_identity(identity, problems))
    mocks = _read(upstream, "--upstream", mocks_in, problems)
    replayed = _read(recording, "--recording", recorded, problems)
    path = document_path(document)
    if problems:
        raise ConfigError(problems)
    answers = None if mocks is None and replayed is None else [*(mocks or ()), *(replayed or ())]
    result = asyncio.run(simulate(configuration(path), call, answers))
    if json:
        out.print_json(data=result.as_dict())
    else:
        show(result)


def _call(request: str, headers: list[str], body: str, client: str, problems: list[Problem]) -> Call:
    """Make the call of what was typed, and note what is wrong with it."""
    method, target, scheme, host = _request_line(request, problems)
    path, _, query = target.partition("?")
    fields = [_header(index, header, problems) for index, header in enumerate(headers)]
    if host:
        if any(field is not None and field[0].lower() == "host" for field in fields):
            problems.append(Problem((), "the URL names the host already; leave out the header Host", "--request", 1, 1))
        fields.append(("Host", host))
    try:
        ip_address(client)
    except ValueError:
        problems.append(Problem((), f"{client!r} is no IP address; write one such as 10.0.0.1", "--client", 1, 1))
    return Call(method, path, query, tuple(field for field in fields if field), _body(body, problems), client, scheme)


def _identity(given: str | None, problems: list[Problem]) -> Identity | None:
    """Take a subject, or an object with what else is known of whoever calls."""
    if given is None:
        return None
    if not given.lstrip().startswith("{"):
        if not given.strip():
            problems.append(Problem((), "the subject is missing; write a name, or JSON", "--identity", 1, 1))
        return Identity(given)
    try:
        caller = Caller.model_validate_json(given)
    except ValidationError as error:
        for each in error.errors(include_url=False, include_input=False):
            place = ".".join(map(str, each["loc"]))
            problems.append(Problem((), f"{place + ': ' if place else ''}{each['msg']}", "--identity", 1, 1))
        return None
    return Identity(caller.subject, caller.method, caller.roles, caller.claims, caller.application)


def _request_line(line: str, problems: list[Problem]) -> tuple[str, str, Any, str]:
    """Take method and target apart, and off the target what stands in front of the path in a URL."""

    def refuse(column: int, message: str) -> None:
        problems.append(Problem((), message, "--request", 1, column))

    method, space, target = line.partition(" ")
    url = _URL.match(target)
    path = target if url is None else target[url.end() :] or "/"
    good = TOKEN.match(method)
    if not method or method.startswith("/"):
        refuse(1, f"the method is missing; {_EXAMPLE}")
    elif good is None or good.end() < len(method):
        end = good.end() if good is not None else 0
        refuse(end + 1, f"{method[end]!r} does not belong into a method (RFC 9110, 5.6.2); {_EXAMPLE}")
    elif not target:
        refuse(len(line) + 1, f"the path is missing; {_EXAMPLE}")
    elif not path.startswith("/"):
        hint = ", and a URL with http:// or https://" if "://" in target else ""
        refuse(len(method) + 2, f"the path begins with /{hint}; {_EXAMPLE}")
    elif (bad := _NOT_IN_TARGET.search(target)) is not None:
        why = "a fragment is never sent" if bad[0] == "#" else f"{bad[0]!r} must be percent-encoded in a URL"
        refuse(len(method) + len(space) + bad.start() + 1, f"{why}; {_EXAMPLE}")
    if url is None:
        return method, path, "http", ""
    return method, path, url[1].lower(), url[2]


def _header(index: int, line: str, problems: list[Problem]) -> tuple[str, str] | None:
    """Take a header apart. Messages do not repeat the value, which may be a secret."""

    def refuse(column: int, message: str) -> None:
        problems.append(Problem((), message, f"--header[{index}]", 1, column))

    name, colon, value = line.partition(":")
    good = TOKEN.match(name)
    end = good.end() if good is not None else 0
    if end < len(name):
        refuse(end + 1, "a header name is one word (RFC 9110, 5.1); write 'Name: value'")
    elif not name:
        refuse(1, "the name is missing; write 'Name: value'")
    elif not colon:
        refuse(len(line) + 1, "':' and a value are missing; write 'Name: value'")
    elif name.lower() in _FRAMING:
        refuse(1, f"leave out {name}: it follows from --body")
    else:
        try:
            Headers({name: value})
        except ValueError as error:
            refuse(len(name) + 2, str(error))
        else:
            return name, value.strip(" \t")
    return None


def _body(text: str, problems: list[Problem]) -> bytes:
    if not text.startswith("@"):
        return text.encode(errors="surrogateescape")  # the very bytes that were typed
    return _file(Path(text[1:]), "--body", problems)


def _read(
    file: Path | None, option: str, reader: Callable[[bytes, str], list[Mock]], problems: list[Problem]
) -> list[Mock] | None:
    if file is None:
        return None
    noted = len(problems)
    data = _file(file, option, problems)
    if len(problems) > noted:
        return None
    try:
        return reader(data, str(file))
    except ConfigError as error:
        problems += error.problems
        return None


def _file(path: Path, option: str, problems: list[Problem]) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}; name a file"
        problems.append(Problem((option,), message, str(path), outside=True))
        return b""
