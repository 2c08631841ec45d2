"""Telling systemd, or what speaks as it does, how the gateway is: the protocol of sd_notify(3).

Without ``NOTIFY_SOCKET`` in the environment nothing is told. It takes ``Type=notify`` or ``Type=notify-reload``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time

from hookgate.exchange.errors import ConfigError
from hookgate.gateway.gateway import Gateway

log = logging.getLogger("hookgate")


class Manager:
    """The service manager that started this process."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._beats: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def listens(self) -> bool:
        """Whether there is one that wants to know."""
        return bool(self._address)

    def ready(self) -> None:
        """Tell that the listeners are open; from now on show signs of life, if they are wanted (WATCHDOG_USEC)."""
        self._tell("READY=1", self._status())
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        if self.listens and mine and (wanted := os.environ.get("WATCHDOG_USEC", "")).isdigit():
            self._beats = asyncio.create_task(self._beat(int(wanted) / 1e6 / 2), name="signs of life")

    async def aclose(self) -> None:
        """Tell that it stops; calls in flight are still finished."""
        self._tell("STOPPING=1", "STATUS=finishing the calls in flight")
        self._stopping = True
        if self._beats is not None:
            self._beats.cancel()

    async def _beat(self, every: float) -> None:
        while True:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(every)

    async def reload(self) -> None:
        """Reload, and tell when that began, and when it is over."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            await self._gateway.reload()
        except ConfigError:
            pass  # the gateway has logged what is wrong
        finally:
            self._tell("READY=1", self._status())

    def _status(self) -> str:
        told = self._gateway.status()
        count = len(self._gateway.problems)
        refused = f"; the newest document was refused for {count} problem{'s' if count > 1 else ''}" if count else ""
        return f"STATUS=generation {told['generation']} is live{refused}"

    def _tell(self, *lines: str) -> None:
        if not self._address or self._stopping:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address  # an abstract one
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as told:
                told.setblocking(False)
                told.sendto("\n".join(lines).encode(), address)
        except OSError as error:
            log.warning("the service manager cannot be told %s: %s", lines[0], error.strerror)
