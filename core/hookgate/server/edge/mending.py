"""Faults of Hypercorn 0.18, mended at the connections that we hand over, and else from within a call; under another
ASGI server nothing is found to mend.

* ASGI has a place for the code with which a client closes its WebSocket, but Hypercorn says 1006 (broken off) of all.
  The code stands in the events of the ``wsproto`` connection that it makes for the call.
* What comes on an HTTP/2 stream that is over for Hypercorn ends the connection, with every other call on it: the rest
  of a request that was answered early, or the empty frame with which a client ends the stream of a closed WebSocket.
* What it stumbles over, such as a CONNECT without ``:path``, ends the calls on the connection in 500, and leaves them
  waiting for ever to be sent.
* A scope does not say whether a target without a query ended in ``?``, which callers may have signed.
* Interim answers are for HTTP/2 and of one kind there; trailers are for HTTP/2.
* The time limit of a connection stops as HTTP/1.1 becomes HTTP/2, and runs only when a call has been served.
* Over HTTP/2, clients are not told that a connection ends before it does, nor that a stream was refused unread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, cast

from h2.errors import ErrorCodes
from h2.events import RequestReceived
from h2.exceptions import DenialOfServiceError, ProtocolError
from hypercorn.events import Closed, RawData, Updated
from hypercorn.events import Event as Told
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.events import Event as Said
from hypercorn.protocol.events import Request, Response, StreamClosed, Trailers
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.protocol.ws_stream import WSStream
from wsproto.connection import Connection, ConnectionState
from wsproto.events import CloseConnection, Event

from hookgate.exchange.exchange import Exchange
from hookgate.exchange.messages import RawHeader
from hookgate.http.forwarding import hints
from hookgate.server.edge.strict import Strict

if TYPE_CHECKING:
    from hookgate.server.edge.asgi import Message, Receive, SendMessage

log = logging.getLogger("hookgate.hypercorn")

GOING = b"\0\0\x08\7\0\0\0\0\0\x7f\xff\xff\xff\0\0\0\0"
"""A GOAWAY that takes what is on its way already (RFC 9113, 6.8). After one of its own, h2 would take nothing."""


def _keep_target(kind: Any) -> None:
    handle = kind.handle

    async def kept(stream: Any, event: Any) -> None:
        if isinstance(event, Request):
            stream.target = event.raw_path
        await handle(stream, event)
        if isinstance(event, Request) and isinstance(stream, WSStream) and not stream.handshake.is_valid():
            protocol = getattr(stream.send, "__self__", None)  # it has answered, and asked no app
            strict = getattr(getattr(protocol, "connection", None), "h11_connection", None)
            if (refused := getattr(strict or protocol, "refused", None)) is not None:
                refused(event.method.encode(), event.raw_path, 400, event.http_version)

    kind.handle = kept


for _kind in (HTTPStream, WSStream):
    _keep_target(_kind)


class Telling:
    """Tells the client of a call what comes before and behind its answer, beside what ASGI has for that."""

    def __init__(self, send: SendMessage) -> None:
        self._stream: Any = getattr(send, "__self__", None)
        self._tasks: set[asyncio.Task[None]] = set()

    def inform(self, exchange: Exchange, status: int, fields: list[RawHeader]) -> None:
        """Pass on what a backend says before its answer."""
        stream = self._stream
        if isinstance(stream, HTTPStream) and stream.state is ASGIHTTPState.REQUEST and not stream.closed:
            told = stream.send(Response(stream.stream_id, hints(exchange, fields), status))
            self._tasks.add(task := asyncio.ensure_future(told))
            task.add_done_callback(self._tasks.discard)

    def put_behind(self, trailers: list[RawHeader]) -> None:
        """Have trailers follow the last chunk of an answer over HTTP/1.1."""
        connection = getattr(getattr(getattr(self._stream, "send", None), "__self__", None), "connection", None)
        if isinstance(connection, Strict):
            connection.trailers = trailers


def spare_connection(send: SendMessage) -> None:
    """Have the HTTP/2 connection of a call bear frames that come late."""
    stream = getattr(send, "__self__", None)
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    if isinstance(protocol, H2Protocol):
        _mend(protocol)


def mend(protocol: ProtocolWrapper, refused: Callable[..., None]) -> None:
    """Have a new connection bear whatever its client does, and tell what it refused."""
    protocol.__class__ = _Protocol
    protocol.refused = refused  # type: ignore[attr-defined]
    protocol.protocol = protocol.protocol


def _mend(protocol: H2Protocol) -> None:
    if not isinstance(protocol, _Http2):
        protocol.__class__ = _Http2
        protocol.streams = _Streams(protocol.streams)


class _Protocol(ProtocolWrapper):
    refused: Callable[..., None]

    def __setattr__(self, name: str, value: object) -> None:
        if isinstance(value, H2Protocol):  # also where a connection of HTTP/1.1 becomes one of HTTP/2
            _mend(value)
            cast("_Http2", value).refused = self.refused
        super().__setattr__(name, value)

    async def handle(self, event: Told) -> None:
        before = self.protocol
        try:
            await super().handle(event)
            if self.protocol is not before and not getattr(self.protocol, "streams", True):
                await self.send(Updated(idle=True))  # it has stopped the time limit for a call, which there is not
        except Exception as error:  # noqa: BLE001 - it would end the calls on this connection in 500, and wait for them
            log.warning("a connection is closed, since Hypercorn stumbled over its client: %r", error)
            self.refused(b"", b"", 400)
            await self.send(Closed())


class _Http2(H2Protocol):
    refused: Callable[..., None] = staticmethod(lambda *_: None)
    """Told of what was no call: method, target and status."""

    @property
    def begun(self) -> bool:
        """Whether the head of a request has begun and is not all there."""
        buffer = self.connection.incoming_buffer  # h2 has no other place that tells
        started = getattr(buffer, "_data", b"")[3:4] == b"\1"  # a frame HEADERS
        return started or bool(getattr(buffer, "_headers_buffer", ()))

    async def handle(self, event: Told) -> None:
        if isinstance(event, RawData):
            try:
                events = self.connection.receive_data(event.data)
            except ProtocolError as error:
                await self._flush()  # which tells it so
                self.refused(b"", b"", 431 if isinstance(error, DenialOfServiceError) else 400)
                await self.send(Closed())
            else:
                await self._handle_events(events)
            return
        await super().handle(event)
        if isinstance(event, Closed):
            for buffer in list(self.stream_buffers.values()):
                await buffer.close()  # nobody empties it any more

    async def _handle_events(self, events: list[Any]) -> None:
        if self.context.terminated.is_set():
            for late in [each for each in events if isinstance(each, RequestReceived)]:
                events.remove(late)
                self.connection.reset_stream(late.stream_id, ErrorCodes.REFUSED_STREAM)
        await super()._handle_events(events)

    async def stream_send(self, event: Said) -> None:
        if not (self.closed or (isinstance(event, Trailers) and not event.headers)):  # which it cannot send
            await super().stream_send(event)
            # Between calls only: clients that are made with h2, too, lose every call under way by it.
            ends = isinstance(event, StreamClosed) and not self.streams and self.context.terminate.is_set()
            if ends and not self.context.terminated.is_set():
                await self.send(RawData(GOING))

    async def _create_stream(self, request: Any) -> None:
        fields = dict(request.headers)
        path = fields.get(b":path", b"")
        if fields.get(b"expect", b"").lower() == b"100-continue":  # Hypercorn does so over HTTP/1.1
            self.connection.send_headers(request.stream_id, [(b":status", b"100")])
        if path and path.isascii() and fields[b":method"].isascii():
            await super()._create_stream(request)
        else:  # CONNECT without a path is for another kind of proxy
            status = 400 if path else 501
            self.connection.send_headers(request.stream_id, [(b":status", b"%d" % status)], end_stream=True)
            self.refused(fields.get(b":method", b""), path or fields.get(b":authority", b""), status)


class _Over:
    """A stream that is over."""

    async def handle(self, event: object) -> None:
        """Nobody is interested."""


class _Streams(dict[int, Any]):
    def __missing__(self, stream_id: int) -> _Over:
        return _Over()


def with_close_codes(receive: Receive, send: SendMessage) -> tuple[Receive, SendMessage]:
    """Return the two functions of a WebSocket call such that ``websocket.disconnect`` has the client's code."""
    stream = getattr(send, "__self__", None)
    closing: list[CloseConnection] = []

    async def watched(message: Message) -> None:
        await send(message)
        if message["type"] == "websocket.accept" and isinstance(
            made := getattr(stream, "connection", None), Connection
        ):
            made.events = _noting(made, closing)  # type: ignore[method-assign]

    async def told() -> Message:
        message = await receive()
        if message["type"] == "websocket.disconnect" and closing:
            return {**message, "code": int(closing[0].code), "reason": closing[0].reason or ""}
        return message

    return told, watched


def _noting(connection: Connection, closing: list[CloseConnection]) -> Callable[[], Generator[Event, None, None]]:
    original = connection.events

    def events() -> Generator[Event, None, None]:
        for event in original():
            # In any other state it is wsproto that gives up, or our own closing that is answered.
            if isinstance(event, CloseConnection) and connection.state is ConnectionState.REMOTE_CLOSING:
                closing.append(event)
            yield event

    return events
