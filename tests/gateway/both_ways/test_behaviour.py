"""What a client, a backend and a step may rely on, whether the lane or the edge takes the call."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import threading

import pytest

from .conftest import ANSWERS, SITE, document
from .test_same_answers import GET, chunked, counted, request
from .wire import Ended

MIB = 1024 * 1024


# --- clients that go away ---------------------------------------------------------------------------------------------


def hung(backend):
    """Have the backend take calls and answer none of them."""

    async def never(asked):
        await asyncio.Event().wait()

    backend.answer = never


@pytest.mark.parametrize("path", ["/sync", "/async", "/read", "/copy"])
@pytest.mark.parametrize("leave", ["close", "reset"])
def test_a_client_that_leaves_while_the_backend_thinks_ends_the_call_there(way, path, leave):
    hung(way.backend)
    before = way.backend.aborted
    wire = way.connect().send(request(path))
    way.backend.wait_for(lambda backend: backend.requests)
    wire.socket.close() if leave == "close" else wire.reset()
    way.backend.wait_for(lambda backend: backend.aborted == before + 1)
    (exchange,) = way.settled()
    assert exchange.outcome == "aborted"


@pytest.mark.parametrize("path", ["/sync", "/async", "/map", "/copy"])
def test_a_client_that_leaves_in_the_middle_of_an_answer_ends_the_call_there(way, path):
    async def first_then_never():
        yield b"first"
        await asyncio.Event().wait()

    way.backend.answer = lambda asked: (200, {}, first_then_never())
    before = way.backend.aborted
    with way.connect() as wire:
        wire.send(request(path)).head()
        assert wire.chunk().lower() == b"first"
    way.backend.wait_for(lambda backend: backend.aborted == before + 1)
    (exchange,) = way.settled()
    assert (exchange.outcome, exchange.bytes_sent) == ("aborted", 5)
    if path == "/copy":
        assert exchange.variables["response"] == (b"first", False)


@pytest.mark.parametrize("path", ["/sync", "/async", "/read", "/read-async", "/map", "/copy"])
@pytest.mark.parametrize("framing", ["counted", "chunked"])
def test_a_client_that_leaves_in_the_middle_of_its_request_ends_the_call_there(way, path, framing):
    before = way.backend.open
    lines = ["Content-Length: 10"] if framing == "counted" else ["Transfer-Encoding: chunked"]
    with way.connect() as wire:
        wire.send(request(path, *lines, method="POST", body=b"half" if framing == "counted" else b"4\r\nhalf\r\n"))
        if path.startswith("/read"):
            way.turn()
        else:
            connections = way.backend.connections
            way.backend.wait_for(lambda backend: backend.open > before or backend.connections > connections or before)
    (exchange,) = [each for each in way.settled() if each.request.path == path]
    assert exchange.outcome == "aborted"
    assert way.backend.requests == [], "a request that is not whole never counts as one"
    if path == "/copy":
        assert exchange.variables.get("request", (b"", False))[1] is False


def test_leaving_in_the_middle_of_a_request_is_no_error_of_the_gateway(way, errors):
    with way.connect() as wire:
        wire.send(b"POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        way.turn()
    way.settled()
    assert errors.texts == []


def test_a_client_that_leaves_cancels_the_hook_that_runs(way):
    with way.connect() as wire:
        wire.send(request("/waiting"))
        way.turn()
    (exchange,) = [each for each in way.settled() if each.request.path == "/waiting"]
    assert exchange.outcome == "aborted"
    assert (exchange.variables["waits"], exchange.variables["cancelled"]) == (1, 1)


# --- early answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/early", "/early-async", "/fault-in", "/nowhere", "/missing"])
def test_an_early_answer_comes_before_the_body_and_what_follows_is_never_taken_for_a_request(way, path):
    evil = request("/tree/evil")
    with way.connect() as wire:
        wire.send(request(path, f"Content-Length: {len(evil)}", method="POST"))
        answer = wire.answer()
        wire.send_if_open(evil)
        if answer.closes:
            assert wire.rest() == b""
        else:
            assert wire.send(request("/plain?404")).answer().status == 404
    way.settled()
    assert [each.path for each in way.backend.requests if each.path != "/plain"] == []


@pytest.mark.parametrize("path", ["/early", "/early-async", "/fault-in"])
def test_an_early_answer_to_endless_chunks_ends_the_connection(way, path):
    with way.connect() as wire:
        wire.send(request(path, "Transfer-Encoding: chunked", method="POST", body=b"5\r\nhello\r\n"))
        assert wire.answer().closes
        wire.send_if_open(b"5\r\nworld\r\n")
        assert wire.rest() == b""


def test_a_large_body_that_no_step_reads_does_not_hold_up_the_call(own):
    with own(shutdown_timeout=0.1, drain=0.1) as way:
        with way.connect() as wire:
            wire.send_if_open(counted("/early", b"x" * MIB))
            assert wire.answer().status == 200
        (exchange,) = all_over(way)
        assert exchange.outcome == "ok"


def test_a_backend_that_answers_before_it_has_the_body_is_heard(way):
    """It closes, too, as servers do that refuse an upload."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def serve():
        connection, _ = listener.accept()
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
        while connection.recv(65536):
            pass
        connection.close()

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    changed = document(way.backend, lane=way.name == "lane")
    changed["connections"]["backend"]["targets"] = f"http://127.0.0.1:{port}"
    way.gate.reload(changed)
    try:
        with way.connect() as wire:
            wire.send(request("/plain", "Transfer-Encoding: chunked", method="POST", body=b"5\r\nhello\r\n"))
            answer = wire.answer()
        assert (answer.status, answer.body) == (413, b"no!")
    finally:
        server.join(60)
        listener.close()
        way.settled()
        way.gate.reload(document(way.backend, lane=way.name == "lane"))


# --- bodies on their way ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/sync", "/async", "/map", "/copy"])
def test_each_chunk_of_an_answer_comes_before_the_backend_sends_the_next(way, path):
    taken = threading.Semaphore(0)

    async def one_by_one():
        for number in range(20):
            yield b"data: %d\n\n" % number
            while not taken.acquire(blocking=False):
                await asyncio.sleep(0.001)

    way.backend.answer = lambda asked: (200, {"content-type": "text/event-stream"}, one_by_one())
    with way.connect() as wire:
        wire.send(request(path)).head()
        for number in range(20):
            assert wire.chunk().lower() == b"data: %d\n\n" % number
            taken.release()
        rest = wire.chunk()
        assert rest == (b"?" if path == "/map" else b"")


@pytest.mark.parametrize("path", ["/sync", "/async", "/map", "/copy"])
def test_each_chunk_of_a_request_reaches_the_backend_before_the_client_sends_the_next(way, path):
    way.backend.keep_bodies = False
    before = way.backend.received
    try:
        with way.connect() as wire:
            wire.send(request(path, "Transfer-Encoding: chunked", method="POST"))
            for number in range(1, 11):
                wire.send(b"5\r\nhello\r\n")
                wait_until(lambda n=number: way.backend.received >= before + 5 * n)
            wire.send(b"0\r\n\r\n")
            assert wire.answer().status == 200
    finally:
        way.backend.keep_bodies = True


def wait_until(holds):
    """Wait for something that tells nobody when it comes about."""
    pause = threading.Event()
    for _ in range(60_000):
        if holds():
            return
        pause.wait(0.001)
    raise TimeoutError


def test_bodies_are_mapped_copied_and_read_whole(way):
    with way.connect() as wire:
        mapped = [wire.send(each).answer() for each in (counted("/map", b"Hello"), chunked("/map", b"Hel", b"lo"))]
        copied = wire.send(chunked("/copy", b"Hel", b"lo")).answer()
        read = [wire.send(chunked(path, b"Hel", b"lo")).answer() for path in ("/read", "/read-async")]
    assert [each.body for each in mapped] == [b"hello!?"] * 2
    assert copied.body == b"Hello"
    assert [(each.body, each["x-length"], each["content-length"]) for each in read] == [(b"Hello", "5", "5")] * 2
    assert way.backend.bodies == [b"HELLO!", b"HELLO!", b"Hello", b"Hello", b"Hello"]
    copy = next(each for each in way.settled() if each.request.path == "/copy").variables
    assert (copy["request"], copy["response"]) == ((b"Hello", True), (b"Hello", True))


def test_a_client_that_waits_for_100_gets_it_when_the_body_is_wanted(way):
    with way.connect() as wire:
        for path in ("/sync", "/async", "/read", "/read-async"):
            wire.send(request(path, "Expect: 100-continue", "Content-Length: 5", method="POST"))
            assert wire.head().status == 100
            answer = wire.send(b"hello").answer()
            assert (answer.status, answer.body, answer.interim) == (200, b"hello", [])
    assert all(each.header("expect") is None for each in way.backend.requests)


def test_a_client_that_waits_for_100_and_is_refused_need_not_send_the_body(way):
    """What it sends next may be either, so the connection ends."""
    with way.connect() as wire:
        wire.send(request("/fault-in", "Expect: 100-continue", "Content-Length: 5", method="POST"))
        answer = wire.answer()
        assert (answer.status, answer.closes) == (418, True)
        assert answer.interim == ([] if way.name == "lane" else [100])  # Hypercorn does not ask us
        wire.send_if_open(request("/tree/second"))
        assert wire.rest() == b""
    assert way.backend.requests == []


def test_no_byte_too_many_of_a_step_that_lies_about_its_length(way):
    """The client would take it for the beginning of the next answer."""
    with way.connect() as wire:
        wire.send(b"GET /too-long HTTP/1.1\r\nHost: a\r\n\r\n").head()
        received = b""
        try:
            received = wire.rest()
        except ConnectionResetError:
            received = wire.buffer
    assert len(received) <= 5


@pytest.mark.parametrize("name", ["short", "short-in-chunks", "bad-chunks"])
@pytest.mark.parametrize("path", ["/sync", "/async", "/copy"])
def test_an_answer_that_breaks_off_is_never_whole_to_the_client(way, path, name):
    with way.connect() as wire:
        with pytest.raises((Ended, ConnectionResetError)):
            wire.send(request(f"{path}?{name}")).answer()
    (exchange,) = way.settled()
    assert exchange.outcome == "broken"


# --- limits of time and number ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/plain", "/async", "/read", "/read-async"])
def test_a_body_that_stops_coming_ends_in_408(own, path):
    with own(limits={"body_idle": 0.2}) as way:
        for lines, start in ((["Content-Length: 10"], b"half"), (["Transfer-Encoding: chunked"], b"4\r\nhalf\r\n")):
            with way.connect() as wire:
                answer = wire.send(request(path, *lines, method="POST", body=start)).answer()
                assert (answer.status, answer.closes) == (408, True)
                assert b"request-timeout" in answer.body
                assert wire.rest() == b""
        assert way.backend.requests == []


def test_a_head_that_stops_coming_ends_the_connection(own):
    with own(limits={"head": 0.2}) as way:
        with way.connect() as wire:
            received = wire.send(b"GET / HT").rest()
        assert received.startswith(b"HTTP/1.1 408 ") or (way.name == "edge" and received == b"")
        with way.connect() as wire:
            assert wire.rest() == b"", "and so does no head at all"


def test_a_head_that_comes_byte_by_byte_may_not_take_longer(own):
    pause = threading.Event()
    with own(limits={"head": 0.3}) as way:
        with way.connect() as wire:
            assert wire.send(GET).answer().status == 200
            wire.socket.settimeout(0.05)
            ended = False
            wire.send(b"GET /")
            for _ in range(30):
                wire.send_if_open(b"a")
                try:
                    ended = ended or not wire.more() or b" 408 " in wire.buffer
                except TimeoutError:
                    pause.wait(0.01)
                except ConnectionResetError:
                    ended = True
        assert ended, "1.8 s where 0.3 s are allowed"


def test_a_connection_carries_as_many_calls_as_it_may(own):
    with own(limits={"keep_alive_requests": 3}) as way:
        with way.connect() as wire:
            answers = [wire.send(GET).answer() for _ in range(3)]
            assert [each.closes for each in answers] == [False, False, True]
            assert wire.rest() == b""


def test_answers_that_are_not_read_are_not_made_without_end(own):
    large = {"respond": {"body": "x" * 60_000}}
    bounds = {"shutdown_timeout": 0.1, "drain": 0.1}
    with own(**bounds) as way:
        changed = document(way.backend, lane=way.name == "lane", **bounds)
        changed["routes"].insert(0, {"name": "large", "match": {"path": "/large"}, "flow": [large]})
        way.gate.reload(changed)
        way.gate.finished.clear()
        with way.connect(receive_buffer=4096) as wire:
            wire.socket.setblocking(False)
            asked = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
            for _ in range(100):
                with contextlib.suppress(BlockingIOError):
                    wire.socket.send(asked * 20)
                way.turn()
            made = sum(each.request.path == "/large" for each in way.gate.finished)
            wire.reset()
        stopped(way)  # how the calls of a client that is gone end is for the tests above
        assert made * 60_000 < 16 * MIB, f"{made} answers wait in memory"


def test_a_slow_reader_holds_the_backend_back(way):
    """What the kernel takes on both hops, and a little that the gateway holds, is all the backend gets rid of."""
    sent = [0]

    async def endless():
        while True:
            sent[0] += 65536
            yield b"x" * 65536

    way.backend.answer = lambda asked: (200, {}, endless())
    with way.connect(receive_buffer=4096) as wire:
        wire.send(request("/plain"))
        before, still = -1, 0
        while still < 10:
            way.turn()
            still = still + 1 if sent[0] == before else 0
            before = sent[0]
            assert sent[0] < 64 * MIB
        wire.reset()
    assert [each.outcome for each in way.settled() if each.request.path == "/plain"] == ["aborted"]


def test_a_slow_backend_holds_the_client_back_who_may_leave(own):
    gate = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        gate.wait(60)
        connection.close()

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    bounds = {"shutdown_timeout": 0.1, "drain": 0.1}
    try:
        with own(**bounds) as way:
            changed = document(way.backend, lane=way.name == "lane", **bounds)
            changed["connections"]["backend"]["targets"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
            changed["connections"]["backend"]["timeouts"] = {"read": None, "request": None}
            way.gate.reload(changed)
            with way.connect() as wire:
                wire.send(b"POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n").socket.setblocking(
                    False
                )
                sent, still = 0, 0
                while still < 10:
                    way.turn()
                    try:
                        sent += wire.socket.send(b"x" * MIB)
                        still = 0
                    except BlockingIOError:
                        still += 1
                    assert sent < 64 * MIB
                wire.reset()
            try:
                all_over(way, 60 if way.name == "lane" else 5)
            finally:
                gate.set()
    finally:
        gate.set()
        server.join(60)
        listener.close()


def all_over(way, seconds=60):
    """Return the calls, all of which end within a moment."""
    try:
        return way.settled(seconds)
    except TimeoutError:
        way.gate.finished.clear()
        way.settled = list
        way.in_flight = lambda: 0
        pytest.fail("the call never ends")


# --- reload, end, HTTP/2 ----------------------------------------------------------------------------------------------


def gated(backend):
    """Have the backend answer when it is let: return what lets it."""
    release = threading.Event()

    async def when_released(asked):
        while not release.is_set():
            await asyncio.sleep(0.002)
        return 200, {}, b"late"

    backend.answer = when_released
    return release


@pytest.mark.parametrize("path", ["/sync", "/async"])
def test_a_call_in_flight_outlives_a_reload_and_its_connection_serves_the_new_document(way, path):
    release = gated(way.backend)
    with way.connect() as wire:
        wire.send(request(path))
        way.backend.wait_for(lambda backend: backend.requests)
        changed = document(way.backend, lane=way.name == "lane")
        changed["routes"] = [{"name": "new", "flow": [{"respond": {"body": "new"}}]}]
        number = way.gate.reload(changed)
        release.set()
        old, new = wire.answer(), wire.send(request(path)).answer()
    way.gate.reload(document(way.backend, lane=way.name == "lane"))
    assert (old.body, old["x-marked"], new.body, new["x-marked"]) == (b"late", "out", b"new", None)
    first, second = way.settled()
    assert (first.generation, second.generation) == (number - 1, number)


@pytest.mark.parametrize("path", ["/sync", "/async"])
def test_a_call_in_flight_is_answered_when_the_gateway_stops(own, path):
    with own() as way:
        release = gated(way.backend)
        with way.connect() as idle, way.connect() as wire:
            assert idle.send(request("/early")).answer().status == 200
            wire.send(request(path))
            way.backend.wait_for(lambda backend: backend.requests)
            way.gate._loop.call_soon_threadsafe(way.gate._stop.set)
            assert idle.rest() == b"", "a connection without a call is closed at once"
            release.set()
            answer = wire.answer()
            assert (answer.status, answer.body) == (200, b"late")
            assert wire.rest() == b""
        assert [each.outcome for each in way.gate.wait_for_exchanges(2)] == ["ok", "ok"]
        stopped(way)


def stopped(way):
    """The loop of this gateway is gone, so nothing can be asked of it."""
    way.settled = lambda: list(way.gate.finished)
    way.in_flight = int


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_http_2_is_spoken_to_who_begins_with_it(way):
    if b"HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True).stdout:
        pytest.skip("this curl does not speak HTTP/2")
    command = [
        "curl",
        "-sS",
        "--max-time",
        "10",
        "--http2-prior-knowledge",
        "-w",
        " %{http_version} %{http_code}",
        "-d",
        "hello",
    ]
    for path, status in (("/sync", "200"), ("/read-async", "200"), ("/missing", "404")):  # this curl fails to reuse one
        done = subprocess.run([*command, way.gate.url + path], capture_output=True, text=True)
        assert done.stderr == ""
        assert done.stdout.endswith(f" 2 {status}")
    assert way.backend.bodies == [b"hello", b"hello"]
    assert [each.request.http_version for each in way.settled()] == ["2"] * 3


@pytest.mark.parametrize("cut", [1, 4, 14, 18, 20, 23])
def test_the_preface_of_http_2_may_come_in_pieces(way, cut):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    with way.connect() as wire:
        wire.send(preface[:cut])
        way.turn()
        wire.send(preface[cut:] + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        assert wire.take(4)[3] == 4, "SETTINGS come first (RFC 9113, 3.4)"


def test_every_answer_of_the_backend_is_one_the_suite_knows():
    assert SITE.is_dir()
    assert len(ANSWERS) > 20
