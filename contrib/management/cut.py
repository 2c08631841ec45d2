"""A way to PostgreSQL that can be cut: dropped, silent, or open in one direction only."""

import asyncio
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


class Cut:
    """Passes bytes on to a socket of PostgreSQL, as long as it is ``open``."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.mode = "open"
        """`dropped`: every connection ends, and none is taken. `silent`: nothing comes through, and nobody is told.
        `half`: what is sent arrives, and no answer comes back."""
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._opened = asyncio.Event()

    def set(self, mode: str) -> None:
        """Cut it, or mend it."""
        asyncio.run_coroutine_threadsafe(self._set(mode), self._loop).result(60)

    async def _set(self, mode: str) -> None:
        before, self.mode = self.mode, mode
        if mode == "dropped" or (mode == "open" and before != "open"):  # what was silent has lost its place
            for writer in list(self._writers):
                writer.transport.abort()
        if mode == "open":
            self._opened.set()
        else:
            self._opened.clear()

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.mode == "dropped":
                return
            if self.mode != "open":
                await self._opened.wait()
                return
            to_reader, to_writer = await asyncio.open_unix_connection(self.socket)
            self._writers.add(to_writer)
            try:
                passing = [
                    asyncio.ensure_future(self._pass(reader, to_writer, ("open", "half"))),
                    asyncio.ensure_future(self._pass(to_reader, writer, ("open",))),
                ]
                await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
                for each in passing:
                    each.cancel()
                await asyncio.gather(*passing, return_exceptions=True)
            finally:
                self._writers.discard(to_writer)
                to_writer.transport.abort()
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, modes: tuple[str, ...]) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if self.mode in modes:  # else it is lost: the connection is aborted before it is open again
                    writer.write(data)
                    await writer.drain()

    def run(self, ready: threading.Event) -> None:
        """Serve until it is stopped."""

        async def serve() -> None:
            server = await asyncio.start_server(self._taken, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            with suppress(asyncio.CancelledError):
                await server.serve_forever()

        asyncio.set_event_loop(self._loop)
        try:
            self._task = self._loop.create_task(serve())
            self._loop.run_until_complete(self._task)
            rest = asyncio.all_tasks(self._loop)
            for each in rest:
                each.cancel()
            self._loop.run_until_complete(asyncio.wait(rest, timeout=30) if rest else asyncio.sleep(0))
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    def stop(self) -> None:
        """Take no more."""
        self._loop.call_soon_threadsafe(self._task.cancel)


@contextmanager
def way_to(url: str):
    """Give a way to a PostgreSQL on a socket of this machine, and the URL by which it is gone."""
    parts = urlsplit(url)
    cut, ready = Cut(Path(parse_qs(parts.query)["host"][0]) / ".s.PGSQL.5432"), threading.Event()
    thread = threading.Thread(target=cut.run, args=(ready,), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield cut, f"postgresql://postgres@127.0.0.1:{cut.port}{parts.path}"
    finally:
        cut.stop()
        thread.join(60)
