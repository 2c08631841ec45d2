"""WebSockets of apps, of a plain Hypercorn, and of ASGI servers that are not Hypercorn."""

import asyncio
import json
import socket as sockets
import threading

import pytest
from hypercorn.asyncio import serve as hypercorn
from hypercorn.config import Config, Sockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from hookgate.gateway.gateway import Gateway
from hookgate.server.app import create_app
from hookgate.server.edge.websocket import WebSocketEdge
from hookgate.testing import running
from hookgate.testing.gateway import Memory

from .websocketpairs import chatting, document, echo

ECHO = '''
from quart import Blueprint, websocket

from hookgate import App, Options, hookimpl

class Echo(App[Options]):
    """Says what it hears."""

    @hookimpl
    def blueprint(self, host):
        pages = Blueprint("echo", __name__)

        @pages.websocket("/echo")
        async def echo():
            while True:
                await websocket.send("app: " + await websocket.receive())

        return pages
'''


def test_an_exposed_app_keeps_its_websockets(tmp_path, lane):
    (tmp_path / "echo.py").write_text(ECHO)

    async def talk(url):
        async with connect(url) as socket:
            await socket.send("hello")
            return await socket.recv()

    with running(document("http://127.0.0.1:1", lane=lane, expose={"/live": "echo"}), plugins_dir=tmp_path) as gate:
        assert asyncio.run(talk(gate.url.replace("http", "ws") + "/live/echo")) == "app: hello"
        assert gate.finished == [], "it is no call of the gateway"


async def test_plain_hypercorn_with_the_app_takes_websockets(tmp_path):
    config = Config()
    with sockets.create_server(("127.0.0.1", 0)) as listening, chatting(echo) as url:
        (tmp_path / "gateway.json").write_text(json.dumps(document(url, lane=True)))
        config.bind = [f"fd://{listening.fileno()}"]
        config.create_sockets = lambda: Sockets([], [listening], [])
        stop = asyncio.Event()
        serving = asyncio.create_task(
            hypercorn(create_app(tmp_path / "gateway.json"), config, shutdown_trigger=stop.wait)
        )
        async with connect(f"ws://127.0.0.1:{listening.getsockname()[1]}/chat", subprotocols=["chat"]) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        stop.set()
        await serving


# --- servers that are not Hypercorn -----------------------------------------------------------------------------------


class AsgiServer:
    """An ASGI server of a test, which has one client with one call."""

    def __init__(self, *incoming, extensions=None, fails_at=None):
        self.scope = {
            "type": "websocket",
            "http_version": "1.1",
            "scheme": "ws",
            "path": "/chat",
            "query_string": b"",
            "headers": [(b"host", b"a")],
            "subprotocols": ["chat"],
            "extensions": extensions,
        }
        self.incoming = asyncio.Queue()
        for message in ({"type": "websocket.connect"}, *incoming):
            self.incoming.put_nowait(message)
        self.sent = []
        self.fails_at = fails_at

    async def send(self, message):
        if message["type"] == self.fails_at:
            raise OSError("the client is gone")
        self.sent.append(message)
        if message["type"] == "websocket.close":
            self.incoming.put_nowait({"type": "websocket.disconnect", "code": message.get("code", 1000)})

    async def call(self, gateway):
        async with asyncio.timeout(60):
            await WebSocketEdge(gateway)(self.scope, self.incoming.get, self.send)
        return [message["type"] for message in self.sent]


def test_a_server_that_cannot_send_answers_refuses_the_handshake():
    with running(document("http://127.0.0.1:1", lane=True)) as gate:
        server = AsgiServer()
        assert gate.run(server.call(gate.gateway)) == ["websocket.close"]
        assert [exchange.response.status for exchange in gate.wait_for_exchanges(1)] == [502]


def test_a_gateway_that_is_starting_says_so():
    server = AsgiServer(extensions={"websocket.http.response": {}})
    sent = asyncio.run(server.call(Gateway(Memory({"routes": []}))))
    assert sent == ["websocket.http.response.start", "websocket.http.response.body"]
    assert server.sent[0]["status"] == 503


@pytest.mark.parametrize(
    ("message", "told", "outcome"),
    [
        ({"code": 4321, "reason": "enough"}, (4321, "enough"), "ok"),
        ({"code": 1005}, (1005, ""), "ok"),
        ({}, (1005, ""), "ok"),
        ({"code": 1006}, (1006, ""), "aborted"),
    ],
)
def test_a_client_that_leaves_is_reported_as_the_server_says(message, told, outcome):
    seen = []

    async def wait(socket):
        await socket.send("welcome")
        await socket.wait_closed()
        seen.append((socket.close_code, socket.close_reason))

    async def talk(gateway):
        server = AsgiServer()
        call = asyncio.create_task(server.call(gateway))
        async with asyncio.timeout(60):
            while len(server.sent) < 2:
                await asyncio.sleep(0.01)
        server.incoming.put_nowait({"type": "websocket.disconnect", **message})
        await call
        return server.sent

    with chatting(wait) as url, running(document(url, lane=True)) as gate:
        assert gate.run(talk(gate.gateway))[1:] == [{"type": "websocket.send", "text": "welcome"}]
        assert [exchange.outcome for exchange in gate.wait_for_exchanges(1)] == [outcome]
    assert seen == [told]


def test_a_server_that_fails_to_send_means_that_the_client_is_gone():
    async def welcome(socket):
        await socket.send("welcome")
        await socket.wait_closed()

    with chatting(welcome) as url, running(document(url, lane=True)) as gate:
        server = AsgiServer(fails_at="websocket.send")
        assert gate.run(server.call(gate.gateway)) == ["websocket.accept"]
        assert [exchange.outcome for exchange in gate.wait_for_exchanges(1)] == ["aborted"]


def test_a_client_that_leaves_during_the_handshake_ends_the_call():
    asked = threading.Event()

    async def never(connection, request):
        asked.set()
        await asyncio.sleep(60)

    async def main():
        async with serve(echo, "127.0.0.1", 0, process_request=never) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with running(document(url, lane=True)) as gate:
                server = AsgiServer({"type": "websocket.disconnect", "code": 1006})
                sent = await asyncio.to_thread(gate.run, server.call(gate.gateway))
                assert sent == []
                exchanges = await asyncio.to_thread(gate.wait_for_exchanges, 1)
                assert [exchange.outcome for exchange in exchanges] == ["aborted"]

    asyncio.run(main())
