"""What tests of WebSockets have at both ends: backends that chat or only shake hands, and a gateway's document."""

import asyncio
import base64
import hashlib
import re
import socket as sockets
import threading
from contextlib import contextmanager

from websockets.asyncio.server import serve

NOTES = '''
from hookgate import Interceptor, Options, hookimpl

class Notes(Interceptor[Options]):
    """Keeps what happened."""

    def __init__(self, options):
        super().__init__(options)
        self.events = SEEN

    @hookimpl
    def on_request(self, exchange):
        SEEN.append("in " + exchange.request.upgrade)

    @hookimpl
    def on_response(self, exchange):
        SEEN.append("out %d" % exchange.response.status)
        exchange.response.headers.set("x-noted", "yes")

    @hookimpl
    def on_done(self, exchange):
        SEEN.append("done " + exchange.outcome)

SEEN = []
'''


@contextmanager
def chatting(handler):
    """Run a WebSocket server; yields its URL."""
    ready, port = threading.Event(), []

    async def main():
        nonlocal loop, stop
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        async with serve(handler, "127.0.0.1", 0, subprotocols=["chat"]) as server:
            port.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    loop = stop = None
    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield f"http://127.0.0.1:{port[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)


async def echo(socket):
    async for message in socket:
        await socket.send(message)


def document(url, *, lane, **gateway):
    return {
        "gateway": {"lane": lane, **gateway},
        "routes": [
            {"name": "posted", "match": {"path": "/posted", "methods": ["POST"]}, "to": {"connection": "backend"}},
            {"name": "chat", "match": {"path": "/chat"}, "to": {"connection": "backend"}},
        ],
        "connections": {"backend": {"targets": url}},
    }


def address(gate):
    return gate.url.replace("http", "ws") + "/chat?room=1"


# --- handshakes by hand -----------------------------------------------------------------------------------------------


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()


@contextmanager
def shaking(behave, *, accept=accept_of, more=""):
    """Run a backend that answers one handshake after the other, as it is told, and then behaves; yields its URL."""
    listening = sockets.create_server(("127.0.0.1", 0))
    heads = []

    def serve_them():
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                heads.append(head.lower())
                key = re.search(rb"(?im)^sec-websocket-key: *(\S+)", head)[1]
                answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                connection.sendall(f"{answer}Sec-WebSocket-Accept: {accept(key)}\r\n{more}\r\n".encode())
                behave(connection)

    thread = threading.Thread(target=serve_them, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heads
    finally:
        listening.shutdown(sockets.SHUT_RDWR)
        listening.close()
        thread.join(30)


def events_of(connection, framing):
    """What comes on the connection of a backend, until it is closed."""
    while data := connection.recv(65536):
        framing.receive_data(data)
        yield from framing.events()


def nothing(connection):
    """Go when something comes."""
    connection.recv(65536)


CHAT = ("sec-websocket-protocol", "chat")
