"""Where steps look at messages: how a WebSocket ends, whoever ends it."""

import asyncio
import socket as sockets
import threading
from contextlib import suppress

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection

from hookgate.testing import running

from .websocketpairs import chatting, echo, events_of, shaking
from .websocketsteps import HANDSHAKE, STEPS, address, closed, gateway, mark, masked, raw, seen


def test_close_codes_are_passed_on_both_ways(tmp_path, lane):
    told = []

    async def close(socket):
        with suppress(ConnectionClosed):
            async for word in socket:
                if word == "close>a":
                    await socket.close(4002, "as you wish")
        told.append(Close(socket.close_code, socket.close_reason))

    async def leave(gate):
        for code, reason in ((4001, "grüße"), (3000, "x" * 123)):
            socket = await connect(address(gate), subprotocols=["chat"])
            await socket.send("wait")
            await socket.close(code, reason)

    with chatting(close) as url, gateway(tmp_path, url, lane=lane, flow=[mark("a")]) as gate:
        assert closed(gate, "close") == Close(4002, "as you wish")
        asyncio.run(leave(gate))
        assert [exchange.outcome for exchange in gate.wait_for_exchanges(3)] == ["ok"] * 3
    assert told[1:] == [Close(4001, "grüße"), Close(3000, "x" * 123)]


def test_closings_that_cross_do_no_harm(tmp_path, lane):
    """Both sides close at once, and neither hears of the other's closing as an answer to its own."""
    met = threading.Barrier(2)

    def behave(connection):
        framing = Connection(ConnectionType.SERVER)
        met.wait(30)
        connection.sendall(framing.send(CloseConnection(4001)))
        list(events_of(connection, framing))

    with shaking(behave) as (url, _), gateway(tmp_path, url, lane=lane, flow=[mark("a")]) as gate:
        with raw(gate) as client:
            met.wait(30)
            client.sendall(masked(0x88, b"\x0f\xa2"))
            framing = Connection(ConnectionType.CLIENT)
            [closing] = list(events_of(client, framing))
        [exchange] = gate.wait_for_exchanges(1)
        assert gate.seen == ["done a ok"]
    assert closing.code in (4001, 4002)
    assert exchange.outcome == "ok"


def test_what_was_said_before_the_closing_comes_through(tmp_path, lane):
    heard = []

    async def say(socket):
        async for message in socket:
            heard.append(message)
            if message == "last~b":
                for number in range(500):
                    await socket.send(f"{number}")
                await socket.close(1000, "that is all")

    async def listen(gate):
        async with connect(address(gate), subprotocols=["chat"]) as socket:
            for number in range(500):
                await socket.send(f"{number}")
            await socket.send("last")
            return [message async for message in socket], socket.close_reason

    with chatting(say) as url, gateway(tmp_path, url, lane=lane, flow=[{"slowly": {"word": "b"}}]) as gate:
        told, reason = asyncio.run(listen(gate))
    assert heard == [*(f"{number}~b" for number in range(500)), "last~b"]
    assert (told, reason) == ([f"{number}~b" for number in range(500)], "that is all")


def test_what_a_client_has_said_before_it_was_gone_goes_on(tmp_path):
    heard, over = [], threading.Event()

    async def listen(socket):
        with suppress(ConnectionClosed):
            while True:
                heard.append(await socket.recv())
        heard.append(socket.close_code)
        over.set()

    with chatting(listen) as url, gateway(tmp_path, url, lane=True, flow=[{"slowly": {"word": "b"}}]) as gate:
        with sockets.create_connection(gate.url.removeprefix("http://").split(":"), 30) as client:
            client.sendall(HANDSHAKE.encode() + masked(0x81, b"x") * 100)
            client.recv(1)
        assert over.wait(30)
        assert [exchange.outcome for exchange in gate.wait_for_exchanges(1)] == ["aborted"]
    assert heard == ["x~b"] * 100 + [1006]


def test_a_client_that_vanishes_ends_the_call_although_a_step_hangs(tmp_path):
    with chatting(echo) as url, gateway(tmp_path, url, lane=True, flow=["odd", mark("a")]) as gate:
        with raw(gate) as client:
            client.sendall(masked(0x81, b"client hang"))
            while "hang" not in gate.seen:
                threading.Event().wait(0.01)
        [exchange] = gate.wait_for_exchanges(1)
        assert gate.seen == ["hang", "done a aborted"]
    assert exchange.outcome == "aborted"


def test_a_backend_that_vanishes_is_told_to_the_client(tmp_path, lane):
    async def leave(socket):
        await socket.recv()
        socket.transport.abort()

    with chatting(leave) as url, gateway(tmp_path, url, lane=lane, flow=["odd"]) as gate:
        assert closed(gate, "go", "client hang") == Close(1014, "the backend is gone")
        [exchange] = gate.wait_for_exchanges(1)
    assert (exchange.outcome, exchange.fault.reason) == ("broken", "upstream-closed")


def test_a_silent_websocket_is_closed_after_its_time(tmp_path, lane):
    told = []

    async def wait(socket):
        await socket.wait_closed()
        told.append(socket.close_code)

    limits = {"upgrade_idle": 0.3}
    with chatting(wait) as url, gateway(tmp_path, url, lane=lane, flow=[mark("a")], limits=limits) as gate:
        assert closed(gate, "hello") == Close(1001, "idle for too long")
        [exchange] = gate.wait_for_exchanges(1)
    assert (told, exchange.outcome, exchange.fault.reason) == ([1001], "timeout", "upgrade-idle")


def test_pings_of_a_client_keep_the_websocket_of_the_lane_open(tmp_path):
    limits = {"upgrade_idle": 5}
    with chatting(echo) as url, gateway(tmp_path, url, lane=True, flow=[mark("a")], limits=limits) as gate:
        with raw(gate) as client:
            for _ in range(2):
                client.sendall(masked(0x89, b"?"))
                assert client.recv(100) == b"\x8a\x01?"
                threading.Event().wait(2.7)
            client.sendall(masked(0x81, b"here"))
            assert client.recv(100) == b"\x81\x08here>a<a"


def test_a_gateway_that_stops_ends_websockets_after_its_patience(tmp_path, lane):
    async def talk(gate):
        socket = await connect(address(gate), subprotocols=["chat"])
        await socket.send("hello")
        assert await socket.recv() == "hello>a<a"
        return socket

    async def main():
        (tmp_path / "messages.py").write_text(STEPS)
        document = {
            "gateway": {"lane": lane, "shutdown_timeout": 0.2},
            "routes": [{"match": {"path": "/chat"}, "to": {"connection": "backend"}, "flow": [mark("a")], "name": "a"}],
            "connections": {"backend": {"targets": url}},
        }
        async with running(document, plugins_dir=tmp_path) as gate:
            socket = await talk(gate)
            noted = seen(gate)
            noted.clear()
        await socket.wait_closed()
        return noted

    with chatting(echo) as url:
        assert asyncio.run(main()) == ["done a aborted"]
