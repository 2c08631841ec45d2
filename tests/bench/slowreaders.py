"""Clients that read a long answer slowly: what a contender buffers for them shows in its memory."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

from .cases import Case

RATE = 2**20
"""Bytes that each client reads in a second."""
CHUNK = 2**16
"""Bytes of one read, and of the receive buffer that the client asks the kernel for."""


class Reader(asyncio.Protocol):
    """One client: asks once, then reads `RATE` bytes a second by pausing in between."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self.received = 0
        self.head = b""
        self.closed = False

    def connection_made(self, transport: Any) -> None:
        """Send the request."""
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._began = self._loop.time()
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count, and pause for as long as reading that much may take."""
        if len(self.head) < 12:
            self.head += data[:12]
        self.received += len(data)
        ahead = self.received / RATE - (self._loop.time() - self._began)
        if ahead > 0:
            self._transport.pause_reading()
            self._loop.call_later(ahead, self._resume)

    def _resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that there was an end: none is expected before the time is over."""
        self.closed = True

    @property
    def failed(self) -> bool:
        """Whether it was not served, or not until the end."""
        return self.closed or not self.head.startswith(b"HTTP/1.1 200")


async def _read(case: Case, port: int, seconds: float, sample: Callable[[], None]) -> list[Reader]:
    loop = asyncio.get_running_loop()
    request = f"GET {case.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    readers, transports = [], []
    for _ in range(case.connections):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)
        client.setblocking(False)
        await asyncio.wait_for(loop.sock_connect(client, ("127.0.0.1", port)), 10)
        transport, reader = await loop.create_connection(lambda: Reader(request), sock=client)
        readers.append(reader)
        transports.append(transport)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sample()
        await asyncio.sleep(0.1)
    states = [(reader, reader.closed) for reader in readers]
    for transport in transports:
        transport.abort()
    await asyncio.sleep(0)
    for reader, closed in states:
        reader.closed = closed
    return readers


def run(case: Case, port: int, seconds: float, sample: Callable[[], None]) -> dict[str, Any]:
    """Read for so many seconds, calling `sample` all the while.

    Returns the bytes that were read, how many clients were not served to the end, and bytes read per second.
    """
    began = time.monotonic()
    readers = asyncio.run(_read(case, port, min(seconds, case.download / RATE * 0.9), sample))
    took = time.monotonic() - began
    received = sum(reader.received for reader in readers)
    failed = sum(reader.failed for reader in readers)
    return {"bytes": received, "seconds": took, "bytes_per_second": received / took, "errors": {"clients": failed}}
