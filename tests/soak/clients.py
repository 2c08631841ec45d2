"""Clients of every kind. Each is a coroutine that makes one visit; what it did not expect goes to the record."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from .backend import FAULTS

_numbers = itertools.count(1)


class Cut(Exception):
    """The connection ended in the middle of something."""


class Talk:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Leave without a word."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def answer(self) -> tuple[int, bytes, bool]:
        """Read a response: status, body, and whether the connection ends with it."""
        try:
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            status = int(head[9:12])
            if b"\r\ntransfer-encoding: chunked" in head:
                body = b""
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    body += (await self.reader.readexactly(size + 2))[:-2]
                await self.reader.readexactly(2)
            elif b"\r\ncontent-length: " in head:
                length = head.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0]
                body = await self.reader.readexactly(int(length))
            else:
                body = await self.reader.read()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise Cut from error
        return status, body, b"\r\nconnection: close" in head


class Record:
    """What happened."""

    def __init__(self) -> None:
        self.visits: Counter[str] = Counter()
        self.statuses: Counter[tuple[str, int | str]] = Counter()
        self.unexpected: list[str] = []

    def note(self, kind: str, status: int | str, *expected: int | str) -> None:
        """Count what came; keep it if it was not expected."""
        self.statuses[kind, status] += 1
        if status not in expected:
            self.unexpected.append(f"{kind}: {status}")


@asynccontextmanager
async def talking(port: int, *, buffer: int | None = None) -> AsyncIterator[Talk]:
    """Open a connection and close it."""
    connection = socket.socket()
    if buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=buffer or 65536)
    try:
        yield Talk(reader, writer)
    finally:
        writer.close()


def request(path: str, *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    """Write a head."""
    lines = [f"{method} {path} HTTP/{version}", "Host: gateway", *fields, "", ""]
    return "\r\n".join(lines).encode()


async def check(record: Record, kind: str, talk: Talk, path: str, body: bytes = b"") -> bool:
    """Read an answer and see whether it is that to this request; return whether the connection goes on."""
    try:
        status, got, closes = await talk.answer()
    except Cut:
        record.note(kind, "cut", 200)
        return False
    # A backend that ends a kept connection without a word costs those calls that cannot be sent again.
    lost = kind == "post" and status == 502 and b"upstream-closed" in got
    record.note(kind, "lost" if lost else status, 200, "lost")
    if status == 200 and got != path.encode() + b" " + body:
        record.unexpected.append(f"{kind}: asked for {path}, got {got[:60]!r}")
    return not closes


async def get(record: Record, port: int) -> None:
    """Some calls on one connection."""
    async with talking(port) as talk:
        for _ in range(50):
            path = f"/{random.choice(['echo', 'chunks', 'late'])}/{next(_numbers)}"
            await talk.send(request(path))
            if not await check(record, "get", talk, path):
                return


async def post(record: Record, port: int) -> None:
    """Bodies of a known length and in chunks, in one piece and in several."""
    async with talking(port) as talk:
        for _ in range(20):
            path, body = f"/echo/{next(_numbers)}", random.randbytes(random.choice([1, 100, 5000, 200_000]))
            chunked = random.random() < 0.5
            head = request(
                path, "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}", method="PUT"
            )
            at = random.randrange(len(body))
            parts = [part for part in (body[:at], body[at:]) if part]
            if chunked:
                parts = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts] + [b"0\r\n\r\n"]
            await talk.send(head)
            for part in parts:
                await talk.send(part)
            if not await check(record, "post", talk, path, body):
                return


async def old(record: Record, port: int) -> None:
    """HTTP/1.0: the connection ends with the answer."""
    async with talking(port) as talk:
        path = f"/{random.choice(['echo', 'chunks'])}/{next(_numbers)}"
        await talk.send(request(path, version="1.0"))
        await check(record, "old", talk, path)
        if await talk.reader.read():
            record.unexpected.append("old: bytes behind the answer")


async def pipelined(record: Record, port: int) -> None:
    """Several requests at once; answers come in their order."""
    async with talking(port) as talk:
        paths = [f"/{random.choice(['echo', 'late'])}/{next(_numbers)}" for _ in range(random.randrange(2, 12))]
        await talk.send(b"".join(map(request, paths)))
        for path in paths:
            if not await check(record, "pipelined", talk, path):
                return


UPGRADE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


async def websocket(record: Record, port: int) -> None:
    """A tunnel that gives back what it gets; sometimes it is left without a word."""
    async with talking(port) as talk:
        await talk.send(request(f"/ws/{next(_numbers)}", *UPGRADE))
        try:
            head = await talk.reader.readuntil(b"\r\n\r\n")
            record.note("websocket", int(head[9:12]), 101)
            for _ in range(random.randrange(1, 20)):
                frame = random.randbytes(random.choice([2, 200, 100_000]))
                await talk.send(frame)
                if await talk.reader.readexactly(len(frame)) != frame:
                    record.unexpected.append("websocket: other bytes came back")
        except (asyncio.IncompleteReadError, ConnectionError):
            record.note("websocket", "cut", 101)
        if random.random() < 0.5:
            talk.reset()


async def leaving(record: Record, port: int) -> None:
    """Leaves in the head, in the body, before the answer or in it."""
    async with talking(port, buffer=16384) as talk:
        when = random.choice(["head", "body", "chunks", "waiting", "answer", "websocket"])
        words = {
            "head": b"GET /echo/1 HTTP/1.1\r\nHo",
            "body": request("/echo/1", "Content-Length: 100000", method="POST") + b"x" * random.randrange(90_000),
            "chunks": request("/echo/1", "Transfer-Encoding: chunked", method="POST") + b"5\r\nhel",
            "waiting": request("/late/1"),
            "answer": request("/huge/1"),
            "websocket": request("/ws/1", *UPGRADE),
        }[when]
        await talk.send(words)
        if when in ("answer", "websocket"):
            await talk.reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(random.random() * 0.05)
        if random.random() < 0.5:
            talk.reset()


async def slow_head(record: Record, port: int) -> None:
    """A head that drips: 408 and the end."""
    async with talking(port) as talk:
        try:
            if random.random() < 0.5:
                await talk.send(request("/echo/first"))
                await check(record, "slow head", talk, "/echo/first")
            for byte in request("/echo/1", "X-Slow: " + "x" * 10_000):
                talk.writer.write(bytes([byte]))
                await asyncio.sleep(0.2)
                if talk.reader._buffer:  # type: ignore[attr-defined]
                    break
            status, _, _ = await talk.answer()
            record.note("slow head", status, 408)
        except (Cut, ConnectionError):
            record.note("slow head", "cut", 408)


async def slow_body(record: Record, port: int) -> None:
    """A body that stops coming: 408."""
    async with talking(port) as talk:
        await talk.send(request("/echo/1", "Content-Length: 10000", method="POST") + b"x")
        try:
            status, body, _ = await talk.answer()
            lost = status == 502 and b"upstream-closed" in body
            record.note("slow body", "lost" if lost else status, 408, "lost")
        except Cut:
            record.note("slow body", "cut", 408)


async def slow_reader(record: Record, port: int) -> None:
    """An answer that is hardly read: the connection is cut."""
    async with talking(port, buffer=4096) as talk:
        await talk.send(request("/huge/1"))
        await talk.reader.readuntil(b"\r\n\r\n")
        talk.writer.transport.pause_reading()
        await asyncio.sleep(8)
        talk.writer.transport.resume_reading()
        rest = 0
        try:
            while part := await talk.reader.read(65536):
                rest += len(part)
        except ConnectionError:
            pass
        record.note("slow reader", "cut" if rest < 32 * 2**20 else "served", "cut")


async def faulty(record: Record, port: int) -> None:
    """A backend that misbehaves: a problem or a cut, and then the right answer."""
    async with talking(port) as talk:
        fault = random.choice(list(FAULTS))
        await talk.send(request(f"/fault/{fault}"))
        try:
            status, body, closes = await talk.answer()
            expected = (502, 200) if fault == "surplus" and body == b"ok" else (502,)
            record.note(f"fault {fault}", status, *expected)
        except Cut:
            record.note(f"fault {fault}", "cut", *(["cut"] if fault in ("short", "chunks", "chunk-size") else []))
            return
        if not closes:
            path = f"/echo/{next(_numbers)}"
            await talk.send(request(path))
            await check(record, "after a fault", talk, path)


KINDS: dict[Callable[[Record, int], Awaitable[None]], int] = {
    get: 4,
    post: 3,
    old: 1,
    pipelined: 2,
    websocket: 2,
    leaving: 3,
    faulty: 2,
    slow_head: 5,
    slow_body: 5,
    slow_reader: 5,
}
"""How many of each are there at any time."""


async def traffic(record: Record, port: int, stop: asyncio.Event) -> None:
    """Have visits of every kind go on until it is enough."""

    async def visiting(visit: Callable[[Record, int], Awaitable[None]]) -> None:
        while not stop.is_set():
            try:
                async with asyncio.timeout(40):
                    await visit(record, port)
            except TimeoutError:
                record.unexpected.append(f"{visit.__name__}: hangs")
            except (ConnectionError, asyncio.IncompleteReadError) as error:
                if visit is not leaving:
                    record.unexpected.append(f"{visit.__name__}: {error!r}")
            record.visits[visit.__name__] += 1
            await asyncio.sleep(random.random() * 0.02)

    async with asyncio.TaskGroup() as group:
        for visit, count in KINDS.items():
            for _ in range(count):
                group.create_task(visiting(visit))
