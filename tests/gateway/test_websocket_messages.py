"""The hook `on_message`: steps that look at the messages of a WebSocket, over the lane, the edge and HTTP/2."""

import asyncio
import json
import os
import socket as sockets
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from hookgate.commands import app
from hookgate.testing import running

from .extendedconnect import ExtendedConnect
from .test_websocket import CHAT, chatting, echo, events_of, shaking

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


@pytest.fixture(params=[True, False], ids=["lane", "edge"])
def lane(request):
    return request.param


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


def test_messages_of_the_client_pass_left_to_right_and_those_of_the_backend_right_to_left(tmp_path, lane):
    flow = [mark("a"), {"slowly": {"word": "b"}}, mark("c")]
    with chatting(echo) as url, gateway(tmp_path, url, lane=lane, flow=flow) as gate:
        assert talking(gate, "hello", b"\x00", "") == ["hello>a~b>c<c~b<a", b"\x00", ">a~b>c<c~b<a"]
        [exchange] = gate.wait_for_exchanges(1)
        assert (exchange.outcome, exchange.fault) == ("ok", None)
        assert gate.seen == ["done c ok", "done a ok"], "once for each step, after the conversation"
        assert exchange.bytes_sent == len("hello>a~b>c<c~b<a") + 1 + len(">a~b>c<c~b<a")


def test_over_http_2_they_do_as_well(tmp_path, lane):
    with chatting(echo) as url, gateway(tmp_path, url, lane=lane, flow=[mark("a"), mark("b")]) as gate:
        with ExtendedConnect(gate.url) as client:
            assert client.connect("/chat", CHAT)[b":status"] == b"200"
            client.send(TextMessage("hello"))
            assert client.receive() == "hello>a>b<b<a"
            client.send(BytesMessage(b"\x00" * 300_000))
            assert client.receive() == b"\x00" * 300_000
            client.send(CloseConnection(4000, "bye"))
            assert client.receive() == (4000, "bye")
        assert [exchange.outcome for exchange in gate.wait_for_exchanges(1)] == ["ok"]
        assert gate.seen == ["done b ok", "done a ok"]


def test_a_step_of_one_side_sees_the_messages_of_that_way_only(tmp_path, lane):
    steps = {"request": [mark("in")], "response": [mark("out")]}
    with chatting(echo) as url, gateway(tmp_path, url, lane=lane, flow=steps) as gate:
        assert talking(gate, "hello") == ["hello>in<out"]


def test_a_step_sees_the_messages_of_a_call_that_it_takes_part_in(tmp_path, lane):
    never = {"mark": {"word": "never", "_": {"when": "request.method == 'POST'"}}}
    there = {"mark": {"word": "there", "_": {"when": "request.method == 'GET'"}}}
    fork = {"fork": {"header": {"flow": [mark("x"), mark("y")]}, "otherwise": {"response": [mark("z")]}}}
    steps = {"flow": [there, fork, never], "response": [never, there]}
    with chatting(echo) as url, gateway(tmp_path, url, lane=lane, flow=steps) as gate:
        assert talking(gate, "1", additional_headers={"x-fork": "header"}) == ["1>there>x>y<there<y<x<there"]
        assert talking(gate, "2", additional_headers={"x-fork": "otherwise"}) == ["2>there<there<z<there"]
        assert talking(gate, "3") == ["3>there<there<there"]


def test_a_branch_on_the_way_out_only_is_entered_as_well(tmp_path, lane):
    fork = {"fork": {"header": {"flow": [mark("x")]}, "otherwise": {}}}
    with chatting(echo) as url, gateway(tmp_path, url, lane=lane, flow={"response": [fork]}) as gate:
        assert talking(gate, "1", additional_headers={"x-fork": "header"}) == ["1<x"]
        assert talking(gate, "2") == ["2"]


def test_a_message_can_be_dropped_and_become_another_kind(tmp_path, lane):
    async def say(socket):
        async for word in socket:
            await socket.send(word)
            await socket.send("backend " + str(word))

    async def talk(gate):
        async with connect(address(gate), subprotocols=["chat"]) as socket:
            for word in ("client drop", "client bytes", b"\xff", "drop", "bytes"):
                await socket.send(word)
            return [await socket.recv() for _ in range(7)]

    with chatting(say) as url, gateway(tmp_path, url, lane=lane, flow=["odd"]) as gate:
        heard = asyncio.run(talk(gate))
    now = b"\x00now bytes"
    assert heard == [now, f"backend {now}", b"\xff", "backend b'\\xff'", "drop", "bytes", now]


@pytest.mark.parametrize(
    ("word", "code", "reason", "fault"),
    [
        ("refuse", 1008, "not-so", "not-so"),
        ("long", 1008, "ä" * 61, "ä" * 100),
        *((word, 1011, "the gateway failed", "plugin-error") for word in ("raise", "str", "number", "half", "exit")),
        *((word, 1011, "the gateway failed", "plugin-error") for word in ("cancelled", "hang")),
    ],
)
def test_a_step_that_refuses_a_message_or_fails_closes_both_ends(tmp_path, lane, caplog, word, code, reason, fault):
    told = []

    async def listen(socket):
        with suppress(ConnectionClosed):
            async for message in socket:
                await socket.send(message)
        told.append(Close(socket.close_code, socket.close_reason))

    with chatting(listen) as url, gateway(tmp_path, url, lane=lane, flow=["odd"], hook_timeout=0.3) as gate:
        assert closed(gate, "fine", f"client {word}") == Close(code, reason)
        refused = "a message of the backend was refused" if code == 1008 else reason
        assert closed(gate, "fine", f"backend {word}") == Close(1014 if code == 1008 else code, refused)
        exchanges = gate.wait_for_exchanges(2)
        assert talking(gate, "still there") == ["still there"]
    assert told[:2] == [Close(1001 if code == 1008 else code, "" if code == 1008 else reason), Close(code, reason)]
    assert [(each.outcome, each.fault.reason) for each in exchanges] == [("ok", fault)] * 2
    named = [line for line in caplog.messages if "odd failed in on_message" in line]
    assert len(named) == (2 if code == 1011 else 0), caplog.messages


@pytest.mark.parametrize(("word", "why"), [("exit", "SystemExit: 3"), ("coroutine", "async def")])
def test_a_hook_that_does_not_wait_is_named_as_well(tmp_path, lane, caplog, word, why):
    with chatting(echo) as url, gateway(tmp_path, url, lane=lane, flow=["sync"]) as gate:
        assert closed(gate, word).code == 1011
        gate.wait_for_exchanges(1)
    assert any("sync failed in on_message" in line and why in line for line in caplog.messages)


def test_what_is_fragmented_is_one_message_and_pings_go_no_further(tmp_path, lane):
    async def talk(gate):
        async with connect(address(gate), subprotocols=["chat"]) as socket:
            await socket.send(["zw", "", "ölf"])
            await (await socket.ping(b"there?"))
            await socket.send([b"\xff", b"\xfe"])
            return [await socket.recv(), await socket.recv()]

    with chatting(echo) as url, gateway(tmp_path, url, lane=lane, flow=[mark("a")]) as gate:
        assert asyncio.run(talk(gate)) == ["zwölf>a<a", b"\xff\xfe"]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.text(max_size=300),
            st.binary(max_size=300),
            st.lists(st.text(max_size=100), min_size=1, max_size=5),
            st.lists(st.binary(max_size=100), min_size=1, max_size=5),
        ),
        max_size=30,
    )
)
def test_whatever_is_said_comes_through_in_order(talks, messages):
    whole = [("" if isinstance(m[0], str) else b"").join(m) if isinstance(m, list) else m for m in messages]

    async def talk(gate):
        async with connect(address(gate), subprotocols=["chat"]) as socket:
            for message in messages:
                await socket.send(message)
            return [await socket.recv() for _ in messages]

    assert asyncio.run(talk(talks)) == [each + ">a~b~b<a" if isinstance(each, str) else each for each in whole]


@pytest.fixture
def talks(tmp_path, lane):
    with chatting(echo) as url:
        with gateway(tmp_path, url, lane=lane, flow=[mark("a"), {"slowly": {"word": "b"}}]) as gate:
            yield gate


def test_a_step_that_only_looks_at_messages_is_shown_on_both_ways(tmp_path, monkeypatch):
    (tmp_path / "messages.py").write_text(STEPS)
    monkeypatch.setenv("HOOKGATE_PLUGINS_DIR", str(tmp_path))
    flow = {"flow": ["sync"], "request": [mark("in")]}
    route = {"name": "chat", "match": {"path": "/chat"}, "to": {"connection": "backend"}, **flow}
    document = {"routes": [route], "connections": {"backend": {"targets": "http://127.0.0.1:1"}}}
    (tmp_path / "gateway.json").write_text(json.dumps(document))

    shown = CliRunner().invoke(app, ["routes", str(tmp_path / "gateway.json")]).output

    assert shown.count("sync") == 2, shown
    assert shown.count("mark") == 1, shown


# --- the handshake ----------------------------------------------------------------------------------------------------

HANDSHAKE = (
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n"
)


def test_no_extension_is_spoken_where_messages_are_looked_at(tmp_path, lane):
    async def talk(gate, path):
        async with connect(address(gate).replace("/chat", path)) as socket:
            return "sec-websocket-extensions" in socket.response.headers

    with shaking(lambda connection: connection.recv(65536)) as (url, heads):
        with gateway(tmp_path, url, lane=lane, flow=[mark("a")]) as gate:
            assert asyncio.run(talk(gate, "/chat")) == (not lane), "at the edge Hypercorn compresses for the client"
            gate.wait_for_exchanges(1)
    assert b"sec-websocket-extensions" not in heads[0]


def test_bytes_are_passed_on_as_they_are_where_no_step_of_the_flow_looks(tmp_path):
    """Even what is no WebSocket; a step that has other hooks changes nothing of that."""

    def behave(connection):
        connection.sendall(connection.recv(65536)[::-1])
        connection.recv(65536)

    with shaking(behave) as (url, _), gateway(tmp_path, url, lane=True, flow=["request-id"]) as gate:
        with raw(gate) as client:
            client.sendall(b"no frames")
            assert client.recv(100) == b"semarf on"


@pytest.mark.parametrize(
    ("answer", "mistake"),
    [
        ({"accept": lambda key: "bm90IHRoZSBrZXk="}, b"Sec-WebSocket-Accept does not fit the key"),
        ({"more": "Sec-WebSocket-Extensions: permessage-deflate\r\n"}, b"it uses a WebSocket extension"),
    ],
)
def test_a_backend_that_answers_another_handshake_is_a_fault(tmp_path, lane, answer, mistake):
    with shaking(lambda connection: connection.recv(65536), **answer) as (url, _):
        with gateway(tmp_path, url, lane=lane, flow=[mark("a")]) as gate:
            with sockets.create_connection(gate.url.removeprefix("http://").split(":"), 30) as client:
                client.sendall(HANDSHAKE.encode())
                answered = client.recv(65536)
                while mistake not in answered:
                    more = client.recv(65536)
                    assert more, answered
                    answered += more
            assert answered.startswith(b"HTTP/1.1 502")


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


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x81\x02hi", 1002),
        (masked(0xC1, b"hi"), 1002),
        (masked(0x83, b"hi"), 1002),
        (masked(0x8B, b"hi"), 1002),
        (masked(0x80, b"hi"), 1002),
        (masked(0x01, b"hi") + masked(0x81, b"hi"), 1002),
        (masked(0x09, b"hi"), 1002),
        (masked(0x89, b"x" * 126), 1002),
        (masked(0x88, b"\x03"), 1002),
        (masked(0x88, (1005).to_bytes(2, "big")), 1002),
        (masked(0x88, (999).to_bytes(2, "big")), 1002),
        (masked(0x88, b"\x03\xe8\xc3\x28"), 1007),
        (masked(0x81, b"\xc3\x28"), 1007),
        (masked(0x81, b"\xc3"), 1007),
        (masked(0x01, b"\xc3") + masked(0x80, b"\x28"), 1007),
        (masked(0x82, b"x" * 1000, length=2**62), 1009),
        (masked(0x82, b"", length=2**63), 1002),
        (masked(0x01, b"x" * 400) + masked(0x00, b"x" * 400) * 2, 1009),
        (masked(0x82, b"x" * 1001), 1009),
    ],
    ids=[
        *("not masked", "compressed", "unknown opcode", "unknown control", "nothing to go on with", "not finished"),
        *("control in pieces", "long control", "half a code", "code of none", "code below all", "reason is no text"),
        *("no text", "half a letter", "no text in pieces", "longer than all", "longer than can be", "pieces too long"),
        "too long",
    ],
)
def test_a_client_that_breaks_the_protocol_is_told_so_and_its_backend_hears_no_more(tmp_path, frames, code):
    heard, codes = [], []

    def behave(connection):
        framing = Connection(ConnectionType.SERVER)
        for event in events_of(connection, framing):
            if isinstance(event, CloseConnection):
                codes.append(event.code)
                connection.sendall(framing.send(event.response()))
            else:
                heard.append(event.data)

    with shaking(behave) as (url, _):
        with gateway(tmp_path, url, lane=True, flow=[mark("a")], limits={"buffered_body": 1000}) as gate:
            with raw(gate) as client:
                client.sendall(masked(0x81, b"before") + frames + masked(0x81, b"behind"))
                closing = next(events_of(client, Connection(ConnectionType.CLIENT)))
            [exchange] = gate.wait_for_exchanges(1)
    assert (closing.code, heard, codes) == (code, ["before>a"], [1001])
    assert (exchange.outcome, exchange.fault.status) == ("ok", 413 if code == 1009 else 400)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x81\x82abcdhi", 1002),
        (b"\xc1\x01x", 1002),
        (b"\x81\x02\xc3\x28", 1007),
        (b"\x82\x7f" + (2**62).to_bytes(8, "big") + b"x" * 1001, 1009),
    ],
    ids=["masked", "compressed", "no text", "too long"],
)
def test_a_backend_that_breaks_the_protocol_is_told_so(tmp_path, lane, sent, code):
    codes = []

    def behave(connection):
        framing = Connection(ConnectionType.SERVER)
        connection.sendall(bytes(framing.send(TextMessage("before"))) + sent)
        codes.extend(event.code for event in events_of(connection, framing) if isinstance(event, CloseConnection))

    async def listen(gate):
        async with connect(address(gate)) as socket:
            assert await socket.recv() == "before<a"
            await socket.wait_closed()
            return socket.close_code

    with shaking(behave) as (url, _):
        with gateway(tmp_path, url, lane=lane, flow=[mark("a")], limits={"buffered_body": 1000}) as gate:
            assert asyncio.run(listen(gate)) == 1014
            [exchange] = gate.wait_for_exchanges(1)
    assert codes == [code]
    assert (exchange.outcome, exchange.attempts[0].outcome.kind) == ("broken", "broken")


def test_frames_may_come_byte_by_byte_and_with_the_handshake(tmp_path):
    with chatting(echo) as url, gateway(tmp_path, url, lane=True, flow=[mark("a")]) as gate:
        with sockets.create_connection(gate.url.removeprefix("http://").split(":"), 30) as client:
            client.sendall(HANDSHAKE.encode() + masked(0x89, b"ping") + masked(0x81, b"early"))
            for byte in masked(0x01, b"gr\xc3") + masked(0x8A, b"unasked") + masked(0x80, b"\xbc\xc3\x9fe"):
                client.sendall(bytes([byte]))
            client.sendall(masked(0x88, b"\x0f\xa1bye"))
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
        [exchange] = gate.wait_for_exchanges(1)
    frames = answer.partition(b"\r\n\r\n")[2]
    assert frames.startswith(b"\x8a\x04ping")
    assert frames.endswith(b"\x88\x05\x0f\xa1bye")
    assert exchange.outcome == "ok"


# --- how it ends ------------------------------------------------------------------------------------------------------


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
    limits = {"upgrade_idle": 0.5}
    with chatting(echo) as url, gateway(tmp_path, url, lane=True, flow=[mark("a")], limits=limits) as gate:
        with raw(gate) as client:
            for _ in range(6):
                client.sendall(masked(0x89, b"?"))
                assert client.recv(100) == b"\x8a\x01?"
                threading.Event().wait(0.2)
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


# --- back-pressure ----------------------------------------------------------------------------------------------------


def test_a_client_that_reads_slowly_holds_back_the_backend(tmp_path, lane):
    sent = []

    async def flood(socket):
        chunk = os.urandom(262_144)
        for _ in range(400):
            await socket.send(chunk)
            sent.append(len(chunk))

    async def read_little(gate):
        async with connect(address(gate), subprotocols=["chat"], max_size=None, max_queue=1) as socket:
            await socket.recv()
            before = -1
            while len(sent) > before:  # until the pipe is full
                before = len(sent)
                await asyncio.sleep(0.3)
            assert before < 400, "a hundred mebibytes are not held for a reader that reads nothing"
            for _ in range(399):
                await socket.recv()

    with chatting(flood) as url, gateway(tmp_path, url, lane=lane, flow=[mark("a")]) as gate:
        asyncio.run(read_little(gate))
    assert len(sent) == 400


def test_a_backend_that_reads_slowly_holds_back_the_client(tmp_path, lane):
    goes_on, heard = threading.Event(), []

    async def sleepy(socket):
        await asyncio.to_thread(goes_on.wait)
        heard.extend([len(message) async for message in socket])

    async def flood(gate):
        chunk, sent = os.urandom(262_144), 0
        async with connect(address(gate), subprotocols=["chat"], compression=None) as socket:
            while sent < 400:
                try:
                    async with asyncio.timeout(None if goes_on.is_set() else 1):
                        await socket.send(chunk)
                except TimeoutError:
                    assert sent < 300, "a hundred mebibytes are not held for a backend that reads nothing"
                    goes_on.set()  # what was begun goes out all the same
                sent += 1
        assert goes_on.is_set()

    with chatting(sleepy) as url, gateway(tmp_path, url, lane=lane, flow=[mark("a")]) as gate:
        try:
            asyncio.run(flood(gate))
        finally:
            goes_on.set()
        gate.wait_for_exchanges(1)
    assert heard == [262_144] * 400


def test_a_step_that_is_slow_holds_back_the_client(tmp_path):
    with chatting(echo) as url, gateway(tmp_path, url, lane=True, flow=["odd"], hook_timeout=4) as gate:
        with raw(gate) as client:
            client.sendall(masked(0x81, b"client hang"))
            client.settimeout(2)
            sent = 0
            with suppress(TimeoutError):
                while sent < 400:
                    client.sendall(masked(0x82, bytes(262_144)))
                    sent += 1
        assert sent < 100, "a hundred mebibytes are not held for a step"
        gate.wait_for_exchanges(1)


def test_a_client_that_pings_and_does_not_read_is_not_answered_without_end(tmp_path):
    pings = masked(0x89, b"x" * 125) * 4000
    with chatting(echo) as url, gateway(tmp_path, url, lane=True, flow=[mark("a")]) as gate, raw(gate) as client:
        for _ in range(40):
            client.sendall(pings)
        client.settimeout(2)
        answered = 0
        with suppress(TimeoutError):
            while chunk := client.recv(65536):
                answered += len(chunk)
        client.sendall(masked(0x81, b"here"))
        assert client.recv(100) == b"\x81\x08here>a<a"
    assert 0 < answered < 40 * len(pings) // 2, "the rest was never kept"
