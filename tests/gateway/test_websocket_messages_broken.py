"""Where steps look at messages: ends that break the protocol of WebSockets, and ends that are slow."""

import asyncio
import os
import socket as sockets
import threading
from contextlib import suppress

import pytest
from websockets.asyncio.client import connect
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, TextMessage

from .websocketpairs import chatting, echo, events_of, shaking
from .websocketsteps import HANDSHAKE, address, gateway, mark, masked, raw

# --- frames -----------------------------------------------------------------------------------------------------------


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
