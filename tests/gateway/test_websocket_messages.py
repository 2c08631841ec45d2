"""The hook `on_message`: steps that look at the messages of a WebSocket, over the lane, the edge and HTTP/2."""

import asyncio
import json
import socket as sockets
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close
from wsproto.events import BytesMessage, CloseConnection, TextMessage

from hookgate.commands import app

from .extendedconnect import ExtendedConnect
from .websocketpairs import CHAT, chatting, echo, shaking
from .websocketsteps import HANDSHAKE, STEPS, address, closed, gateway, mark, raw, talking


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
