"""A running process: sockets, the lane and Hypercorn on them, the gateway behind, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve

from hookgate.errors import ConfigError
from hookgate.gateway import Gateway
from hookgate.generation import Generation
from hookgate.http.http1 import Lane
from hookgate.server.app import GatewayApp
from hookgate.server.handover import HandOver, hypercorn_config
from hookgate.server.listeners import listen, url_of
from hookgate.server.management import ManagementApp
from hookgate.server.watchdog import Watchdog

log = logging.getLogger("hookgate")

BACKLOG = 2048
"""Connections that the system keeps waiting to be accepted."""


class Server:
    """The listeners of one gateway. ``async with Server(gateway) as server`` serves until the block ends."""

    def __init__(self, gateway: Gateway, *, watch: bool = True) -> None:
        self.gateway = gateway
        self._watch = watch
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._servers: list[asyncio.Server] = []
        self._lane: Lane
        self._hand_over: HandOver
        self._watchdog = Watchdog()
        self.urls: list[str] = []
        """Where the data path listens."""
        self.management_urls: list[str] = []

    async def __aenter__(self) -> Server:
        """Load the document, then listen.

        Raises:
            ConfigError: the document is bad.
            MachineError: an address cannot be listened on.
        """
        await self.gateway.open(watch=self._watch)
        live = self.gateway.live
        assert live is not None
        opened: list[socket.socket] = []
        try:
            public = listen(live.config.gateway.listen)
            opened += public
            private = listen(live.config.management.listen) if live.config.management.enabled else []
            opened += private
        except BaseException:
            for each in opened:
                each.close()
            await self.gateway.close()
            raise
        self.urls = [url_of(each) for each in public]
        self.management_urls = [url_of(each) for each in private]
        await self._listen(live, public)
        if private:
            serving = self._serve(ManagementApp(self.gateway), private)
            self._tasks.append(asyncio.create_task(serving, name="management listener"))
        self._watchdog.start(asyncio.get_running_loop())
        return self

    async def _listen(self, live: Generation, public: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        gateway = live.config.gateway
        config = hypercorn_config(live.limits, gateway.shutdown_timeout)
        self._hand_over = HandOver(GatewayApp(self.gateway), config, loop)
        self._lane = Lane(self.gateway, self._hand_over, loop)
        protocol = self._lane if gateway.lane else self._hand_over.protocol
        for each in public:
            self._servers.append(await loop.create_server(protocol, sock=each, backlog=BACKLOG))

    async def __aexit__(self, *_: object) -> None:
        """Stop accepting, finish what is in flight, shut down."""
        self._stop.set()
        for server in self._servers:
            server.close()
        live = self.gateway.live
        assert live is not None
        patience = live.config.gateway.shutdown_timeout
        await asyncio.gather(self._lane.close(patience), self._hand_over.close(patience))
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._watchdog.stop()
        await self.gateway.close()

    async def _serve(self, app: Any, sockets: list[socket.socket]) -> None:
        live = self.gateway.live
        assert live is not None
        config = hypercorn_config(live.limits, live.config.gateway.shutdown_timeout)
        # Hypercorn takes over the descriptors, so it gets duplicates it may close.
        config.bind = [f"fd://{each.detach()}" for each in sockets]
        await hypercorn_serve(app, config, shutdown_trigger=self._stop.wait)

    async def until_stopped(self) -> None:
        """Serve until a listener ends by itself or :meth:`stop` is called."""
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stopping, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    def stop(self) -> None:
        """Have the server stop."""
        self._stop.set()

    def obey_signals(self) -> None:
        """SIGTERM and SIGINT stop, SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.gateway.start("reload on SIGHUP", self._reload()))

    async def _reload(self) -> None:
        with contextlib.suppress(ConfigError):  # the gateway has logged what is wrong
            await self.gateway.reload()


async def serve(gateway: Gateway, ready: Callable[[Server], None]) -> None:
    """Serve until a signal says stop; ``ready`` is called once the listeners are open."""
    async with Server(gateway) as server:
        server.obey_signals()
        ready(server)
        await server.until_stopped()
