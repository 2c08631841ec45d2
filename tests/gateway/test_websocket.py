"""WebSockets through the lane: the handshake takes the flow, then bytes go both ways."""

import asyncio
import os
import threading
from contextlib import contextmanager

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from hookgate.testing import running

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
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    ready.wait()
    try:
        yield f"http://127.0.0.1:{port[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


async def echo(socket):
    async for message in socket:
        await socket.send(message)


def document(url, **gateway):
    return {
        "gateway": gateway,
        "routes": [{"name": "chat", "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": url}},
    }


def address(gate):
    return gate.url.replace("http", "ws") + "/chat?room=1"


def test_messages_go_both_ways_and_the_handshake_takes_the_flow(tmp_path):
    (tmp_path / "notes.py").write_text(NOTES)

    async def talk(url):
        async with connect(url, subprotocols=["chat"]) as socket:
            for message in ("hello", b"\x00\x01", "x" * 1_000_000):
                await socket.send(message)
                assert await socket.recv() == message
            return socket.subprotocol, socket.response.headers["x-noted"]

    with chatting(echo) as url, running(document(url, flow=["notes"]), plugins_dir=tmp_path) as gate:
        assert asyncio.run(talk(address(gate))) == ("chat", "yes")
        finished = gate.wait_for_exchanges(1)
        seen = gate.gateway.live.config.instances["gateway/notes"].events

    assert seen == ["in websocket", "out 101", "done ok"]
    assert [exchange.response.status for exchange in finished] == [101]


def test_a_handshake_that_the_backend_refuses_is_an_answer_like_any_other():
    async def refuse(connection, request):
        return connection.respond(403, "not you\n")

    async def main():
        async with serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
            port = server.sockets[0].getsockname()[1]
            async with running(document(f"http://127.0.0.1:{port}")) as gate:
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await connect(address(gate))
                assert (refused.value.response.status_code, refused.value.response.body) == (403, b"not you\n")
                assert (await gate.call("GET", "/")).status_code == 403, "the gateway goes on"

    asyncio.run(main())


def test_a_step_may_refuse_the_handshake():
    document = {"routes": [{"name": "no", "flow": [{"respond": {"status": 401}}]}]}

    async def main():
        async with running(document) as gate:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connect(address(gate))
            assert refused.value.response.status_code == 401

    asyncio.run(main())


def test_a_client_that_goes_away_ends_the_connection_to_the_backend():
    gone = threading.Event()

    async def wait(socket):
        await socket.wait_closed()
        gone.set()

    async def cut(url):
        socket = await connect(url, subprotocols=["chat"])
        socket.transport.abort()

    with chatting(wait) as url, running(document(url)) as gate:
        asyncio.run(cut(address(gate)))
        assert gone.wait(30)
        assert [exchange.outcome for exchange in gate.wait_for_exchanges(1)] == ["ok"]


def test_a_backend_that_goes_away_ends_the_connection_of_the_client():
    async def leave(socket):
        await socket.recv()
        socket.transport.abort()

    async def talk(url):
        async with connect(url, subprotocols=["chat"]) as socket:
            await socket.send("go")
            with pytest.raises(websockets.ConnectionClosedError):
                await socket.recv()

    with chatting(leave) as url, running(document(url)) as gate:
        asyncio.run(talk(address(gate)))
        assert len(gate.wait_for_exchanges(1)) == 1


def test_a_silent_websocket_is_closed_after_its_time():
    async def listen(url):
        async with connect(url, subprotocols=["chat"], ping_interval=None) as socket:
            with pytest.raises(websockets.ConnectionClosedError):
                await socket.recv()

    async def wait(socket):
        await socket.wait_closed()

    with chatting(wait) as url, running(document(url, limits={"upgrade_idle": 0.2})) as gate:
        asyncio.run(listen(address(gate)))


def test_a_reader_that_is_slow_holds_back_the_sender():
    sent = []

    async def flood(socket):
        chunk = os.urandom(262_144)  # which cannot be compressed
        for _ in range(400):
            await socket.send(chunk)
            sent.append(len(chunk))

    async def read_little(url):
        async with connect(url, subprotocols=["chat"], max_size=None, max_queue=1) as socket:
            await socket.recv()
            before = -1
            while len(sent) > before:  # until the pipe is full
                before = len(sent)
                await asyncio.sleep(0.3)
            assert before < 400, "a hundred mebibytes are not held for a reader that reads nothing"
            for _ in range(399):
                await socket.recv()

    with chatting(flood) as url, running(document(url)) as gate:
        asyncio.run(read_little(address(gate)))
    assert len(sent) == 400
