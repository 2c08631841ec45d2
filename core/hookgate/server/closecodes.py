"""The code with which a client closes its WebSocket, which Hypercorn keeps to itself.

ASGI has a place for it, but Hypercorn 0.18 says 1006 (broken off) of every client that closes. The code stands in the
events of the ``wsproto`` connection that Hypercorn makes for the call, so they are watched as they pass. Under another
ASGI server nothing is found to watch, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from wsproto.connection import Connection, ConnectionState
from wsproto.events import CloseConnection, Event

from hookgate.http.asgi import Message, Receive, SendMessage


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
