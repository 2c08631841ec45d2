"""``hookgate reload``: have a running gateway read its document again."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated

import typer

from hookgate.client import Client
from hookgate.commands.output import errors, out
from hookgate.exchange.errors import Fault, MachineError
from hookgate.exchange.messages import Response
from hookgate.server.settings import Settings


def command(
    management: Annotated[
        str | None,
        typer.Option("--management", help="URL of the management listener. Default: $HOOKGATE_MANAGEMENT_URL."),
    ] = None,
) -> None:
    """Have a running gateway read its document again. Exit code 2 if it refuses it."""
    url = (management or Settings().management_url).rstrip("/")
    answer = asyncio.run(_post(f"{url}/-/reload"))
    try:
        told = json.loads(answer.body.data)
    except ValueError:
        raise MachineError(f"{url} answered {answer.status} and is not a hookgate management listener") from None
    if answer.status == 200:
        out.print(f"generation {told['generation']} is live", highlight=False)
        return
    for problem in told.get("problems", [told.get("detail", f"status {answer.status}")]):
        errors.print(problem, style="red", highlight=False, markup=False)
    errors.print(f"refused; generation {told.get('generation')} stays", highlight=False)
    raise typer.Exit(2)


async def _post(url: str) -> Response:
    client = Client()
    try:
        return await client.request("POST", url, timeout=60.0)
    except Fault as fault:
        raise MachineError(f"no gateway answers on {url}: {fault.reason}") from fault
    finally:
        await client.aclose()
