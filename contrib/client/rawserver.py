"""Servers that speak raw bytes, in the loop of the test, and clients that call them."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest

from hookgate import BadGateway, GatewayTimeout, Pool, ServiceUnavailable
from hookgate.client import Client
from hookgate.client.pool import UpstreamPool
from hookgate.client.turns import Turns
from hookgate.testing import close_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 60.0
"""Seconds after which a test that waits for something has failed."""


class Backend:
    """A server whose handler gets the reader and the writer of each connection, in the loop of the test."""

    def __init__(self, handler):
        self.handler = handler
        self.heads = []
        self.accepted = 0
        self.open = 0
        self.changed = asyncio.Condition()
        self.tasks = set()

    async def head(self, reader):
        """Read the head of a request; return its lines."""
        raw = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(raw.split(b"\r\n")[:-2])
        await self.note()
        return self.heads[-1]

    async def until(self, condition):
        """Wait for a condition, no longer than a test may wait."""
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(condition)

    async def note(self, accepted=0, opened=0):
        """Count connections, and wake who waits."""
        async with self.changed:
            self.accepted += accepted
            self.open += opened
            self.changed.notify_all()

    async def serve(self, reader, writer):
        """Have the handler serve one connection to its end."""
        self.tasks.add(task := asyncio.current_task())
        await self.note(1, 1)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                await self.handler(self, reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            self.tasks.discard(task)
            await self.note(0, -1)


@asynccontextmanager
async def serving(handler, host="127.0.0.1", **options):
    """Run a server on loopback for as long as the block lasts."""
    backend = Backend(handler)
    server = await asyncio.start_server(backend.serve, host, 0, **options)
    port = server.sockets[0].getsockname()[1]
    scheme = "https" if options.get("ssl") else "http"
    backend.port, backend.url = port, f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        yield backend
    finally:
        await close_server(server, backend.tasks)


@asynccontextmanager
async def client(each=256, in_all=1024, **pool):
    """Yield a client with these bounds and this pool, and close it."""
    small = Client()
    small._turns = Turns(each, in_all)
    if pool:
        small._pool = UpstreamPool(Pool("client", **pool))
    try:
        yield small
    finally:
        await small.aclose()


def answering(*answers):
    """Answer every request of a connection with the next of these bytes, the last for ever."""

    async def handler(backend, reader, writer):
        number = 0
        while True:
            await backend.head(reader)
            writer.write(answers[min(number, len(answers) - 1)])
            await writer.drain()
            number += 1

    return handler


def answering_when(go):
    """Answer each request only after the event."""

    async def handler(backend, reader, writer):
        while True:
            await backend.head(reader)
            await go.wait()
            writer.write(OK)

    return handler


async def silent(backend, reader, writer):
    """Take a request and never answer."""
    await backend.head(reader)
    await reader.read()


async def hanging_up_on_the_second(backend, reader, writer):
    """Answer one request on each connection, take another and hang up without a word."""
    await backend.head(reader)
    writer.write(OK)
    await backend.head(reader)


async def fault_of(awaitable):
    """Return the fault that something ends in, having checked that it tells a stranger nothing."""
    with pytest.raises((BadGateway, GatewayTimeout, ServiceUnavailable)) as caught:
        await awaitable
    assert "127.0.0.1" not in caught.value.detail
    assert "\n" not in caught.value.detail
    return caught.value


def in_use(small):
    """Return how many connections of a client are open and in use, and how many calls wait for one."""
    return {name: small._pool.facts()[name] for name in ("open", "in_use", "waiting")}
