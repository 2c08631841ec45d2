"""The gateway under test: ``hookgate serve`` in a process, with its document, its log and what it uses."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

LIMITS = {
    "head": 2,
    "body_idle": 2,
    "write_idle": 3,
    "keep_alive": 5,
    "upgrade_idle": 10,
    "keep_alive_requests": 1_000_000,
}


class Gateway:
    """``with Gateway(folder, backend) as gateway`` serves on ``gateway.port``."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.document = folder / "gateway.json"
        self.log = folder / "gateway.log"
        self.port, self._management = free_port(), free_port()
        self._backend = backend
        self._revision = 0
        self._process: subprocess.Popen[bytes]

    def __enter__(self) -> Gateway:
        self.write()
        with self.log.open("wb") as log:
            command = [sys.executable, "-m", "hookgate", "serve", str(self.document)]
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 30
        while True:
            with suppress(OSError):
                self.health()
                return self
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(40)
        finally:
            self._process.kill()
            self._process.wait()

    @property
    def returned(self) -> int | None:
        """What the process ended with, or ``None`` while it runs."""
        return self._process.poll()

    def write(self, *, bad: bool = False) -> None:
        """Write another document: a header with another value, every second time with another pool."""
        self._revision += 1
        timeouts = {"connect": 5, "read": 10 + self._revision // 2 % 2, "request": 20}
        stamp = {"headers": {"response": {"set": {"x-revision": str(self._revision)}}}}
        document: dict[str, Any] = {
            "gateway": {
                "listen": [f"127.0.0.1:{self.port}"],
                "limits": LIMITS,
                "drain": 15,
                "lame_duck": 0,
                "flow": ["request-id"],
            },
            "management": {"listen": [f"127.0.0.1:{self._management}"]},
            "routes": [{"name": "all", "flow": [stamp], "to": {"connection": "backend"}}],
            "connections": {
                "backend": {
                    "targets": [{"url": self._backend}],
                    "pool": {"max_connections": 200, "keep_alive": 3},
                    "timeouts": timeouts,
                }
            },
        }
        if bad:
            document["routes"][0]["to"] = {"connection": "nowhere"}
        new = self.document.with_suffix(".new")
        new.write_text(json.dumps(document))
        new.replace(self.document)

    def reload(self) -> int:
        """Have the document read again; return the status of that."""
        request = urllib.request.Request(f"http://127.0.0.1:{self._management}/-/reload", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def health(self) -> dict[str, Any]:
        """What ``/-/health`` says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._management}/-/health", timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def used(self) -> tuple[int, float]:
        """Open file descriptors, and resident memory in MiB."""
        process = psutil.Process(self._process.pid)
        return process.num_fds(), process.memory_info().rss / 2**20

    def settle(self, seconds: float = 40) -> dict[str, Any]:
        """Wait until nothing is under way and nobody is connected; return what ``/-/health`` says then."""
        end = time.monotonic() + seconds
        while True:
            health = self.health()
            busy = health["in_flight"] or health["listener"]["connections"] or health["draining"]
            if not busy or time.monotonic() > end:
                return health
            time.sleep(0.2)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
