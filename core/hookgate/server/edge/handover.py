"""Connections that Hypercorn serves: HTTP/2, apps without a flow, and everything where the lane is off.

Hypercorn is given an open connection and the bytes that were read of it. That takes some of its internals
(``TCPServer`` with its events, ``WorkerContext``, ``wrap_app``), so its version is pinned; only this module and
``mending.py`` know them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Event, Updated
from hypercorn.utils import wrap_app

if TYPE_CHECKING:
    from hookgate.gateway.record import LimitsSection
    from hookgate.server.admission import Visitor

GRACE = 1.0
"""Seconds that a connection has to end once it is cut."""


def hypercorn_config(limits: LimitsSection, shutdown_timeout: float) -> Config:
    """Make the settings of Hypercorn that follow from a document."""
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("hookgate.hypercorn")
    config.include_server_header = False
    config.include_date_header = False
    config.keep_alive_max_requests = limits.keep_alive_requests
    config.keep_alive_timeout = limits.head
    config.websocket_max_message_size = 1 << 62  # the edge has the limit of the route
    config.h11_max_incomplete_size = limits.header_bytes + limits.url
    config.graceful_timeout = shutdown_timeout
    config.backlog = 2048
    return config


class HandOver:
    """Gives connections to Hypercorn: ``hand_over(transport, data, visitor)``."""

    def __init__(self, app: Any, config: Config, loop: asyncio.AbstractEventLoop) -> None:
        self._app = wrap_app(app, config.wsgi_max_body_size, "asgi")
        self._config = config
        self._loop = loop
        self._context = WorkerContext(None)
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, transport: asyncio.Transport, data: bytes, visitor: Visitor) -> None:
        """Take over a connection with what was read of it. The visitor leaves when it is over."""
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            reader.feed_data(data)
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        task = self._loop.create_task(self._run(reader, writer, visitor), name="connection of Hypercorn")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, visitor: Visitor) -> None:
        app = knowing(self._app, visitor)
        try:
            await _Connection(app, self._loop, self._config, self._context, {}, reader, writer)
        finally:
            visitor.leave()

    async def close(self, patience: float) -> None:
        """Let calls finish for so many seconds, then cut what is left."""
        await self._context.terminated.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE)


class _Connection(TCPServer):
    """A connection of Hypercorn that ends when the client has gone.

    Hypercorn keeps one that was idle until ``keep_alive_timeout`` is over, gone or not.
    """

    _gone = False

    async def _read_data(self) -> None:
        await super()._read_data()
        self._gone = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if not (self._gone and isinstance(event, Updated)):
            await super().protocol_send(event)


def knowing(app: Callable[..., Any], visitor: Visitor) -> Callable[..., Any]:
    """Wrap an app of Hypercorn for one connection: Hypercorn knows neither PROXY headers nor what TLS has settled."""

    async def known(scope: Any, *rest: Any) -> None:
        scope["client"] = (visitor.ip, visitor.port)
        scope["hookgate.tls"] = visitor.tls
        await app(scope, *rest)

    return known
