"""What a running gateway does on SIGTERM, SIGINT and SIGHUP, also while a plugin keeps the main thread."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hookgate.server.serve import Server

STOPS = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """A thread that is told of every signal at once.

    Python runs the handler of a signal between two instructions of the main thread: never, while that sits in a call
    that does not end, and a signal that comes just before such a call does not wake it. What
    :func:`signal.set_wakeup_fd` names is written to by the operating system's own handler.
    """

    def __init__(self) -> None:
        """Until :meth:`obey` a signal ends the process at once: nobody has to be told or waited for."""
        self._heard: Callable[[int], object] = _leave
        self._before = -1
        told, self._tell = socket.socketpair()
        self._tell.setblocking(False)
        threading.Thread(target=self._run, args=(told,), name="hookgate signals", daemon=True).start()
        for number in STOPS:  # process 1 of a container ignores what has no handler
            signal.signal(number, lambda number, _: _leave(number))
        self.listen()

    def listen(self) -> None:
        """Be told first, and tell who was it until now: a loop takes the place when it starts to run."""
        before = signal.set_wakeup_fd(self._tell.fileno(), warn_on_full_buffer=False)
        if before != self._tell.fileno():
            self._before = before

    def obey(self, server: Server, reload: Callable[[], Coroutine[Any, Any, None]] | None = None) -> None:
        """SIGTERM and SIGINT stop the server, and it ends in its time, whatever blocks the loop; SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        for number in STOPS:
            loop.add_signal_handler(number, server.leave)
        renew = reload or server.reload
        loop.add_signal_handler(signal.SIGHUP, lambda: server.gateway.start("reload on SIGHUP", renew()))

        def heard(number: int) -> None:
            if number in STOPS:
                server.insist(loop)

        self._heard = heard
        self.listen()

    def ignore(self) -> None:
        """The loop is about to end, and takes with it what it is told by."""
        self._heard = lambda _: None
        signal.set_wakeup_fd(self._before)
        self._before = -1

    def _run(self, told: socket.socket) -> None:
        while numbers := told.recv(64):
            for number in numbers:
                self._heard(number)
            with contextlib.suppress(OSError):
                os.write(self._before, numbers)


def _leave(number: int) -> None:
    if number in STOPS and _leaving.acquire(blocking=False):  # the handler and the thread come here, both
        os.write(2, b"hookgate: stopped before it served\n")
        os._exit(128 + number)


_leaving = threading.Lock()
