"""Connections that Hypercorn serves: HTTP/2, exposed apps, and everything where the lane is off.

Hypercorn is given an open connection and the bytes that were read of it. That takes three of its internals
(``TCPServer``, ``WorkerContext``, ``wrap_app``), so its version is pinned, and this module is the only one that knows them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.utils import wrap_app

if TYPE_CHECKING:
    from hookgate.sections import LimitsSection


def hypercorn_config(limits: LimitsSection, shutdown_timeout: float) -> Config:
    """Make the settings of Hypercorn that follow from a document."""
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("hookgate.hypercorn")
    config.include_server_header = False
    config.include_date_header = False
    config.keep_alive_max_requests = limits.keep_alive_requests
    config.keep_alive_timeout = limits.head
    config.h11_max_incomplete_size = limits.header_bytes + limits.url
    config.graceful_timeout = shutdown_timeout
    config.backlog = 2048
    return config


class HandOver:
    """Gives connections to Hypercorn: ``hand_over(transport, data)``."""

    def __init__(self, app: Any, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self._app = wrap_app(app, config.wsgi_max_body_size, "asgi")
        self._config = config
        self._loop = loop
        self._context = WorkerContext(None)
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, transport: asyncio.Transport, data: bytes) -> None:
        """Take over a connection with what was read of it."""
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            reader.feed_data(data)
        self._serve(reader, asyncio.StreamWriter(transport, protocol, reader, self._loop))

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._run(reader, writer), name="connection of Hypercorn")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await TCPServer(self._app, self._loop, self._config, self._context, {}, reader, writer)

    def protocol(self) -> asyncio.Protocol:
        """Make the protocol of a connection that is Hypercorn's from the beginning, for ``loop.create_server``."""
        return _Straight(self)

    async def close(self, patience: float) -> None:
        """Let calls finish for so many seconds, then cut what is left."""
        await self._context.terminated.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _Straight(asyncio.Protocol):
    """A connection on its way to Hypercorn."""

    def __init__(self, hand_over: HandOver) -> None:
        self._hand_over = hand_over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._hand_over(transport, b"")  # type: ignore[arg-type]  # uvloop's are transports by duty, not by descent
