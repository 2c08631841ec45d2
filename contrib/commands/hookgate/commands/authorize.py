"""``hookgate authorize``: an operator approves once what a connection does in somebody's name."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from hookgate.commands.check import named_gateway
from hookgate.commands.output import errors, out
from hookgate.exchange.errors import MachineError, near

LONGEST = 8192
"""Bytes of the head of a request that a browser sends when it comes back."""
PATIENCE = 10.0
"""Seconds that a browser may take to send it."""
APPROVED = "Approved. You can close this page."
REFUSED = "Nothing was approved; the command says why. You can close this page."


def command(
    document: Annotated[Path, typer.Argument(metavar="DOCUMENT", help="The configuration: YAML, TOML or JSON.")],
    connection: Annotated[str, typer.Argument(metavar="CONNECTION", help="The connection whose calls are approved.")],
    paste: Annotated[
        bool, typer.Option("--paste", help="Do not listen: read the URL that the browser ends on from stdin.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on, where redirect_uri names none; 0 for a free one.")
    ] = 0,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the approval.")] = 600.0,
) -> None:
    """Approve the calls of a connection once, by OAuth 2 with an authorization code: open the URL that is printed, and
    log in there.

    What comes of it is kept, encrypted, in the state that the document names; gateways that run with it find it by
    themselves. Exit code 3 if nothing was approved.
    """
    asyncio.run(_authorize(document, connection, paste=paste, port=port, timeout=timeout))


async def _authorize(document: Path, connection: str, *, paste: bool, port: int, timeout: float) -> None:  # noqa: ASYNC109
    gateway = named_gateway(document)
    await gateway.open(watch=False)
    try:
        assert gateway.live is not None
        known = gateway.live.config.connections
        if connection not in known:
            raise typer.BadParameter(f"there is no connection {connection!r}{near(connection, known)}")
        asked = [each for each in known[connection].credentials if hasattr(each, "approval")]
        if len(asked) != 1:
            raise MachineError(f"the connection {connection} has no credential that is approved, or several")
        async with asyncio.timeout(timeout):
            await (_pasted(asked[0]) if paste else _heard(asked[0], port))
    except TimeoutError:
        raise MachineError(f"nobody has approved within {timeout:g} seconds") from None
    finally:
        await gateway.close()
    out.print(f"approved: calls of the connection {connection} get tokens from now on")


async def _pasted(credential: Any) -> None:
    approval = credential.approval(credential.options.redirect_uri or "http://127.0.0.1/callback")
    _print(approval.url)
    errors.print("Then paste the URL that the browser ends on, also of a page that cannot be shown:")
    await approval.finish(await asyncio.to_thread(sys.stdin.readline))


async def _heard(credential: Any, port: int) -> None:
    """Wait on a loopback address for the browser. What is no answer to this approval is told so, and ends nothing."""
    wanted = credential.options.redirect_uri
    place = urlsplit(wanted or f"http://127.0.0.1:{port}/callback")
    if place.scheme != "http" or place.hostname not in ("127.0.0.1", "localhost", "::1"):
        raise MachineError(f"nothing can listen at redirect_uri {wanted}; write --paste")
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    approval: Any = None

    async def came(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status, text = "400 Bad Request", "This is no answer to the approval that is waited for."
        ended: Exception | bool = False
        try:
            async with asyncio.timeout(PATIENCE):
                line = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0].decode("ascii", "replace")
            method, _, target = line.partition(" ")
            target = target.partition(" ")[0]
            if method == "GET" and target.partition("?")[0] == (place.path or "/") and approval.answers(target):
                ended = await _finished(approval, target)
                status, text = ("200 OK", APPROVED) if ended is True else (status, REFUSED)
            answer = f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {len(text)}\r\n"
            writer.write(f"{answer}cache-control: no-store\r\nconnection: close\r\n\r\n{text}".encode("ascii"))
            await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            writer.close()
            if isinstance(ended, Exception) and not done.done():
                done.set_exception(ended)
            elif ended and not done.done():
                done.set_result(None)

    try:
        server = await asyncio.start_server(came, place.hostname, place.port or port, limit=LONGEST)
    except OSError as error:
        raise MachineError(f"cannot listen on {place.hostname}:{place.port or port}: {error.strerror}") from error
    async with server:
        number = server.sockets[0].getsockname()[1]
        approval = credential.approval(wanted or f"http://127.0.0.1:{number}/callback")
        _print(approval.url)
        await done


async def _finished(approval: Any, target: str) -> Exception | bool:
    try:
        await approval.finish(target)
    except Exception as error:  # noqa: BLE001 - it is raised where the command waits
        return error
    return True


def _print(url: str) -> None:
    errors.print("Open this URL in a browser, and approve:")
    print(url, flush=True)
