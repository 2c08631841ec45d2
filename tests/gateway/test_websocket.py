"""WebSockets: the handshake takes the flow, then the lane passes bytes on, and the edge messages. Where a step looks at
messages, both pass on messages: `test_websocket_messages.py`.

What both do alike is tested for both. What may differ, since only the edge knows what a frame is:

* the outcome of a call: the lane says ``ok`` however a WebSocket ended; the edge says ``aborted`` where the client was
  gone without closing it, ``broken`` where the backend was, and ``timeout`` where nothing was said;
* what a side hears when the other is gone or nothing was said: in the lane its connection ends (1006); the edge closes
  with 1014 and 1001. A backend whose client is gone sees its connection end in both;
* pings of a client go to the backend through the lane and keep the WebSocket from being idle; at the edge Hypercorn
  answers them, and nobody else hears of them. Pings of a backend count in both;
* extensions are negotiated with the backend through the lane, with Hypercorn at the edge;
* a handshake that is none (no key, another version) is answered by the backend or by Hypercorn.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import socket as sockets
import threading
from contextlib import contextmanager

import pytest
import websockets
from hypercorn.asyncio import serve as hypercorn
from hypercorn.config import Config, Sockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.frames import Close
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from hookgate.gateway.gateway import Gateway
from hookgate.server.app import create_app
from hookgate.server.edge.websocket import WebSocketEdge
from hookgate.testing import running
from hookgate.testing.gateway import Memory

from .extendedconnect import ExtendedConnect

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


@pytest.fixture(params=[True, False], ids=["lane", "edge"])
def lane(request):
    return request.param


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


def test_messages_go_both_ways_and_the_handshake_takes_the_flow(tmp_path, lane):
    (tmp_path / "notes.py").write_text(NOTES)

    async def talk(url):
        async with connect(url, subprotocols=["chat"]) as socket:
            for message in ("hello", b"\x00\x01", "x" * 1_000_000):
                await socket.send(message)
                assert await socket.recv() == message
            return socket.subprotocol, socket.response.headers["x-noted"]

    with chatting(echo) as url, running(document(url, lane=lane, flow=["notes"]), plugins_dir=tmp_path) as gate:
        assert asyncio.run(talk(address(gate))) == ("chat", "yes")
        finished = gate.wait_for_exchanges(1)
        seen = gate.gateway.live.config.instances["gateway/notes"].events

    assert seen == ["in websocket", "out 101", "done ok"]
    assert [exchange.response.status for exchange in finished] == [101]


def test_a_handshake_that_the_backend_refuses_is_an_answer_like_any_other(lane):
    async def refuse(connection, request):
        return connection.respond(403, "not you\n")

    async def main():
        async with serve(echo, "127.0.0.1", 0, process_request=refuse) as server:
            port = server.sockets[0].getsockname()[1]
            async with running(document(f"http://127.0.0.1:{port}", lane=lane)) as gate:
                with pytest.raises(websockets.InvalidStatus) as refused:
                    await connect(address(gate))
                assert (refused.value.response.status_code, refused.value.response.body) == (403, b"not you\n")
                assert (await gate.call("GET", "/chat")).status_code == 403, "the gateway goes on"

    asyncio.run(main())


def test_a_step_may_refuse_the_handshake(lane):
    respond = {"respond": {"status": 401, "headers": {"x-why": "no"}, "body": "who are you?"}}
    document = {"gateway": {"lane": lane}, "routes": [{"name": "no", "flow": [respond]}]}

    async def main():
        async with running(document) as gate:
            with pytest.raises(websockets.InvalidStatus) as refused:
                await connect(address(gate))
            answer = refused.value.response
            assert (answer.status_code, answer.headers["x-why"], answer.body) == (401, "no", b"who are you?")
            assert [exchange.outcome for exchange in gate.wait_for_exchanges(1)] == ["ok"]

    asyncio.run(main())


def test_a_client_that_goes_away_ends_the_connection_to_the_backend(lane):
    gone = threading.Event()

    async def wait(socket):
        await socket.wait_closed()
        gone.set()

    async def cut(url):
        socket = await connect(url, subprotocols=["chat"])
        socket.transport.abort()

    with chatting(wait) as url, running(document(url, lane=lane)) as gate:
        asyncio.run(cut(address(gate)))
        assert gone.wait(30)
        assert [exchange.outcome for exchange in gate.wait_for_exchanges(1)] == ["ok" if lane else "aborted"]


def test_a_backend_that_goes_away_ends_the_connection_of_the_client(lane):
    async def leave(socket):
        await socket.recv()
        socket.transport.abort()

    async def talk(url):
        async with connect(url, subprotocols=["chat"]) as socket:
            await socket.send("go")
            with pytest.raises(websockets.ConnectionClosedError) as closed:
                await socket.recv()
            return closed.value.rcvd

    with chatting(leave) as url, running(document(url, lane=lane)) as gate:
        told = asyncio.run(talk(address(gate)))
        [exchange] = gate.wait_for_exchanges(1)
    assert told == (None if lane else Close(1014, "the backend is gone"))
    assert exchange.outcome == ("ok" if lane else "broken")
    assert exchange.attempts[0].outcome.kind == ("ok" if lane else "broken"), "so that a monitor hears of it"


def test_a_silent_websocket_is_closed_after_its_time(lane):
    told = []

    async def listen(url):
        async with connect(url, subprotocols=["chat"], ping_interval=None) as socket:
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.recv()
            return closed.value.rcvd

    async def wait(socket):
        await socket.wait_closed()
        told.append(socket.close_code)

    with chatting(wait) as url, running(document(url, lane=lane, limits={"upgrade_idle": 0.2})) as gate:
        heard = asyncio.run(listen(address(gate)))
        [exchange] = gate.wait_for_exchanges(1)
    assert heard == (None if lane else Close(1001, "idle for too long"))
    assert told == [1006 if lane else 1001]
    assert exchange.outcome == ("ok" if lane else "timeout")


def test_a_reader_that_is_slow_holds_back_the_sender(lane):
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

    with chatting(flood) as url, running(document(url, lane=lane)) as gate:
        asyncio.run(read_little(address(gate)))
    assert len(sent) == 400


def test_a_backend_that_reads_slowly_holds_back_the_client(lane):
    goes_on = threading.Event()

    async def sleepy(socket):
        await asyncio.to_thread(goes_on.wait)
        async for _ in socket:
            pass

    async def flood(url):
        chunk, sent = os.urandom(262_144), 0
        async with connect(url, subprotocols=["chat"], compression=None) as socket:
            while sent < 400:
                try:
                    async with asyncio.timeout(None if goes_on.is_set() else 1):
                        await socket.send(chunk)
                    sent += 1
                except TimeoutError:
                    assert sent < 300, "a hundred mebibytes are not held for a backend that reads nothing"
                    goes_on.set()
                    sent += 1  # what was begun goes out all the same
        assert goes_on.is_set()

    with chatting(sleepy) as url, running(document(url, lane=lane)) as gate:
        try:
            asyncio.run(flood(address(gate)))
        finally:
            goes_on.set()


def test_close_codes_are_passed_on_both_ways(lane):
    seen = []

    async def close(socket):
        word = await socket.recv()
        if word == "close":
            await socket.close(4002, "as you wish")
        else:
            await socket.wait_closed()
            seen.append((socket.close_code, socket.close_reason))

    async def talk(url):
        async with connect(url, subprotocols=["chat"]) as socket:
            await socket.send("close")
            with pytest.raises(websockets.ConnectionClosed) as closed:
                await socket.recv()
        for code, reason in ((4001, "grüße"), (1000, ""), (3000, "x" * 123)):
            socket = await connect(url, subprotocols=["chat"])
            await socket.send("wait")
            await socket.close(code, reason)
        return closed.value.rcvd

    with chatting(close) as url, running(document(url, lane=lane)) as gate:
        told = asyncio.run(talk(address(gate)))
        assert [exchange.outcome for exchange in gate.wait_for_exchanges(4)] == ["ok"] * 4
    assert told == Close(4002, "as you wish")
    assert seen == [(4001, "grüße"), (1000, ""), (3000, "x" * 123)]


def test_what_the_backend_says_before_it_closes_comes_through(lane):
    async def say(socket):
        for number in range(2000):
            await socket.send(f"{number}" * 100)
        await socket.close(1000, "that is all")

    async def listen(url):
        async with connect(url, subprotocols=["chat"]) as socket:
            return [message async for message in socket], socket.close_reason

    with chatting(say) as url, running(document(url, lane=lane)) as gate:
        heard, reason = asyncio.run(listen(address(gate)))
    assert heard == [f"{number}" * 100 for number in range(2000)]
    assert reason == "that is all"


def test_fragments_empty_messages_and_pings_do_no_harm(lane):
    async def talk(url):
        async with connect(url, subprotocols=["chat"]) as socket:
            await socket.send(["one, ", "", "zwölf"])
            await (await socket.ping(b"there?"))
            await socket.send("")
            await socket.send([b"\xff", b"\xfe"])
            await socket.send(b"")
            return [await socket.recv() for _ in range(4)]

    with chatting(echo) as url, running(document(url, lane=lane)) as gate:
        assert asyncio.run(talk(address(gate))) == ["one, zwölf", "", b"\xff\xfe", b""]


def test_a_handshake_that_no_route_takes_is_answered_with_problem_details(lane):
    async def refused(url):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(url)
        answer = refused.value.response
        assert answer.headers["content-type"] == "application/problem+json"
        return answer.status_code

    with running(document("http://127.0.0.1:1", lane=lane)) as gate:
        base = gate.url.replace("http", "ws")
        assert asyncio.run(refused(base + "/nowhere")) == 404
        assert asyncio.run(refused(base + "/posted")) == 405
        assert asyncio.run(refused(base + "/chat")) == 502
        assert [exchange.response.status for exchange in gate.wait_for_exchanges(3)] == [404, 405, 502]


# --- what only the edge does ------------------------------------------------------------------------------------------


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


CHAT = ("sec-websocket-protocol", "chat")


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


def test_a_gateway_that_stops_ends_websockets_after_its_patience(tmp_path, lane):
    (tmp_path / "notes.py").write_text(NOTES)

    async def main():
        gateway = running(document(url, lane=lane, flow=["notes"], shutdown_timeout=0.2), plugins_dir=tmp_path)
        async with gateway as gate:
            socket = await connect(address(gate), subprotocols=["chat"])
            await socket.send("hello")
            assert await socket.recv() == "hello"
            notes = gate.gateway.live.config.instances["gateway/notes"]
        await socket.wait_closed()
        return notes.events

    with chatting(echo) as url:
        assert asyncio.run(main()) == ["in websocket", "out 101", "done ok" if lane else "done aborted"]


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
