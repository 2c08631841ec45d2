"""Clients that take their time: each has a limit, and nobody else waits for them."""

import itertools
import statistics
import threading
import time
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from hookgate.testing import running, upstream

from .both_ways.wire import Ended, Wire

MIB = 1024 * 1024
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def document(backend=None, *, limits=None, flow=(), **connection):
    route = {"name": "all", "flow": list(flow)}
    if backend is None:
        return {"gateway": {"limits": limits or {}}, "routes": [route]}
    route["to"] = {"connection": "backend"}
    return {
        "gateway": {"limits": limits or {}},
        "routes": [route],
        "connections": {"backend": {"targets": backend.url, **connection}},
    }


HELLO = {"respond": {"body": "hello"}}


def large(request):
    """An answer that no buffer on the way holds."""
    return 200, {"content-type": "application/octet-stream"}, itertools.repeat(b"x" * 65536, 1600)


@contextmanager
def dripping(wire, data, pause):
    """Have a thread send bytes one by one for as long as the block lasts."""
    stop = threading.Event()

    def drip():
        for byte in itertools.chain(data, itertools.repeat(ord("x"))):
            if stop.wait(pause):
                return
            try:
                wire.socket.sendall(bytes([byte]))
            except OSError:
                return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def ending(wire):
    """Read up to the end of the connection and return what came; fail if it does not end."""
    try:
        return wire.rest()
    except ConnectionResetError:
        return wire.buffer


# --- heads -----------------------------------------------------------------------------------------------------------


def test_a_connection_that_says_nothing_is_closed_without_a_word():
    with running(document(flow=[HELLO], limits={"head": 0.3})) as gate, Wire(gate.url) as wire:
        assert ending(wire) == b""


def test_a_head_that_stops_coming_ends_in_408():
    with running(document(flow=[HELLO], limits={"head": 0.3})) as gate, Wire(gate.url) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        answer = wire.answer()
        assert (answer.status, answer.closes) == (408, True)
        assert ending(wire) == b""
    assert gate.finished == [], "it was no call"


@pytest.mark.parametrize("before", [0, 1, 3], ids=["first", "second", "fourth"])
def test_a_head_that_drips_ends_in_408_when_the_time_for_all_of_it_is_over(before):
    with running(document(flow=[HELLO], limits={"head": 0.5})) as gate, Wire(gate.url) as wire:
        for _ in range(before):
            assert wire.send(GET).answer().body == b"hello"
        with dripping(wire, b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", 0.05):
            assert wire.answer().status == 408


def test_a_head_behind_another_one_has_its_time_from_its_first_byte():
    with running(document(flow=[HELLO], limits={"head": 0.5})) as gate, Wire(gate.url) as wire:
        wire.send(GET + b"GET / HT")
        assert wire.answer().body == b"hello"
        assert wire.answer().status == 408


def test_empty_lines_do_not_buy_time():
    with running(document(flow=[HELLO], limits={"head": 0.4})) as gate, Wire(gate.url) as wire:
        with dripping(wire, b"\r\n" * 1000, 0.05):
            assert b" 200 " not in ending(wire)


# --- bodies ----------------------------------------------------------------------------------------------------------

POSTS = {
    "length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
    "chunks": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
}


@pytest.mark.parametrize("framing", POSTS)
@pytest.mark.parametrize("early", [b"", b"5"], ids=["nothing", "something"])
def test_a_body_that_does_not_come_ends_in_408_and_the_backend_is_let_go(framing, early):
    with upstream() as backend, running(document(backend, limits={"body_idle": 0.3})) as gate, Wire(gate.url) as wire:
        wire.send(POSTS[framing] + early)
        answer = wire.answer()
        assert (answer.status, answer.closes, b"request-timeout" in answer.body) == (408, True, True)
        assert ending(wire) == b""
        backend.wait_for(lambda b: b.connections == 1 and b.open == 0)
        (exchange,) = gate.wait_for_exchanges(1)

    assert (exchange.outcome, exchange.fault.reason) == ("ok", "request-timeout")
    assert len(exchange.attempts) == 1


def test_a_body_that_somebody_reads_whole_has_the_same_limit(tmp_path):
    (tmp_path / "whole.py").write_text(
        """
from hookgate import Interceptor, Options, hookimpl

class Whole(Interceptor[Options]):
    reads = {"request.body"}

    @hookimpl
    def on_request(self, exchange):
        pass
""",
    )
    with running(document(flow=["whole", HELLO], limits={"body_idle": 0.3}), plugins_dir=tmp_path) as gate:
        with Wire(gate.url) as wire:
            assert wire.send(POSTS["length"] + b"half").answer().status == 408


def test_a_body_that_drips_steadily_is_taken():
    with upstream() as backend, running(document(backend, limits={"body_idle": 2, "head": 0.2})) as gate:
        with Wire(gate.url) as wire:
            wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n")
            with dripping(wire, b"", 0.05):
                assert wire.answer().status == 200
    assert backend.bodies == [b"x" * 20]


def test_a_client_that_waits_for_100_and_then_says_nothing_ends_in_408():
    with upstream() as backend, running(document(backend, limits={"body_idle": 0.3})) as gate, Wire(gate.url) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
        answer = wire.answer()
    assert (answer.interim, answer.status) == ([100], 408)


# --- answers that are not read ---------------------------------------------------------------------------------------


def test_a_client_that_does_not_read_is_cut_and_the_backend_is_let_go():
    with upstream(large) as backend, running(document(backend, limits={"write_idle": 0.5})) as gate:
        with Wire(gate.url, receive_buffer=4096) as wire:
            wire.send(GET)
            assert wire.head().status == 200
            backend.wait_for(lambda b: b.connections == 1 and b.open == 0)
            (exchange,) = gate.wait_for_exchanges(1)
            with pytest.raises((Ended, ConnectionResetError)):
                wire.take(200 * MIB)
    assert exchange.outcome == "aborted"


def test_a_client_that_does_not_read_an_answer_held_whole_is_cut():
    body = "x" * (16 * MIB)
    with running(document(flow=[{"respond": {"body": body}}], limits={"write_idle": 0.5})) as gate:
        with Wire(gate.url, receive_buffer=4096) as wire:
            wire.send(GET)
            assert wire.head().status == 200
            (exchange,) = gate.wait_for_exchanges(1)
            with pytest.raises((Ended, ConnectionResetError)):
                wire.take(16 * MIB)
    assert exchange.outcome == "aborted"


def test_a_client_that_sends_its_body_and_does_not_read_the_answer_is_cut():
    """Bytes of the request do not count as reading."""

    async def early(request):
        return large(request)

    with upstream(early) as backend, running(document(backend, limits={"write_idle": 0.5, "body_idle": 5})) as gate:
        backend.keep_bodies = False
        with Wire(gate.url, receive_buffer=4096) as wire:
            wire.send(GET)
            assert wire.head().status == 200
            with dripping(wire, b"GET / HTTP/1.1\r\n" * 100, 0.05):
                (exchange,) = gate.wait_for_exchanges(1)
    assert exchange.outcome == "aborted"


def read_steadily(wire, size, rate):
    """Read a body of that size at so many bytes a second; return its length."""
    taken = 0
    began = time.monotonic()
    while taken < size:
        taken += len(wire.take(min(16384, size - taken)))
        ahead = taken / rate - (time.monotonic() - began)
        if ahead > 0:
            time.sleep(ahead)
    return taken


def test_a_client_that_reads_a_stream_slowly_but_steadily_is_served_whole():
    size = 6 * MIB

    def answer(request):
        return 200, {"content-length": str(size)}, itertools.repeat(b"x" * 65536, size // 65536)

    with upstream(answer) as backend, running(document(backend, limits={"write_idle": 1.0})) as gate:
        with Wire(gate.url, receive_buffer=65536) as wire:
            assert wire.send(GET).head().status == 200
            assert read_steadily(wire, size, 2 * MIB) == size
            (exchange,) = gate.wait_for_exchanges(1)
    assert exchange.outcome == "ok"


def test_a_client_that_reads_an_answer_held_whole_slowly_but_steadily_is_served_whole():
    size = 12 * MIB
    with running(document(flow=[{"respond": {"body": "x" * size}}], limits={"write_idle": 1.0})) as gate:
        with Wire(gate.url, receive_buffer=65536) as wire:
            assert wire.send(GET).head().status == 200
            assert read_steadily(wire, size, 3 * MIB) == size
            (exchange,) = gate.wait_for_exchanges(1)
    assert exchange.outcome == "ok"


def test_the_end_of_an_answer_is_not_cut_off_while_a_client_reads_it_steadily():
    """The call is over for the gateway before the last bytes have left it."""
    size = 4 * MIB

    def answer(request):
        return 200, {"content-length": str(size)}, itertools.repeat(b"x" * 65536, size // 65536)

    with upstream(answer) as backend, running(document(backend, limits={"write_idle": 0.6, "keep_alive": 0.3})) as gate:
        with Wire(gate.url, receive_buffer=32768) as wire:
            assert wire.send(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")).head().status == 200
            assert read_steadily(wire, size, 1.5 * MIB) == size


@pytest.mark.parametrize("size", [60_000, 10], ids=["large-answers", "small-answers"])
def test_a_client_that_asks_again_and_again_and_reads_nothing_is_not_listened_to_for_long(size):
    """40 bytes ask for 60 KB: a gateway that goes on fills its memory with answers, or else with requests."""
    process = psutil.Process()
    flow = [{"respond": {"body": "x" * size}}]
    with running(document(flow=flow, limits={"write_idle": 60, "keep_alive_requests": 10**9})) as gate:
        with Wire(gate.url, receive_buffer=4096) as wire:
            requests = GET * 10_000
            before = process.memory_info().rss
            wire.socket.setblocking(False)
            sent, progress = 0, time.monotonic()
            while sent < 24 * MIB and time.monotonic() < progress + 2:
                try:
                    sent += wire.socket.send(requests[sent % len(GET) :])
                    progress = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.01)
            grown = process.memory_info().rss - before
            wire.reset()
    assert sent < 24 * MIB, "it reads on and on"
    assert grown < 64 * MIB, f"{grown / MIB:.0f} MiB for {sent / MIB:.1f} MiB of requests"


def test_a_client_that_reads_none_of_many_short_answers_is_cut():
    with running(document(flow=[{"respond": {"body": "x" * 60_000}}], limits={"write_idle": 0.5})) as gate:
        with Wire(gate.url, receive_buffer=4096) as wire:
            wire.send(GET * 500)
            wait_until(lambda: gate.gateway.status()["listener"]["connections"] == 0)


def wait_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.01)


# --- between calls ---------------------------------------------------------------------------------------------------


def test_an_idle_connection_is_closed_after_keep_alive():
    with running(document(flow=[HELLO], limits={"keep_alive": 0.3, "head": 30})) as gate, Wire(gate.url) as wire:
        for _ in range(3):
            assert wire.send(GET).answer().body == b"hello"
        assert ending(wire) == b""


def test_a_connection_carries_so_many_calls_and_says_at_the_last_that_it_ends():
    with running(document(flow=[HELLO], limits={"keep_alive_requests": 3})) as gate, Wire(gate.url) as wire:
        answers = [wire.send(GET).answer() for _ in range(3)]
        assert [answer.closes for answer in answers] == [False, False, True]
        assert ending(wire) == b""
        assert len(gate.finished) == 3


def test_calls_sent_beyond_the_last_one_are_not_served():
    with running(document(flow=[HELLO], limits={"keep_alive_requests": 2})) as gate, Wire(gate.url) as wire:
        wire.send(GET * 5)
        assert [wire.answer().closes for _ in range(2)] == [False, True]
        assert ending(wire) == b""
        assert len(gate.finished) == 2


# --- under attack ----------------------------------------------------------------------------------------------------


class Attack:
    """Clients that open connections and hold them: slow heads, slow bodies, slow readers."""

    def __init__(self, url, each):
        self.url = url
        self.each = each
        self.stop = threading.Event()
        self.answered = 0

    def __enter__(self):
        self.thread = threading.Thread(target=self._attack, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(60)

    def _attack(self):
        with ExitStack() as stack:
            wires = [stack.enter_context(Wire(self.url, receive_buffer=4096)) for _ in range(3 * self.each)]
            heads, bodies, readers = (wires[kind::3] for kind in range(3))
            for wire in heads:
                wire.send_if_open(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
            for wire in bodies:
                wire.send_if_open(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
            for wire in readers:
                wire.send_if_open(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            while not self.stop.wait(0.05):
                for wire in (*heads, *bodies):
                    wire.send_if_open(b"x")
                for wire in readers:
                    self._sip(wire)

    def _sip(self, wire):
        wire.socket.setblocking(False)
        try:
            self.answered += bool(wire.socket.recv(512))
        except OSError:
            pass
        finally:
            wire.socket.settimeout(60)


def latencies(wire, count):
    found = []
    for _ in range(count):
        began = time.perf_counter()
        answer = wire.send(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n").answer()
        found.append(time.perf_counter() - began)
        assert (answer.status, answer.body) == (200, b"small")
    return found


def test_a_good_client_is_served_while_fifty_of_each_kind_attack(capsys):
    def answer(request):
        return large(request) if request.path == "/large" else (200, {}, b"small")

    limits = {"head": 5, "body_idle": 5, "write_idle": 5}
    quiet, loud = [], []
    with upstream(answer) as backend, running(document(backend, limits=limits)) as gate, Wire(gate.url) as good:
        latencies(good, 100)
        for _ in range(3):
            quiet += latencies(good, 200)
            with Attack(gate.url, 50) as attack:
                wait_until(lambda: gate.gateway.status()["in_flight"] >= 100)
                loud += latencies(good, 200)
            assert attack.answered
        wait_until(lambda: not gate.gateway.status()["in_flight"])
    with capsys.disabled():
        shown = [f"{1000 * statistics.median(found):.2f} ms" for found in (quiet, loud)]
        print(f"\n  median of a good client's calls: {shown[0]} in quiet, {shown[1]} under attack")


def test_a_client_that_trickles_after_408_is_cut_soon():
    """The rest of what it sends is thrown away for a moment only."""
    with running(document(flow=[HELLO], limits={"head": 0.3})) as gate, Wire(gate.url) as wire:
        wire.send(b"GET / HTTP/1.1\r\n")
        with dripping(wire, b"", 0.05):
            assert wire.answer().status == 408
            wait_until(lambda: not gate.gateway.status()["listener"]["connections"])


def test_a_client_that_leaves_while_it_is_slow_leaves_nothing_behind():
    with upstream(large) as backend, running(document(backend)) as gate:
        for words in (b"GET / HT", POSTS["length"] + b"x", GET):
            with Wire(gate.url, receive_buffer=4096) as wire:
                wire.send(words)
                if words == GET:
                    wire.head()
        wait_until(lambda: not gate.gateway.status()["listener"]["connections"])
        wait_until(lambda: not gate.gateway.status()["in_flight"])
        backend.wait_for(lambda b: b.open == 0)
