"""Two faults of Hypercorn 0.18, mended from within a call; under another ASGI server nothing is found to mend.

* ASGI has a place for the code with which a client closes its WebSocket, but Hypercorn says 1006 (broken off) of all.
  The code stands in the events of the ``wsproto`` connection that it makes for the call.
* What comes on an HTTP/2 stream that is over for Hypercorn ends the connection, with every other call on it: the rest
  of a request that was answered early, or the empty frame with which a client ends the stream of a closed WebSocket.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from hypercorn.protocol.h2 import H2Protocol
from wsproto.connection import Connection, ConnectionState
from wsproto.events import CloseConnection, Event

from hookgate.server.edge.asgi import Message, Receive, SendMessage


def spare_connection(send: SendMessage) -> None:
    """Have the HTTP/2 connection of a call bear frames that come late."""
    stream = getattr(send, "__self__", None)
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    if isinstance(protocol, H2Protocol) and not isinstance(protocol.streams, _Streams):
        protocol.streams = _Streams(protocol.streams)


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
