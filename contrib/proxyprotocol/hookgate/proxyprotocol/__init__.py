"""The PROXY protocol in front of a connection: who the client is, as a balancer of TCP says it."""

from __future__ import annotations

import asyncio
import socket

from hookgate.proxyprotocol.header import LONGEST_V2, Read, read

__all__ = ["take_header"]


async def take_header(connection: socket.socket, loop: asyncio.AbstractEventLoop) -> Read:
    """Take a PROXY header off a connection, and not one byte more: the part ``proxyprotocol`` of the house.

    Raises:
        ValueError: the connection does not begin with a right one.
        OSError: it broke, or ended.
    """
    taken = b""
    while True:
        await _readable(connection, loop)
        try:
            data = taken + connection.recv(LONGEST_V2, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            continue
        if len(data) == len(taken):
            raise ConnectionResetError("closed before its PROXY header was complete")
        found = read(data)
        length = len(data) if found is None else found.consumed  # of an incomplete one, all is header
        taken += connection.recv(length - len(taken))
        if len(taken) != length:
            raise ConnectionResetError("the socket gives less than it has shown")
        if found is not None:
            return found


async def _readable(connection: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
    """Wait until there is something to read."""
    waiting: asyncio.Future[None] = loop.create_future()
    number = connection.fileno()

    def ready() -> None:
        if not waiting.done():
            waiting.set_result(None)

    loop.add_reader(number, ready)
    try:
        await waiting
    finally:
        loop.remove_reader(number)
