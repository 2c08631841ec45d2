"""The program that a sidecar runs: it gets the signals, and its exit code is passed on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Collection, Sequence

NOT_FOUND, NOT_STARTED = 127, 126
"""Exit codes of a program that is not there, or that this user may not start, as shells have them."""


class Program:
    """A program that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, words: Sequence[str], without: Collection[str]) -> Program:
        """Start a program, without some variables of the environment.

        It has a process group of its own, so that Ctrl-C is told to whoever started it, who takes the host out first.

        Raises:
            OSError: it cannot be started.
        """
        environ = {name: value for name, value in os.environ.items() if name not in without}
        return cls(await asyncio.create_subprocess_exec(*words, env=environ, process_group=0))

    def tell(self, number: int) -> None:
        """Pass on a signal, if it still runs."""
        if self._process.returncode is None:
            self._process.send_signal(number)
            if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
                self._process.send_signal(signal.SIGCONT)  # one that is stopped hears it, too

    async def ended(self) -> int:
        """Wait for its end, and return its exit code: 128 and the number of the signal that ended it."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code
