"""``hookgate register``: what a backend runs beside itself, or is run by, to be a host of a connection."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

import typer

from hookgate import Command, ConfigError, MachineError, Options, Response, Source, hookimpl
from hookgate.commands import start_logging
from hookgate.gateway import Gateway
from hookgate_registration.hosts import parts_of
from hookgate_registration.program import NOT_FOUND, NOT_STARTED, Program
from hookgate_registration.sidecar import PATIENCE, Health, Refused, Sidecar, Wanted

log = logging.getLogger("hookgate.register")

SECRET = "HOOKGATE_REGISTER_SECRET"  # noqa: S105 - the name of a variable
FAILED, REFUSED = 1, 2
STOPS = (signal.SIGTERM, signal.SIGINT)
PASSED_ON = (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class RegisterCommands(Command[Options]):
    """Register a host at a gateway for as long as it runs."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `register`."""
        commands.command("register")(register)


class _Said(Source[Options]):
    """The document that the options of the command come to."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__(Options())
        self._document = document

    @hookimpl
    async def read(self) -> Mapping[str, Any]:
        """Return it."""
        return self._document


def register(
    gateway: Annotated[str, typer.Option("--with", metavar="URL", help="The gateway, where its clients call it.")],
    connection: Annotated[str, typer.Option("--connection", help="The connection that the host joins.")],
    endpoint: Annotated[str, typer.Option("--endpoint", metavar="URL", help="Where the gateway calls the host.")],
    program: Annotated[
        list[str] | None, typer.Argument(metavar="[-- PROGRAM ARGUMENTS]", show_default=False, help="What to run.")
    ] = None,
    weight: Annotated[int, typer.Option(min=0, max=1000, help="Share of the calls.")] = 1,
    user: Annotated[str, typer.Option("--user", help="Show this user and the secret as password (Basic).")] = "",
    key_id: Annotated[str, typer.Option("--key-id", help="Sign with the secret as key of this id.")] = "",
    algorithm: Annotated[str, typer.Option("--algorithm", help="How to sign.")] = "hmac-sha256",
    secret_file: Annotated[
        Path | None,
        typer.Option("--secret-file", help=f"File with the secret; ${SECRET} if left out. A new one is taken at once."),
    ] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="Authorities that the gateway's are among.")] = None,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="Show a password or token over http, which others may read.")
    ] = False,
    path: Annotated[str, typer.Option("--path", help="Where the routes of the section registration stand.")] = (
        "/api/http/{connection}/hosts"
    ),
    health: Annotated[str, typer.Option("--health", metavar="URL", help="Register while this answers below 400.")] = "",
    interval: Annotated[float, typer.Option("--interval", min=0.05, max=3600, help="Seconds between checks.")] = 5.0,
    fails: Annotated[int, typer.Option("--fails", min=1, max=1000, help="Bad checks until it is taken out.")] = 3,
    every: Annotated[
        float, typer.Option("--every", min=0.05, max=86400, help="Seconds to register again after without a lease.")
    ] = 30.0,
    drain: Annotated[
        float, typer.Option("--drain", min=0, max=3600, help="Seconds between taking it out and ending the program.")
    ] = 0.0,
) -> None:
    """Register a host at a gateway, renew its lease, and take it out on SIGTERM, Ctrl-C, or when it is not well.

    With a program behind `--`, register while that runs, pass signals on to it, and end with its exit code. Otherwise:
    0 ended as asked, 1 ended without taking the host out, 2 refused by the gateway, 3 no secret.
    """
    start_logging()
    logging.getLogger("hookgate").setLevel(logging.WARNING)
    log.setLevel(logging.INFO)
    base = _checked(gateway, endpoint, path, health)
    document = _document(base, _secret(secret_file), user, key_id, algorithm, ca_file, plain_http)
    wanted = Wanted(endpoint, connection, weight, every)
    place = (base.path.rstrip("/") + path).replace("{connection}", quote(connection, safe=""))
    raise typer.Exit(asyncio.run(_run(_Said(document), place, wanted, (health, interval, fails), drain, program or [])))


def _checked(gateway: str, endpoint: str, path: str, health: str) -> Any:
    for what, url in (("--with", gateway), ("--health", health)):
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.fragment):
            raise typer.BadParameter(
                f"{what}: {url!r} is no URL http://host or https://host, without user and password"
            )
    try:
        parts_of(endpoint)
    except ValueError as error:
        raise typer.BadParameter(f"--endpoint: {error}") from None
    if not path.startswith("/") or "{connection}" not in path:
        raise typer.BadParameter("--path begins with / and has {connection}")
    return urlsplit(gateway)


def _secret(file: Path | None) -> str:
    """Return a reference to the secret, which so is followed as all are, and shown nowhere."""
    if file is not None:
        if not file.is_file() or "}" in str(file.absolute()):
            raise MachineError(f"there is no file {file} with the secret, or its name has a brace")
        return f"${{file:{file.absolute()}}}"
    if not os.environ.get(SECRET):
        raise MachineError(f"there is no secret: name a file by --secret-file, or set {SECRET}")
    return f"${{env:{SECRET}}}"


def _document(
    base: Any, secret: str, user: str, key_id: str, algorithm: str, ca_file: Path | None, plain_http: bool
) -> dict[str, Any]:
    if user and key_id:
        raise typer.BadParameter("--user and --key-id: write one of them, or neither for a bearer token")
    if not key_id and base.scheme == "http" and not plain_http and not _is_here(base.hostname):
        raise typer.BadParameter(
            "--with: a password or token is not shown over http: write https, sign with --key-id, or allow it by "
            "--plain-http where nobody else listens"
        )
    auth: dict[str, Any]
    if key_id:
        auth = {"signature": {"algorithm": algorithm, "key": secret, "key_id": key_id}}
    else:
        auth = {"basic": {"username": user, "password": secret}} if user else {"bearer": {"token": secret}}
    way: dict[str, Any] = {"targets": f"{base.scheme}://{base.netloc}", "auth": [auth]}
    if ca_file is not None:
        way["tls"] = {"ca_file": str(ca_file.absolute())}
    return {"connections": {"gateway": way}}


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def _run(
    said: _Said,
    place: str,
    wanted: Wanted,
    asked: tuple[str, float, int],
    drain: float,
    words: list[str],
) -> int:
    house = Gateway(said)
    try:
        await house.open()
    except ConfigError as error:
        told = (
            f"{problem.path[-1]} {problem.message}" if problem.path else problem.message for problem in error.problems
        )
        raise typer.BadParameter("; ".join(told)) from None
    try:
        health = None
        if asked[0]:

            async def ask(patience: float) -> Response:
                return await house.http.request("GET", asked[0], timeout=patience)

            health = Health(ask, asked[1], asked[2])

        async def call(action: str, body: Mapping[str, Any], patience: float) -> Response:
            headers = {"content-type": "application/json", "accept": "application/json"}
            sent = json.dumps(body).encode()
            answer: Response = await house.connection("gateway").request(
                "POST", f"{place}/{action}", headers=headers, body=sent, timeout=min(patience, PATIENCE)
            )
            return answer

        return await _kept(Sidecar(call, wanted, health), drain, words)
    finally:
        await house.close(0)


async def _kept(sidecar: Sidecar, drain: float, words: list[str]) -> int:
    """Keep a host registered until something ends it; return the exit code."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()
    program: Program | None = None

    def heard(number: int) -> None:
        if not stopped.done() and (number in STOPS or program is None):
            stopped.set_result(number)
        elif program is not None:  # one that is passed on, or said twice
            program.tell(number)

    for number in (*STOPS, *PASSED_ON):
        loop.add_signal_handler(number, heard, number)
    if words:
        try:
            program = await Program.start(words, without=[SECRET])
        except OSError as error:
            log.error("%s cannot be started: %s", words[0], error.strerror)  # noqa: TRY400 - the text says it all
            return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_STARTED
    kept = asyncio.create_task(sidecar.keep(stays=program is not None), name="keep registered")
    ended = None if program is None else asyncio.create_task(program.ended(), name="program")
    await asyncio.wait({each for each in (kept, ended, stopped) if each}, return_when=asyncio.FIRST_COMPLETED)
    refused = kept.exception() if kept.done() else None
    kept.cancel()
    await asyncio.gather(kept, return_exceptions=True)
    if refused is not None and not isinstance(refused, Refused):
        if program is not None:
            program.tell(signal.SIGTERM)
        raise refused
    left = await sidecar.leave() if refused is None else True
    if program is None or ended is None:
        if refused is not None:
            log.error("%s", refused)
        return REFUSED if refused is not None else 0 if left else FAILED
    if not ended.done():
        await asyncio.wait({ended}, timeout=drain)
        program.tell(stopped.result())
    return await ended
