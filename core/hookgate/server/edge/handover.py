"""Connections that Hypercorn serves: HTTP/2, apps without a flow, and everything where the lane is off.

Hypercorn is given an open connection and the bytes that were read of it. That takes some of its internals
(``TCPServer`` with its events, ``WorkerContext``, ``wrap_app``), so its version is pinned; only this module and
``mending.py`` know them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.events import Event, RawData, Updated
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.utils import wrap_app

from hookgate.server.admission import has_left
from hookgate.server.edge.mending import GOING, mend
from hookgate.server.edge.strict import Strict

log = logging.getLogger("hookgate.hypercorn")

if TYPE_CHECKING:
    from hookgate.gateway.gateway import Gateway
    from hookgate.gateway.record import LimitsSection
    from hookgate.server.admission import Visitor

GRACE = 1.0
"""Seconds that a connection has to end once it is cut, and a refused client to read why."""


def hypercorn_config(limits: LimitsSection) -> Config:
    """Make the settings of Hypercorn that follow from a document."""
    config = Config()
    config.accesslog = None
    config.errorlog = logging.getLogger("hookgate.hypercorn")
    config.include_server_header = False
    config.include_date_header = False
    config.keep_alive_max_requests = limits.keep_alive_requests
    config.keep_alive_timeout = limits.head
    config.websocket_max_message_size = 1 << 62  # the edge has the limit of the route
    return config


class HandOver:
    """Gives connections to Hypercorn: ``hand_over(transport, data, visitor)``."""

    def __init__(self, app: Any, config: Config, loop: asyncio.AbstractEventLoop, gateway: Gateway) -> None:
        self._app = wrap_app(app, config.wsgi_max_body_size, "asgi")
        self.config = config
        """For connections to come."""
        self._loop = loop
        self._gateway = gateway
        self._context = WorkerContext(None)
        self._open: dict[asyncio.Task[None], _Connection] = {}

    def __call__(self, transport: asyncio.Transport, data: bytes, visitor: Visitor) -> None:
        """Take over a connection with what was read of it. The visitor leaves when it is over."""
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if data:
            reader.feed_data(data)
        self.serve(reader, asyncio.StreamWriter(transport, protocol, reader, self._loop), visitor)

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, visitor: Visitor | None = None) -> None:
        """Serve a connection, of a visitor that is counted or of nobody in particular."""
        app = self._app if visitor is None else knowing(self._app, visitor, writer.transport)
        connection = _Connection(app, self._loop, self.config, self._context, {}, reader, writer)
        task = self._loop.create_task(connection.run(), name="connection of Hypercorn")
        self._open[task] = connection
        connection.strict = Strict(self._gateway, "management" if visitor is None else visitor.ip)
        connection.strict.told = visitor is not None
        task.add_done_callback(lambda _: self._over(task, visitor))

    def _over(self, task: asyncio.Task[None], visitor: Visitor | None) -> None:
        del self._open[task]
        if visitor is not None:
            visitor.leave()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a connection failed", exc_info=error)

    async def leave(self) -> None:
        """Have clients of HTTP/2 go elsewhere, each as soon as no call of its is under way."""
        await self._context.terminate.set()
        for connection in list(self._open.values()):
            connection.go_away(GOING)

    async def close(self, patience: float) -> None:
        """Let calls finish for so many seconds, then cut what is left."""
        await self._context.terminated.set()
        if self._open:
            await asyncio.wait(set(self._open), timeout=patience)
        if self._open:
            log.warning("%d connections of Hypercorn were still busy and are cut", len(self._open))
        for connection in self._open.values():
            connection.cut()
        if self._open:
            await asyncio.wait(set(self._open), timeout=GRACE)
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(set(self._open), timeout=GRACE)


class _Connection(TCPServer):
    """A connection of Hypercorn that ends when the client has gone, and reads HTTP/1.1 as the lane does.

    Hypercorn keeps one that was idle until ``keep_alive_timeout`` is over, gone or not.
    """

    _gone = False
    strict: Strict

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "protocol":
            mend(value, lambda *told: self.strict.refused(*told))  # noqa: PLW0108 - it comes later
        super().__setattr__(name, value)

    @property
    def _http2(self) -> H2Protocol | None:
        protocol = getattr(getattr(self, "protocol", None), "protocol", None)
        return protocol if isinstance(protocol, H2Protocol) else None

    def cut(self) -> None:
        """End at once. A call that is ended so sends nothing any more: nobody would take it."""
        self.writer.transport.abort()
        if self._http2 is not None:
            self._http2.closed = True

    def go_away(self, frame: bytes = b"") -> None:
        """Tell a client of HTTP/2 without a call to go elsewhere: by that frame, or by one that says what was taken."""
        if self._http2 is not None and not (self._http2.streams or self.writer.is_closing()):
            if not frame:
                self._http2.connection.close_connection()
            self.writer.write(frame or self._http2.connection.data_to_send())

    async def _initiate_server_close(self) -> None:
        self.go_away()
        if not self.context.terminated.is_set() and (late := self.strict.too_late()):
            await self.protocol_send(RawData(late))
        elif not self.context.terminated.is_set() and getattr(self._http2, "begun", False):
            self.strict.refused(b"", b"", 408)
        await super()._initiate_server_close()

    async def _read_data(self) -> None:
        if isinstance(self.protocol.protocol, H11Protocol):
            self.protocol.protocol.connection = self.strict
        await super()._read_data()
        self._gone = True
        await self.idle_task.stop()

    async def _close(self) -> None:
        if self.strict.refusal is not None and not self._gone:  # what closes at once may reset its own answer
            self._gone = True
            with suppress(OSError, RuntimeError, TimeoutError):
                if self.writer.can_write_eof():
                    self.writer.write_eof()
                async with asyncio.timeout(GRACE):
                    while await self.reader.read(65536):
                        pass
        await super()._close()

    async def protocol_send(self, event: Event) -> None:
        if not (self._gone and isinstance(event, Updated)):
            await super().protocol_send(event)


def knowing(app: Callable[..., Any], visitor: Visitor, transport: asyncio.WriteTransport) -> Callable[..., Any]:
    """Wrap an app of Hypercorn for one connection: Hypercorn knows neither PROXY headers nor what TLS has settled, nor
    who has left while nobody reads."""

    async def known(scope: Any, receive: Any, send: Any, *rest: Any) -> None:
        scope["client"] = (visitor.ip, visitor.port)
        scope["hookgate.tls"] = visitor.tls
        scope["hookgate.left"] = lambda: has_left(transport)
        scope["hookgate.target"] = getattr(getattr(send, "__self__", None), "target", None)  # see mending.py
        await app(scope, receive, send, *rest)

    return known
