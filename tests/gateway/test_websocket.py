"""WebSockets: the handshake takes the flow, then the lane passes bytes on, and the edge messages. Where a step looks at
messages, both pass on messages: `test_websocket_messages.py`. What only the edge does: `test_websocket_edge.py`.

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
import os
import threading

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.frames import Close

from hookgate.testing import running

from .websocketpairs import NOTES, address, chatting, document, echo


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
