"""WebSockets where messages are known: what only the edge does, also over HTTP/2."""

import asyncio
import os
import socket as sockets

import pytest
import websockets
from websockets.asyncio.client import connect
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from hookgate.testing import running

from .extendedconnect import ExtendedConnect
from .websocketpairs import CHAT, NOTES, address, chatting, document, echo, events_of, nothing, shaking


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        ({"accept": lambda key: "bm90IHRoZSBrZXk="}, "Sec-WebSocket-Accept does not fit the key"),
        ({"more": "Sec-WebSocket-Extensions: permessage-deflate\r\n"}, "it uses a WebSocket extension"),
        ({"more": "Sec-WebSocket-Protocol: gossip\r\n"}, "it chose a subprotocol"),
    ],
)
def test_a_backend_that_answers_another_handshake_is_a_fault_like_any_other(tmp_path, answer, mistake):
    (tmp_path / "notes.py").write_text(NOTES)

    async def refused(url):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(url, subprotocols=["chat"])
        return refused.value.response

    with (
        shaking(nothing, **answer) as (url, _),
        running(document(url, lane=False, flow=["notes"]), plugins_dir=tmp_path) as gate,
    ):
        response = asyncio.run(refused(address(gate)))
        gate.wait_for_exchanges(1)
        seen = gate.gateway.live.config.instances["gateway/notes"].events
    assert response.status_code == 502
    assert mistake in response.body.decode()
    assert seen == ["in websocket", "out 502", "done ok"]


def test_the_backend_gets_a_handshake_of_our_own(lane):
    async def talk(url):
        async with connect(url, subprotocols=["chat", "gossip"], additional_headers={"x-mine": "1"}) as socket:
            return dict(socket.response.headers)

    with (
        shaking(nothing, more="X-Theirs: 2\r\nSec-WebSocket-Protocol: gossip\r\n") as (url, heads),
        running(document(url, lane=lane)) as gate,
    ):
        answer = asyncio.run(talk(address(gate)))
        gate.wait_for_exchanges(1)
    [head] = heads
    assert head.startswith(b"get /chat?room=1 http/1.1\r\n")
    for line in (b"upgrade: websocket", b"sec-websocket-version: 13", b"x-mine: 1", b"x-forwarded-proto: http"):
        assert head.count(line + b"\r\n") == 1
    assert b"sec-websocket-protocol: chat, gossip\r\n" in head
    assert (b"sec-websocket-extensions" in head) == lane, "the edge compresses for its client, not for the backend"
    assert (answer["x-theirs"], answer["sec-websocket-protocol"]) == ("2", "gossip")
    assert ("sec-websocket-extensions" in answer) == (not lane)


def test_a_message_of_the_client_that_is_too_long_closes_the_websocket():
    seen = []

    async def wait(socket):
        await socket.wait_closed()
        seen.append(socket.close_code)

    async def shout(url, message):
        async with connect(url, subprotocols=["chat"]) as socket:
            await socket.send(message)
            await socket.wait_closed()
            return socket.close_code, socket.close_reason

    with chatting(wait) as url, running(document(url, lane=False, limits={"buffered_body": 1000})) as gate:
        for message in ("x" * 1001, b"x" * 1001, "ä" * 501, ["x" * 500] * 3):
            assert asyncio.run(shout(address(gate), message)) == (1009, "the message is too long")
        exchanges = gate.wait_for_exchanges(4)
    assert seen == [1001] * 4
    assert {exchange.fault.status for exchange in exchanges} == {413}


def test_a_message_of_the_backend_that_is_too_long_closes_the_websocket():
    seen = []

    async def shout(socket):
        await socket.send("fits")
        await socket.send(["x" * 500] * 3)
        await socket.wait_closed()
        seen.append(socket.close_code)

    async def listen(url):
        async with connect(url, subprotocols=["chat"]) as socket:
            assert await socket.recv() == "fits"
            await socket.wait_closed()
            return socket.close_code

    with chatting(shout) as url, running(document(url, lane=False, limits={"buffered_body": 1000})) as gate:
        assert asyncio.run(listen(address(gate))) == 1014
        [exchange] = gate.wait_for_exchanges(1)
    assert seen == [1009]
    assert (exchange.outcome, exchange.bytes_sent) == ("broken", 4)


def test_the_limit_of_a_route_is_that_of_its_messages():
    limited = document("", lane=False)
    limited["routes"][1]["limits"] = {"buffered_body": 10}

    async def shout(url):
        async with connect(url, subprotocols=["chat"]) as socket:
            await socket.send("x" * 11)
            await socket.wait_closed()
            return socket.close_code

    with chatting(echo) as url:
        limited["connections"]["backend"]["targets"] = url
        with running(limited) as gate:
            assert asyncio.run(shout(address(gate))) == 1009


@pytest.mark.parametrize(
    ("sent", "told"),
    [(b"\x83\x01x", 1002), (b"\xc1\x01x", 1002), (b"\x81\x02\xc3\x28", 1007), (b"\x81\x81abcdx", 1002)],
    ids=["unknown opcode", "compressed", "no text", "masked"],
)
def test_a_backend_that_breaks_the_protocol_is_told_so_and_so_is_the_client(sent, told):
    codes = []

    def babble(connection):
        framing = Connection(ConnectionType.SERVER)
        connection.sendall(bytes(framing.send(TextMessage("before"))) + sent)
        codes.extend(event.code for event in events_of(connection, framing) if isinstance(event, CloseConnection))

    async def listen(url):
        async with connect(url) as socket:
            assert await socket.recv() == "before"
            await socket.wait_closed()
            return socket.close_code

    with shaking(babble) as (url, _), running(document(url, lane=False)) as gate:
        assert asyncio.run(listen(address(gate))) == 1014
        [exchange] = gate.wait_for_exchanges(1)
    assert codes == [told]
    assert (exchange.outcome, exchange.fault.reason) == ("broken", "upstream-protocol")


def test_pings_of_the_backend_are_answered_and_its_fragments_put_together():
    pongs = []

    def behave(connection):
        framing = Connection(ConnectionType.SERVER)

        def send(event):
            connection.sendall(framing.send(event))

        send(TextMessage("grü", message_finished=False))
        send(Ping(b"within"))
        connection.sendall(bytes(framing.send(TextMessage("ße", message_finished=False))) + b"\x00\x00\x80\x01!")
        send(CloseConnection(1005))
        pongs.extend(event.payload for event in events_of(connection, framing) if isinstance(event, Pong))

    async def listen(url):
        async with connect(url) as socket:
            return [message async for message in socket], socket.close_code

    with shaking(behave) as (url, _), running(document(url, lane=False)) as gate:
        assert asyncio.run(listen(address(gate))) == (["grüße!"], 1000)
        assert [exchange.bytes_sent for exchange in gate.wait_for_exchanges(1)] == [8]
    assert pongs == [b"within"]


def test_a_client_that_reads_nothing_is_given_up_after_the_idle_time():
    codes = []

    def flood(connection):
        framing = Connection(ConnectionType.SERVER)
        frame = bytes(framing.send(BytesMessage(os.urandom(65536))))
        connection.settimeout(60)
        try:
            while True:
                connection.sendall(frame)
        except OSError as error:
            codes.append(type(error))

    with shaking(flood) as (url, _), running(document(url, lane=False, limits={"upgrade_idle": 0.5})) as gate:
        with sockets.create_connection(gate.url.removeprefix("http://").split(":")) as client:
            head = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            client.sendall(f"{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n".encode())
            [exchange] = gate.wait_for_exchanges(1)
    assert exchange.outcome == "timeout"
    assert codes != [TimeoutError]


def test_a_websocket_over_http_2_takes_the_same_flow(tmp_path, lane):
    (tmp_path / "notes.py").write_text(NOTES)

    with chatting(echo) as url, running(document(url, lane=lane, flow=["notes"]), plugins_dir=tmp_path) as gate:
        with ExtendedConnect(gate.url) as client:
            head = client.connect("/chat?room=1", ("sec-websocket-protocol", "gossip, chat"))
            assert (head[b":status"], head[b"sec-websocket-protocol"], head[b"x-noted"]) == (b"200", b"chat", b"yes")
            assert b"sec-websocket-accept" not in head
            for message in (TextMessage("hello"), BytesMessage(b"\x00" * 300_000)):
                client.send(message)
                assert client.receive() == message.data
            client.send(CloseConnection(4000, "bye"))
            assert client.receive() == (4000, "bye")
        [exchange] = gate.wait_for_exchanges(1)
        seen = gate.gateway.live.config.instances["gateway/notes"].events
    assert seen == ["in websocket", "out 101", "done ok"]
    assert (exchange.request.method, exchange.request.http_version, exchange.request.scheme) == ("GET", "2", "http")
    assert (exchange.bytes_received, exchange.bytes_sent) == (300_005, 300_005)


def test_bytes_are_counted_both_ways(lane):
    """The lane counts what passes, frames and all; the edge counts messages. The head is no part of either."""
    with chatting(echo) as url, running(document(url, lane=lane)) as gate:

        async def talk():
            async with connect(address(gate), compression=None, subprotocols=["chat"]) as socket:
                for message in ("x" * 100_000, "y" * 1000):
                    await socket.send(message)
                    assert await socket.recv() == message

        asyncio.run(talk())
        [exchange] = gate.wait_for_exchanges(1)
    for counted in (exchange.bytes_received, exchange.bytes_sent):
        assert (101_000 < counted < 101_100) if lane else counted == 101_000


def test_websockets_and_calls_share_a_connection_of_http_2():
    with chatting(echo) as url, running(document(url, lane=False)) as gate, ExtendedConnect(gate.url) as client:
        assert client.connect("/nowhere")[b":status"] == b"404"
        assert client.connect("/chat", CHAT)[b":status"] == b"200"
        client.send(TextMessage("still there"))
        assert client.receive() == "still there"
        client.send(CloseConnection(1000))
        assert client.receive() == (1000, "")
        assert client.connect("/chat", CHAT)[b":status"] == b"200"
        client.send(TextMessage("and again"))
        assert client.receive() == "and again"


def test_what_comes_late_on_a_stream_of_http_2_does_no_harm_to_the_others():
    with chatting(echo) as url, running(document(url, lane=False)) as gate, ExtendedConnect(gate.url) as client:
        assert client.connect("/nowhere", CHAT)[b":status"] == b"404"
        client.send(TextMessage("to nobody"))
        assert client.connect("/chat", CHAT)[b":status"] == b"200"
        client.send(CloseConnection(1000))
        assert client.receive() == (1000, "")
        client.end()  # in a frame of its own, as browsers do
        assert client.connect("/chat", CHAT)[b":status"] == b"200"
        client.send(TextMessage("still there"))
        assert client.receive() == "still there"
