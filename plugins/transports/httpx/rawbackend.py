"""Backends that speak raw bytes, in the loop of the test, and pools that call them."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest

from hookgate import (
    BadGateway,
    Body,
    GatewayTimeout,
    Headers,
    Outbound,
    Pool,
    ServiceUnavailable,
    Target,
    Timeouts,
)
from hookgate.testing import close_server
from hookgate_transport_httpx.pool import HttpxPool

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
        self.scheme = "http"

    @property
    def target(self):
        """What a call is sent to."""
        return Target(self.scheme, "127.0.0.1", self.port)

    async def head(self, reader):
        """Read the head of a request; return its lines."""
        raw = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(raw.split(b"\r\n")[:-2])
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
async def serving(handler, **options):
    """Run a backend on loopback for as long as the block lasts."""
    backend = Backend(handler)
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0, **options)
    backend.port = server.sockets[0].getsockname()[1]
    try:
        yield backend
    finally:
        await close_server(server, backend.tasks)


@asynccontextmanager
async def pooling(context=None, **options):
    """Yield a pool with these options, and close it."""
    pool = HttpxPool(Pool(**options), context)
    try:
        yield pool
    finally:
        await pool.aclose()


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


def outbound(backend, method="GET", path="/", query="", headers=(), body=b"", length=None, **timeouts):
    """Return a call of a backend, with time limits in seconds."""
    fields = Headers([("Host", "backend"), *headers])
    content = body if isinstance(body, Body) else Body(body, length=length)
    bounds = Timeouts(**{"connect": PATIENCE, "read": PATIENCE, **timeouts})
    target = backend if isinstance(backend, Target) else backend.target
    return Outbound(method, target, path, query, headers=fields, body=content, timeouts=bounds)


async def fault_of(awaitable):
    """Return the fault that something ends in, having checked that it tells a stranger nothing."""
    with pytest.raises((BadGateway, GatewayTimeout, ServiceUnavailable)) as caught:
        await awaitable
    assert "127.0.0.1" not in caught.value.detail
    assert "\n" not in caught.value.detail
    return caught.value


async def whole(pool, backend):
    """Call a backend and return the body of its answer."""
    response = await pool.send(outbound(backend))
    try:
        return await response.body.read()
    finally:
        await response.body.close()
