"""``hookgate demo``: a gateway in front of a sample backend, to be played with."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from hookgate import Command, MachineError, Options, hookimpl
from hookgate.commands import Signals, errors, start_logging

HERE = Path(__file__).parent
console = Console(soft_wrap=True, highlight=False)


class Demo(Command[Options]):
    """Start a gateway in front of a sample backend, to play with."""

    @hookimpl
    def add_commands(self, commands: typer.Typer) -> None:
        """Add `demo`."""
        commands.command("demo")(command)


def command(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the gateway; 0 takes a free one.")] = 8080,
    management_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the management listener.")] = 8001,
) -> None:
    """Start two instances of a sample orders service, a gateway in front of them, and show every call.

    Prints what to try with curl; Ctrl-C stops everything.
    """
    start_logging("warning")
    logging.getLogger("hookgate.health").setLevel(logging.ERROR)  # the live line tells it better
    asyncio.run(_run(Signals(), port, management_port))


async def _run(signals: Signals, port: int, management_port: int) -> None:
    from hookgate.server import Server, gateway_for  # they bring Quart and Hypercorn
    from hookgate_demo.orders import orders_service

    async with AsyncExitStack() as stack:
        signals.listen()
        stack.callback(signals.ignore)
        errors.print("starting two instances of the orders service…")
        first = await stack.enter_async_context(orders_service("orders-a"))
        second = await stack.enter_async_context(orders_service("orders-b"))
        password = secrets.token_urlsafe(6)
        os.environ.update(
            HOOKGATE_DEMO_PORT=str(port),
            HOOKGATE_DEMO_MANAGEMENT_PORT=str(management_port),
            HOOKGATE_DEMO_FIRST=first,
            HOOKGATE_DEMO_SECOND=second,
            HOOKGATE_DEMO_PASSWORD=password,
        )
        errors.print("starting the gateway…")
        try:
            server = await stack.enter_async_context(
                Server(gateway_for(HERE / "demo.yaml", HERE / "site"), at_once=True)
            )
        except MachineError as error:
            raise MachineError(f"{error} (--port and --management-port; 0 takes a free one)") from error
        signals.obey(server)
        _say_what_to_try(server.urls[0], server.management_urls[0], first, password)
        await server.until_stopped()
        errors.print("\nstopping…")


def _say_what_to_try(url: str, management: str, first: str, password: str) -> None:
    tries = [
        ("two backends take turns, 2 to 1", f"curl -s {url}/orders"),
        ("a call without credentials is refused", f'curl -si {url}/orders -d \'{{"item": "tea"}}\''),
        ("the same with them", f'curl -s -u demo:{password} {url}/orders -d \'{{"item": "tea"}}\''),
        ("an answer without a backend", f"curl -s {url}/hello"),
        ("the limit: 20 calls in 10 seconds", f"for i in $(seq 25); do curl -so /dev/null {url}/orders; done"),
        (
            "what a browser asks first (CORS)",
            (
                f"curl -si -X OPTIONS {url}/orders -H 'Origin: https://shop.example' "
                "-H 'Access-Control-Request-Method: POST'"
            ),
        ),
        (
            "make one backend fail; after two failed checks, about 3 seconds, it leaves the rotation",
            f"curl -s -X POST {first}/fail",
        ),
        (
            "have it recover; it is back after the next check, in 4 seconds at most",
            f"curl -s -X POST {first}/recover",
        ),
        ("how everything is", f"curl -s {management}/-/health"),
    ]
    console.rule(f"hookgate on {url}", style="green")
    for meaning, line in tries:
        console.print(Text(f"# {meaning}", style="dim"))
        console.print(Text(line))  # without a frame, so that it can be copied as it is
    console.print(Text(f"\nThe document is {HERE / 'demo.yaml'}\nCtrl-C stops everything.", style="dim"))
    console.rule(style="green")
    console.print(Text("time      status     ms  target           call, and the steps it passed", style="dim"))
