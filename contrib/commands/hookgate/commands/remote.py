"""Asking the management listener of a running gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlencode

import typer

from hookgate.client import Client
from hookgate.commands.output import errors
from hookgate.exchange.errors import Fault, MachineError
from hookgate.exchange.hiding import printable
from hookgate.exchange.messages import Response
from hookgate.server.settings import Settings

PATIENCE = 60.0
"""Seconds to wait for an answer."""
ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes that an answer may have."""


class Told(NamedTuple):
    """What a gateway answered."""

    url: str
    """Of its management listener."""
    status: int
    document: Any
    """The JSON of the answer; ``None`` for what is none."""


def management_url(given: str | None) -> str:
    """Return the URL of the management listener, from the command line or the environment."""
    return (given or Settings().management_url).rstrip("/")


def ask(management: str | None, page: str, query: Sequence[tuple[str, str]] = (), *, method: str = "GET") -> Told:
    """Ask a running gateway for a page such as ``/-/health``.

    Raises:
        MachineError: no gateway answers there.
    """
    url = management_url(management)
    answer = asyncio.run(_sent(method, url, f"{url}{page}{'?' if query else ''}{urlencode(query)}"))
    try:
        document = json.loads(answer.body.data)
    except ValueError:
        document = None
    return Told(url, answer.status, document)


def refused(url: str, status: int, document: Any, missing: str = "") -> NoReturn:
    """Say why there is nothing to show, and end; ``missing`` is what to say of a gateway without that page.

    Raises:
        typer.Exit: the gateway has said why: 2 for a bad request, 1 for what is not there, 3 for anything else.
        MachineError: it has not.
    """
    if isinstance(document, dict) and "detail" in document:
        errors.print(printable(str(document["detail"])), style="red")
        raise typer.Exit({400: 2, 404: 1}.get(status, 3))
    if status == 404 and missing:
        raise MachineError(f"{url} {missing}")
    raise MachineError(f"{url} answered {status} and is not a hookgate management listener")


async def _sent(method: str, url: str, page: str) -> Response:
    async with aclosing(Client()) as client:
        client.answer_limit = ANSWER_LIMIT
        try:
            return await client.request(method, page, timeout=PATIENCE)
        except (Fault, ValueError) as error:
            why = error.reason if isinstance(error, Fault) else str(error)
            raise MachineError(f"no gateway answers on {url}: {why}") from error
