"""The backend of every contender: nginx with fixed bodies, on the core of the load generator."""

from __future__ import annotations

import getpass
import grp
import http.client
import os
import re
from pathlib import Path
from types import TracebackType

from .contenders import which
from .processes import Process, free_ports
from .rendering import render

MIB = 2**20
BODY_1K = "0123456789abcdef" * 64
"""1,024 bytes."""


class Upstream:
    """`with Upstream(folder, core) as upstream` runs it until the block ends."""

    def __init__(self, folder: Path, core: int) -> None:
        self._folder = folder
        self._core = core
        self.port, self._sink, self._status = free_ports(3)
        self._questions = 0

    def __enter__(self) -> Upstream:
        """Write the bodies, and start.

        Raises:
            LookupError: there is no nginx.
            StartError: it does not start.
        """
        program = which("nginx")
        if program is None:
            raise LookupError("the backend needs nginx: apt-get install nginx-light")
        (self._folder / "1m").write_bytes(BODY_1K.encode() * 1024)
        (self._folder / "100m").touch()
        os.truncate(self._folder / "100m", 100 * MIB)  # a file with a hole reads as zeros and takes no space
        ports = {"UPSTREAM_PORT": self.port, "SINK_PORT": self._sink, "STATUS_PORT": self._status}
        values = {**ports, **who(), "FOLDER": self._folder, "BODY_1K": BODY_1K}
        (configuration,) = render("upstream", self._folder, values)
        command = [program, "-c", str(configuration), "-e", "stderr"]
        self._process = Process(command, self._core, self._folder, {})
        self._process.wait_for_port(self.port)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """End it."""
        self._process.end()

    def accepted(self) -> int:
        """How many connections it has accepted so far, without those of this question."""
        connection = http.client.HTTPConnection("127.0.0.1", self._status, timeout=10)
        try:
            connection.request("GET", "/status")
            numbers = re.search(r"^ (\d+) \d+ \d+", connection.getresponse().read().decode(), re.MULTILINE)
        finally:
            connection.close()
        assert numbers is not None
        self._questions += 1
        return int(numbers[1]) - self._questions


def who() -> dict[str, str]:
    """The user and group that nginx is to run as, which are those who run this: files are theirs."""
    return {"USER": getpass.getuser(), "GROUP": grp.getgrgid(os.getgid()).gr_name}
