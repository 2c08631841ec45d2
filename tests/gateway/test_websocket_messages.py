"""The hook `on_message`: steps that look at the messages of a WebSocket, over the lane, the edge and HTTP/2."""

import asyncio
import socket as sockets
import sys
import threading
from contextlib import contextmanager, suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from hookgate.testing import running

from .extendedconnect import ExtendedConnect
from .test_websocket import CHAT, accept_of, chatting, echo, events_of, shaking

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
    return next(module.SEEN for module in modules if hasattr(module, "SEEN"))


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
