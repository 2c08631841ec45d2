"""Steps that look at the messages of a WebSocket, a gateway that has them, and clients of it."""

import asyncio
import socket as sockets
import sys
from contextlib import contextmanager, suppress

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from hookgate.testing import running

STEPS = '''
import asyncio
import sys

from hookgate import Branch, Exchange, FlowOptions, Forbidden, Interceptor, Message, Options, TooManyRequests, hookimpl

SEEN = []


class MarkOptions(Options):
    word: str


class Mark(Interceptor[MarkOptions]):
    """Adds its word to text, so that one sees who came when."""

    @hookimpl
    def on_message(self, exchange: Exchange, message: Message) -> Message | None:
        if isinstance(message.data, str):
            way = ">" if message.from_client else "<"
            return Message(message.data + way + self.options.word, message.from_client)
        return message

    @hookimpl
    def on_done(self, exchange: Exchange) -> None:
        SEEN.append(f"done {self.options.word} {exchange.outcome}")


class Slowly(Interceptor[MarkOptions]):
    """The same, and it waits."""

    @hookimpl
    async def on_message(self, exchange: Exchange, message: Message) -> Message | None:
        await asyncio.sleep(0)
        if isinstance(message.data, str):
            return Message(f"{message.data}~{self.options.word}", message.from_client)
        return message


class Odd(Interceptor[Options]):
    """Does to a message what it says."""

    @hookimpl
    async def on_message(self, exchange: Exchange, message: Message) -> Message | None:
        side, _, word = str(message.data).partition(" ")
        if side != ("client" if message.from_client else "backend"):
            return message
        SEEN.append(word)
        match word:
            case "drop":
                return None
            case "bytes":
                return Message(b"\\x00now bytes", message.from_client)
            case "text":
                return Message("now text", message.from_client)
            case "refuse":
                raise Forbidden("The detail is for nobody here.", reason="not-so")
            case "long":
                raise TooManyRequests(reason="ä" * 100)
            case "raise":
                raise RuntimeError("secret")
            case "str":
                return "secret"
            case "number":
                return Message(7, message.from_client)
            case "half":
                return Message("\\ud800", message.from_client)
            case "exit":
                sys.exit(3)
            case "cancelled":
                raise asyncio.CancelledError
            case "hang":
                await asyncio.sleep(3600)
        return message


class Sync(Interceptor[Options]):
    """What goes wrong without waiting."""

    @hookimpl
    def on_message(self, exchange: Exchange, message: Message) -> Message | None:
        match message.data:
            case "exit":
                sys.exit(3)
            case "coroutine":
                return asyncio.sleep(0)
        return message


class ForkOptions(Options):
    header: FlowOptions
    otherwise: FlowOptions


class Fork(Branch[ForkOptions]):
    """Two flows, and a header decides."""

    @property
    def branches(self):
        return {"header": self.options.header, "otherwise": self.options.otherwise}

    @hookimpl
    def choose(self, exchange: Exchange) -> str | None:
        return exchange.request.headers.get("x-fork")
'''


@contextmanager
def gateway(tmp_path, url, *, lane, flow=None, **more):
    """Run a gateway with a route `/chat` through steps of this file."""
    (tmp_path / "messages.py").write_text(STEPS)
    steps = flow if isinstance(flow, dict) else {"flow": flow}
    document = {
        "gateway": {"lane": lane, **more},
        "routes": [{"name": "chat", "match": {"path": "/chat"}, "to": {"connection": "backend"}, **steps}],
        "connections": {"backend": {"targets": url}},
    }
    with running(document, plugins_dir=tmp_path) as gate:
        gate.seen = seen(gate)
        gate.seen.clear()
        yield gate


def seen(gate):
    """What the steps have noted."""
    modules = [sys.modules[type(step).__module__] for step in gate.gateway.live.config.instances.values()]
    return next((module.SEEN for module in modules if hasattr(module, "SEEN")), [])


def address(gate):
    return gate.url.replace("http", "ws") + "/chat"


def talking(gate, *messages, **options):
    """Send messages and return the answers of an echo."""

    async def talk():
        async with connect(address(gate), subprotocols=["chat"], **options) as socket:
            answers = []
            for message in messages:
                await socket.send(message)
                answers.append(await socket.recv())
            return answers

    return asyncio.run(talk())


def closed(gate, *messages):
    """Send messages and return how the WebSocket is closed."""

    async def talk():
        async with connect(address(gate), subprotocols=["chat"]) as socket:
            with suppress(ConnectionClosed):
                for message in messages:
                    await socket.send(message)
                while True:
                    await socket.recv()
            return Close(socket.close_code, socket.close_reason)

    return asyncio.run(talk())


def mark(word, **more):
    return {"mark": {"word": word, **more}}


# --- the handshake ----------------------------------------------------------------------------------------------------

HANDSHAKE = (
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n"
)


# --- frames -----------------------------------------------------------------------------------------------------------


@contextmanager
def raw(gate):
    """Open a WebSocket and yield its socket, behind the answer to the handshake."""
    with sockets.create_connection(gate.url.removeprefix("http://").split(":"), 30) as client:
        client.sendall(HANDSHAKE.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 101"), head
        yield client


def masked(first, payload, *, length=None):
    """A frame of a client, its mask all zeros; ``length`` is what it says instead of the truth."""
    size = len(payload) if length is None else length
    width, kind = (0, size) if size < 126 else (2, 126) if size < 65536 else (8, 127)
    return bytes([first, 0x80 | kind]) + size.to_bytes(8, "big")[8 - width :] + bytes(4) + payload
