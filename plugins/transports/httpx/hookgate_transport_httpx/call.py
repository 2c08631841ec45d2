"""One request on one connection, and the response as it comes in."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx

from hookgate import BadGateway, Fault, Headers
from hookgate_transport_httpx.faults import fault_of
from hookgate_transport_httpx.wire import Upload, length_of

READ_AHEAD = 2
"""Chunks (of at most 64 KiB) of a response that are held for a reader that is slower than the backend."""


class Call:
    """One request and its response, carried by a task of its own, which hands the chunks of the body over.

    So httpcore is never cancelled while it cleans up, whatever happens to those who wait: a cancellation of theirs
    abandons the call, and an abandoned call is cancelled once and its connection closed.
    """

    def __init__(
        self,
        transport: httpx.AsyncHTTPTransport,
        request: httpx.Request,
        *,
        repeatable: bool,
        ended: Callable[[Call], None],
    ) -> None:
        self.transport = transport
        self.whole = False
        """The response came to its proper end, so the connection can serve another call."""
        self._repeatable = repeatable
        self._ended: Callable[[Call], None] | None = ended
        """Told once that the connection is free, before whoever reads the response can know that it is over."""
        self.reused = True
        """It goes over a connection that had served another call, as far as is known by now."""
        self.begun = False
        """There is a connection, and the request goes out on it."""
        self.heard = False
        """The backend has said something on a connection that was opened for this call."""
        self._opening: Any = None
        """The socket, while it is ours and no connection of httpcore has it yet."""
        self._abandoned = False
        self._chunks: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self._room = asyncio.Event()
        request.extensions["trace"] = self._trace
        loop = asyncio.get_running_loop()
        assert isinstance(request.stream, Upload)
        self._turns = request.stream.turns
        self._turns.begin(loop.time())
        self._head: asyncio.Future[httpx.Response] = loop.create_future()
        self.task = loop.create_task(self._run(request), name=f"call {request.url.host}")
        self.task.add_done_callback(self._over)

    async def head(self) -> httpx.Response:
        """Wait for the head of the response; a cancellation meanwhile abandons the call."""
        try:
            return await self._head
        except asyncio.CancelledError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Have the call break off."""
        if not self._abandoned:
            self._abandoned = True
            self.task.cancel()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        chunk = await self._chunks.get()
        self._room.set()
        if isinstance(chunk, bytes):
            return chunk
        self._chunks.put_nowait(None)
        if chunk is None:
            raise StopAsyncIteration
        raise chunk

    async def aclose(self) -> None:
        """Close the response; the connection is kept only if the response had come to its end."""
        self.abandon()
        if not self.task.done():
            await asyncio.wait([self.task])

    async def _run(self, request: httpx.Request) -> None:
        try:
            response = await self._answer(request)
            assert isinstance(request.stream, httpx.AsyncByteStream)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            try:
                await request.stream.aclose()  # what is left of the body, where the backend answered before its end
                if not self._head.done():
                    self._head.set_result(response)
                last = await self._stream(response)
            finally:
                await response.stream.aclose()
        except Exception as error:  # noqa: BLE001  whoever waits for the call gets it
            self._free()
            failure = fault_of(error, fresh=not (self.reused or self.heard))
            if isinstance(failure, Fault) and self._turns.mostly_client(asyncio.get_running_loop().time()):
                failure.spares_target = True  # it was not for the backend to wait for that
            self._fail(failure)
            return
        self.whole = True
        self._free()
        if last is not None:
            self._chunks.put_nowait(last)
        self._chunks.put_nowait(None)

    def _over(self, task: asyncio.Task[None]) -> None:
        """Clean up after a call that was cancelled, perhaps before its first step."""
        if task.cancelled():
            self._free()
            self._fail(BadGateway("The call to the backend was broken off."))

    def _free(self) -> None:
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended(self)

    async def _stream(self, response: httpx.Response) -> bytes | None:
        """Hand the chunks over, all but the one that is known to be the last.

        That one follows when the connection is free again: whoever gets the end of a response may call at once.
        """
        assert isinstance(response.stream, httpx.AsyncByteStream)
        left = length_of(Headers.of(list(response.headers.raw)))
        last = None
        async for chunk in response.stream:
            if left is not None and len(chunk) == left:
                last = chunk
                continue
            left = None if left is None else left - len(chunk)
            await self._hand_over(chunk)
        return last

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        try:
            try:
                return await self.transport.handle_async_request(request)
            except (httpx.ReadError, httpx.RemoteProtocolError, ssl.SSLError):
                if not (self.reused and self._repeatable):
                    raise
            return await self.transport.handle_async_request(request)
        except BaseException:
            await request.stream.aclose()
            if self._opening is not None:  # cancelled during the TLS handshake, where httpcore forgets the socket
                await self._opening.aclose()
            raise

    async def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn from httpcore whether a connection is opened, and when it has the socket in its care."""
        if event in ("connection.connect_tcp.complete", "connection.connect_unix_socket.complete"):
            self.reused = False
            self._opening = info["return_value"]
        elif event == "connection.start_tls.complete":
            self._listen(info["return_value"])
        elif event in ("http11.send_request_headers.started", "http2.send_connection_init.started"):
            self._opening, self.begun = None, True

    def _listen(self, stream: Any) -> None:
        """Note the first octets that come over a connection; httpcore tells nobody of half a head."""
        read = stream.read

        async def reading(*given: Any, **named: Any) -> bytes:
            data: bytes = await read(*given, **named)
            if data:
                self.heard = True
                vars(stream).pop("read", None)
            return data

        stream.read = reading

    async def _hand_over(self, chunk: bytes) -> None:
        self._chunks.put_nowait(chunk)
        if self._chunks.qsize() >= READ_AHEAD:
            self._room.clear()
            now = asyncio.get_running_loop().time
            self._turns.client(now())
            await self._room.wait()
            self._turns.backend(now())

    def _fail(self, error: Exception) -> None:
        if self._head.done():
            self._chunks.put_nowait(error)
        else:
            self._head.set_exception(error)
