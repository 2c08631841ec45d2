"""A programmable backend: a real HTTP/1.1 server on a free loopback port."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

import h11

Reply = tuple[int, Any, Any]
"""Status, headers (mapping or pairs) and body: bytes, text, or an iterable of chunks, sync or async."""


@dataclass(slots=True)
class Received:
    """A request as the backend saw it."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    target: str = ""
    """Path and query octet for octet."""

    def header(self, name: str) -> str | None:
        """The first value under a name."""
        return next((value for key, value in self.headers if key == name.lower()), None)

    def all(self, name: str) -> list[str]:
        """Every value under a name."""
        return [value for key, value in self.headers if key == name.lower()]


@dataclass(slots=True)
class Reset:
    """An answer that is none: the connection is closed, after ``raw`` bytes if given."""

    raw: bytes = b""


def _hello(request: Received) -> Reply:
    return 200, {"content-type": "text/plain"}, "ok"


@dataclass
class Upstream:
    """The backend: tell it what to answer, look at what it received."""

    answer: Callable[[Received], Reply | Reset | Awaitable[Reply | Reset]] = _hello
    """Called for each request, in the backend's own loop; may be ``async``."""
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    """TCP connections accepted so far."""
    open: int = 0
    """TCP connections open now."""
    aborted: int = 0
    """Requests whose client went away before the answer was out."""
    keep_bodies: bool = True
    """Whether request bodies are recorded; off for large ones, of which only the length is kept in ``received``."""
    received: int = 0
    """Bytes of request bodies received."""
    port: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def bodies(self) -> list[bytes]:
        """The bodies received."""
        return [request.body for request in self.requests]

    def wait_for(self, condition: Callable[[Upstream], bool], timeout: float = 60.0) -> None:
        """Wait until something holds of this backend.

        Raises:
            TimeoutError: it did not come to hold.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: condition(self), timeout):
                raise TimeoutError("the backend did not get there")

    def _note(self, **changes: int) -> None:
        with self.changed:
            for name, amount in changes.items():
                setattr(self, name, getattr(self, name) + amount)
            self.changed.notify_all()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        self._note(connections=1, open=1)
        try:
            await _Connection(self, reader, writer).run()
        except (ConnectionError, h11.RemoteProtocolError):
            pass
        finally:
            self._note(open=-1)
            writer.close()


class _Connection:
    def __init__(self, owner: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.owner, self.reader, self.writer = owner, reader, writer
        self.http = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while True:
            event = await self.next()
            if not isinstance(event, h11.Request):
                return
            url = urlsplit(event.target.decode("latin-1"))
            request = Received(
                event.method.decode(),
                url.path,
                url.query,
                [(key.decode("latin-1"), value.decode("latin-1")) for key, value in event.headers],
                target=event.target.decode("latin-1"),
            )
            body = bytearray()
            while isinstance(event := await self.next(), h11.Data):
                self.owner.received += len(event.data)
                if self.owner.keep_bodies:
                    body += event.data
            if not isinstance(event, h11.EndOfMessage):
                return
            request.body = bytes(body)
            with self.owner.changed:
                self.owner.requests.append(request)
                self.owner.changed.notify_all()
            if not await self.reply(request) or self.http.our_state is h11.MUST_CLOSE:
                return
            self.http.start_next_cycle()

    async def next(self) -> Any:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            if self.http.they_are_waiting_for_100_continue:
                self.writer.write(self.http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            self.http.receive_data(await self.reader.read(65536))
        return event

    async def reply(self, request: Received) -> bool:
        answering = asyncio.ensure_future(self.compose(request))
        gone = asyncio.ensure_future(self.reader.read(1))
        done, _ = await asyncio.wait({answering, gone}, return_when=asyncio.FIRST_COMPLETED)
        if gone in done and not answering.done() and gone.result() == b"":
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            self.owner._note(aborted=1)
            return False
        try:
            kept = await answering
        except ConnectionError:
            self.owner._note(aborted=1)
            kept = False
        if gone.done() and not gone.cancelled():
            if gone.result():
                self.http.receive_data(gone.result())
        else:
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        return kept

    async def compose(self, request: Received) -> bool:
        reply = self.owner.answer(request)
        if not isinstance(reply, (tuple, Reset)):
            reply = await reply
        if isinstance(reply, Reset):
            self.writer.write(reply.raw)
            await self.writer.drain()
            return False
        status, headers, body = reply
        fields = list(headers.items() if isinstance(headers, dict) else headers)
        body = body.encode() if isinstance(body, str) else body
        names = {name.lower() for name, _ in fields}
        if isinstance(body, bytes) and not names & {"content-length", "transfer-encoding"} and status not in (204, 304):
            fields.append(("content-length", str(len(body))))
        self.writer.write(self.http.send(h11.Response(status_code=status, headers=fields)) or b"")
        if request.method != "HEAD":
            async for chunk in _chunks(body):
                self.writer.write(self.http.send(h11.Data(data=chunk)) or b"")
                await self.writer.drain()
        self.writer.write(self.http.send(h11.EndOfMessage()) or b"")
        await self.writer.drain()
        return True


async def _chunks(body: bytes | Iterable[bytes] | AsyncIterable[bytes]) -> Any:
    if isinstance(body, bytes):
        if body:
            yield body
    elif isinstance(body, AsyncIterable):
        async for chunk in body:
            yield chunk
    else:
        for chunk in body:
            yield chunk


async def _turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def close_server(server: asyncio.Server, tasks: set[asyncio.Task[None]]) -> None:
    """Close a server, and end the tasks that serve its connections, which are those in the set at the time."""
    for listening in server.sockets:  # of one that is closed Python leaves open who is being let in (3.11)
        asyncio.get_running_loop().remove_reader(listening.fileno())
    await _turns()
    server.close()
    for task in list(tasks):
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await _turns()  # what is closed is so at the next turn of the loop


@contextmanager
def upstream(
    answer: Callable[[Received], Reply | Reset | Awaitable[Reply | Reset]] = _hello,
    port: int = 0,
) -> Iterator[Upstream]:
    """Run a backend in a thread for as long as the block lasts."""
    backend = Upstream(answer)
    ready: threading.Event = threading.Event()
    stop: list[Callable[[], None]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        tasks: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = cast("asyncio.Task[None]", asyncio.current_task())
            tasks.add(task)
            try:
                await backend.serve(reader, writer)
            except asyncio.CancelledError:
                writer.transport.abort()
            finally:
                tasks.discard(task)

        server = await asyncio.start_server(accept, "127.0.0.1", port, backlog=2048)
        backend.port = server.sockets[0].getsockname()[1]
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))  # type: ignore[arg-type]
        ready.set()
        await ended.wait()
        await close_server(server, tasks)

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="upstream", daemon=True)
    thread.start()
    ready.wait(60)
    try:
        yield backend
    finally:
        stop[0]()
        thread.join(60)
