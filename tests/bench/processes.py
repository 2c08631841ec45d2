"""Processes on a core of their own: start one, wait for it, read what it and its children use, end it.

A process that is started here gets SIGTERM when this one dies, so nothing is left behind even after SIGKILL.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .machine import TICKS

PAGE = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class StartError(Exception):
    """A process has ended before it listened, or did not listen in time. The text holds the end of its log."""


class Process:
    """A process with all its children, pinned to one core. Its output goes to a file."""

    def __init__(
        self, command: Sequence[str], core: int, folder: Path, environment: Mapping[str, str], name: str = "process"
    ) -> None:
        self.log = folder / f"{name}.log"

        def settle() -> None:
            os.sched_setaffinity(0, {core})
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

        with self.log.open("wb") as log:
            self._popen = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process only, which then ends the others
                preexec_fn=settle,
            )

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._popen.poll() is None

    def said(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])

    def wait_for_port(self, port: int, seconds: float = 60) -> None:
        """Wait until it listens.

        Raises:
            StartError: it has ended, or `seconds` are over.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.alive:
                raise StartError(f"ended with {self._popen.returncode}: {self.said()}")
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                return
            time.sleep(0.05)
        raise StartError(f"does not listen after {seconds:g} s: {self.said()}")

    def tree(self) -> list[int]:
        """Process ids of it and of all below it that run."""
        found = [self._popen.pid]
        for pid in found:
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += map(int, (task / "children").read_text(encoding="ascii").split())
        return found

    def cpu_seconds(self) -> float:
        """Seconds of CPU that the tree has used so far, with those of children that have ended (proc(5), stat)."""
        return sum(cpu_ticks(pid) for pid in self.tree()) / TICKS

    def settle(self, patience: float = 20) -> None:
        """Wait until it is idle, `patience` seconds at most: calls whose clients are gone may still keep it busy."""
        deadline = time.monotonic() + patience
        quiet = 0
        while quiet < 2 and time.monotonic() < deadline:
            before = self.cpu_seconds()
            time.sleep(0.1)
            quiet = quiet + 1 if self.cpu_seconds() - before <= 1.5 / TICKS else 0

    def rss(self) -> int:
        """Resident bytes of the tree. Pages that two processes share count twice."""
        total = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                total += int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE
        return total

    def end(self, patience: float = 5) -> None:
        """End it and everything below it; after `patience` seconds by SIGKILL."""
        pids = self.tree()
        with contextlib.suppress(ProcessLookupError):
            self._popen.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(patience)
        for pid in pids if self.alive else pids[1:]:
            if self._is_ours(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._popen.wait()

    def _is_ours(self, pid: int) -> bool:
        """Whether the id still belongs to the session of the process; ids are used again."""
        try:
            return os.getsid(pid) == self._popen.pid
        except ProcessLookupError:
            return False


def cpu_ticks(pid: int) -> int:
    """Clock ticks of a process and of its children that have ended; 0 where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may hold spaces
    return sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime


def free_ports(count: int) -> list[int]:
    """Find ports on loopback that nobody uses now; all are held until all are found, so no two are the same."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]
