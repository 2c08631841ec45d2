"""A running process: sockets, the lane and Hypercorn on them, the gateway behind, and signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Mapping
from typing import Any

from hookgate.exchange.errors import ConfigError
from hookgate.gateway.gateway import Gateway
from hookgate.gateway.generation import Generation
from hookgate.gateway.record import GatewaySection
from hookgate.server.admission import Admission
from hookgate.server.app import GatewayApp
from hookgate.server.edge.handover import HandOver, hypercorn_config
from hookgate.server.lane.lane import Lane
from hookgate.server.leaving import ALLOWANCE, Insisting
from hookgate.server.listening import Listeners
from hookgate.server.management import ManagementApp
from hookgate.server.reception import Reception

log = logging.getLogger("hookgate")

LAST = 1.0
"""Seconds that pages of the management listener, and then calls that were cut, have to end, at least."""


class Server:
    """The listeners of one gateway. ``async with Server(gateway) as server`` serves until the block ends."""

    def __init__(self, gateway: Gateway, *, watch: bool = True, at_once: bool = False) -> None:
        """``at_once`` leaves out ``gateway.lame_duck`` where the document does not write it: somebody waits."""
        self.gateway = gateway
        self._watch = watch
        self._at_once = at_once
        self._app, self._management = GatewayApp(gateway), ManagementApp(gateway)
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        """Set by a second signal."""
        self._insisting: Insisting | None = None
        self._once = threading.Lock()
        self._listeners: Listeners
        self._lane: Lane
        self._hand_over: HandOver
        self._pages: HandOver
        self._reception: Reception

    @property
    def urls(self) -> list[str]:
        """Where the data path listens."""
        return self._listeners.urls

    @property
    def management_urls(self) -> list[str]:
        """Where the management listener is."""
        return self._listeners.management_urls

    async def __aenter__(self) -> Server:
        """Load the document, then listen.

        Raises:
            ConfigError: the document is bad.
            MachineError: an address cannot be listened on.
        """
        await self.gateway.open(watch=False)
        live = self.gateway.live
        assert live is not None
        loop = asyncio.get_running_loop()
        config = hypercorn_config(live.limits)
        self._hand_over = HandOver(self._app, config, loop, self.gateway)
        self._pages = HandOver(self._management, config, loop, self.gateway)
        self._lane = Lane(self.gateway, self._hand_over, loop)
        self._reception = Reception(Admission(self.gateway, loop), None, self._hand_over, loop)
        self._listeners = Listeners(self.gateway, self._reception, self._pages)
        try:
            await self._listeners.prepare(live)
        except BaseException:
            await self.gateway.close()
            raise
        self.gateway.listener = self._status
        await self._apply(live)
        self.gateway.mounts.append(self._listeners.prepare)  # the last, so that nothing fails once it is done
        self.gateway.went_live.append(self._apply)
        if self._watch:
            self.gateway.follow()
        return self

    async def _apply(self, live: Generation) -> None:
        """Do as a document says with connections to come."""
        gateway = live.config.gateway
        self._reception.lane = self._lane if gateway.lane else None
        self._hand_over.config = self._pages.config = hypercorn_config(live.limits)
        await self._listeners.apply(live)

    def _status(self) -> Mapping[str, Any]:
        certificates = self._listeners.certificates
        problems = certificates.problems if certificates is not None else []
        told = {**self._reception.admission.status(), "problems": [str(problem) for problem in problems]}
        return told if certificates is None else {**told, "certificates": certificates.ends}

    async def __aexit__(self, *_: object) -> None:
        """Let balancers turn to others, stop accepting, finish what is in flight, shut down; management goes last."""
        gateway, loop = self.gateway, asyncio.get_running_loop()
        self._stop.set()
        gateway.is_leaving = self._lane.closing = True
        await self._hand_over.leave()
        if seconds := self._lame_duck():
            log.info("stopping: /-/ready says 503, and calls are taken for %g s more (lame_duck)", seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._hurry.wait()
        patience = self._settings.shutdown_timeout
        until = loop.time() + patience
        calls, connections = gateway.in_flight, self._reception.admission.connections
        text = "stopping: no new connections; waiting up to %g s (shutdown_timeout) for %d calls on %d connections"
        log.info(text, patience, calls, connections)
        await self._listeners.close(management=False)
        await asyncio.gather(self._lane.close(patience), self._hand_over.close(patience))
        self._reception.close()
        log.info("stopping: management closes, and plugins shut down")
        await self._listeners.close(management=True)
        await self._pages.close(max(until - loop.time(), LAST))
        await gateway.close(max(until - loop.time(), LAST))
        log.info("stopped")
        if self._insisting is not None:
            self._insisting.loop_is_over()

    @property
    def _settings(self) -> GatewaySection:
        live = self.gateway.live
        return GatewaySection() if live is None else live.config.gateway

    def _lame_duck(self) -> float:
        settings = self._settings
        return 0.0 if self._at_once and "lame_duck" not in settings.model_fields_set else settings.lame_duck

    async def until_stopped(self) -> None:
        """Serve until :meth:`stop` is called."""
        await self._stop.wait()

    def stop(self) -> None:
        """Have the server stop."""
        self._stop.set()

    def leave(self) -> None:
        """Stop as a signal says it: a second one leaves out what is left of the lame duck."""
        if self._stop.is_set():
            self._hurry.set()
        self.insist(asyncio.get_running_loop())
        self.stop()

    def insist(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on the process ends in its time, whatever becomes of the loop. May be called by any thread."""
        settings = self._settings
        limit = self._lame_duck() + settings.shutdown_timeout + 2 * (settings.stop_timeout + ALLOWANCE)
        with self._once:
            if self._insisting is None:
                self._insisting = Insisting(loop, settings.stop_timeout + ALLOWANCE, limit)

    async def reload(self) -> None:
        """Read the document again; one that is bad is logged by the gateway, and the running one stays."""
        with contextlib.suppress(ConfigError):  # the gateway has logged what is wrong
            await self.gateway.reload()
