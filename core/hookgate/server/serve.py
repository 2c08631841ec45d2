"""A running process: sockets, the lane and Hypercorn on them, the gateway behind, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Mapping
from typing import Any

from hypercorn.asyncio import serve as hypercorn_serve

from hookgate.exchange.errors import ConfigError, Problem
from hookgate.gateway.gateway import Gateway
from hookgate.gateway.generation import Generation
from hookgate.gateway.listenertls import TlsSection
from hookgate.server.acceptor import Acceptor
from hookgate.server.admission import Admission
from hookgate.server.app import GatewayApp
from hookgate.server.certificates import Certificates
from hookgate.server.edge.handover import HandOver, hypercorn_config
from hookgate.server.lane.lane import Lane
from hookgate.server.leaving import ALLOWANCE, Insisting
from hookgate.server.listeners import listen, url_of
from hookgate.server.management import ManagementApp
from hookgate.server.reception import Reception

log = logging.getLogger("hookgate")

BACKLOG = 2048
"""Connections that the system keeps waiting to be accepted."""


class Server:
    """The listeners of one gateway. ``async with Server(gateway) as server`` serves until the block ends."""

    def __init__(self, gateway: Gateway, *, watch: bool = True) -> None:
        self.gateway = gateway
        self._watch = watch
        self._app, self._management = GatewayApp(gateway), ManagementApp(gateway)
        self._stop = asyncio.Event()
        self._insisting: Insisting | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._servers: list[asyncio.Server] = []
        self._acceptors: list[Acceptor] = []
        self._certificates: Certificates | None = None
        self._lane: Lane
        self._hand_over: HandOver
        self._reception: Reception
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
            if live.config.gateway.tls is not None:
                self._certificates = await _read(live.config.gateway.tls)
            public = listen(live.config.gateway.listen)
            opened += public
            private = listen(live.config.management.listen) if live.config.management.enabled else []
            opened += private
        except BaseException:
            for each in opened:
                each.close()
            await self.gateway.close()
            raise
        schemes = ["https" if each.startswith("https://") else "http" for each in live.config.gateway.listen]
        self.urls = [url_of(each, scheme) for each, scheme in zip(public, schemes, strict=True)]
        self.management_urls = [url_of(each) for each in private]
        await self._listen(live, public)
        if private:
            serving = self._serve(self._management, private)
            self._tasks.append(asyncio.create_task(serving, name="management listener"))
        return self

    async def _listen(self, live: Generation, public: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        gateway = live.config.gateway
        config = hypercorn_config(live.limits, gateway.shutdown_timeout)
        self._hand_over = HandOver(self._app, config, loop)
        self._lane = Lane(self.gateway, self._hand_over, loop)
        lane = self._lane if gateway.lane else None
        self._reception = Reception(Admission(self.gateway, loop), lane, self._hand_over, loop)
        self.gateway.listener = self._status
        for each, url in zip(public, self.urls, strict=True):
            encrypted = self._certificates is not None and url.startswith("https")
            if not encrypted and not gateway.proxy_protocol:
                self._servers.append(await loop.create_server(self._reception, sock=each, backlog=BACKLOG))
                continue
            context = self._certificates.context if self._certificates is not None and encrypted else None
            acceptor = Acceptor(each, self.gateway, self._reception, context=context, proxied=gateway.proxy_protocol)
            acceptor.start()
            self._acceptors.append(acceptor)
        if self._certificates is not None:
            self.gateway.went_live.append(self._certificates.apply)
            self.gateway.start("certificates", self._certificates.follow())

    def _status(self) -> Mapping[str, Any]:
        problems = self._certificates.problems if self._certificates is not None else []
        return {**self._reception.admission.status(), "problems": [str(problem) for problem in problems]}

    async def __aexit__(self, *_: object) -> None:
        """Stop accepting, finish what is in flight, shut down."""
        self._stop.set()
        for server in self._servers:
            server.close()
        for acceptor in self._acceptors:
            await acceptor.close()
        live = self.gateway.live
        assert live is not None
        patience = live.config.gateway.shutdown_timeout
        await asyncio.gather(self._lane.close(patience), self._hand_over.close(patience))
        self._reception.close()
        self.gateway.state = "stopping"  # tells answers of the management listener that never end to come to theirs
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience + 1)  # Hypercorn has the same patience with pages
        await self.gateway.close()
        if self._insisting is not None:
            self._insisting.loop_is_over()

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
            loop.add_signal_handler(number, self._leave)
        loop.add_signal_handler(signal.SIGHUP, lambda: self.gateway.start("reload on SIGHUP", self._reload()))

    def _leave(self) -> None:
        if self._insisting is None and (live := self.gateway.live) is not None:
            self._insisting = Insisting(asyncio.get_running_loop(), live.config.gateway.stop_timeout + ALLOWANCE)
        self.stop()

    async def _reload(self) -> None:
        with contextlib.suppress(ConfigError):  # the gateway has logged what is wrong
            await self.gateway.reload()


async def _read(section: TlsSection) -> Certificates:
    """Read the certificates that listeners begin with.

    Raises:
        ConfigError: they cannot be used, though a moment ago they could.
    """
    try:
        return await asyncio.to_thread(Certificates, section)
    except ValueError as error:
        raise ConfigError([Problem(("gateway", "tls"), str(error))]) from error


async def serve(gateway: Gateway, ready: Callable[[Server], None]) -> None:
    """Serve until a signal says stop; ``ready`` is called once the listeners are open."""
    async with Server(gateway) as server:
        server.obey_signals()
        ready(server)
        await server.until_stopped()
