"""A backend that is good or bad by the path it is asked for."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import struct
import threading
from contextlib import suppress

HUGE = 64 * 1024 * 1024
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
FAULTS = {
    "reset": b"",
    "close": b"",
    "garbage": b"\x16\x03\x01 what is this\r\n\r\n",
    "lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "half-a-head": b"HTTP/1.1 200 OK\r\nX-A",
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "chunk-size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n",
    "surplus": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen",
}
"""What it says, before it closes the connection, under ``/fault/…``."""


class Backend:
    """Runs in a thread. ``/echo/…`` is answered with the path and the body that came."""

    def __init__(self) -> None:
        self.url = ""
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="backend")

    def __enter__(self) -> Backend:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    while await self._serve_one(reader, writer):
                        pass
            finally:
                tasks.discard(task)
                writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=2048)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1]
        kind = path.split(b"/")[1]
        if b"upgrade: websocket" in head.lower():
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
            while data := await reader.read(65536):
                writer.write(data)
            return False
        if kind == b"fault":
            return await self._misbehave(path.split(b"/")[2].decode(), writer)
        body = await self._body(reader, head)
        if kind == b"huge":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE)
            for _ in range(HUGE // 65536):
                writer.write(b"x" * 65536)
                await writer.drain()
            return True
        if kind == b"late":
            await asyncio.sleep(random.random() * 0.1)
        whole = path + b" " + body
        if kind == b"chunks":
            parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in (whole[:5], whole[5:])]
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(parts) + b"0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(whole), whole))
        await writer.drain()
        return random.random() > 0.01  # now and then a kept connection ends

    async def _misbehave(self, fault: str, writer: asyncio.StreamWriter) -> bool:
        writer.write(FAULTS[fault])
        await writer.drain()
        if fault == "reset":
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    @staticmethod
    async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
        if (length := LENGTH.search(head)) is not None:
            return await reader.readexactly(int(length[1]))
        body = b""
        if CHUNKED.search(head) is not None:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        return body
