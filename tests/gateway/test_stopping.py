"""A gateway that is told to stop: it says so, still serves for a while, and ends in its time whatever is in the way."""

import contextlib
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request as Handshake
from wsproto.utilities import generate_accept_token

from hookgate.testing import upstream

from .rawhttp2 import Http2

PLUGINS = '''
import asyncio
import signal
import sys
import time

from hookgate import Discovery, Interceptor, Options, Target, hookimpl


async def never():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass


class Stubborn(Interceptor[Options]):
    """Keeps its calls whatever becomes of them."""

    @hookimpl
    async def on_request(self, exchange):
        await never()


class Staying(Interceptor[Options]):
    """Does not end."""

    @hookimpl
    def on_request(self, exchange):
        pass

    @hookimpl
    async def shutdown(self):
        await never()


class Waking(Interceptor[Options]):
    """Does not get up."""

    @hookimpl
    async def startup(self, host):
        print("waking", file=sys.stderr, flush=True)
        await never()

    @hookimpl
    def on_request(self, exchange):
        pass


class Blocking(Waking):
    """The same, and nobody else gets a turn."""

    @hookimpl
    def startup(self, host):
        print("waking", file=sys.stderr, flush=True)
        while True:
            time.sleep(1000)


class Deaf(Blocking):
    """The same, and a signal does not even wake it: as one that comes in the moment before."""

    @hookimpl
    def startup(self, host):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
        super().startup(host)


class Hogging(Interceptor[Options]):
    """Lets nobody else have a turn once a call comes."""

    @hookimpl
    def on_request(self, exchange):
        print("hogging", file=sys.stderr, flush=True)
        while True:
            time.sleep(1000)


class Clinging(Discovery[Options]):
    """Does not leave off."""

    @hookimpl
    def targets(self):
        return [Target("http", "127.0.0.1", 1)]

    @hookimpl
    async def changed(self):
        await never()
'''


class Process:
    """``hookgate serve`` in a process of its own, with what it says."""

    def __init__(self, folder, described, **options):
        (folder / "stubborn.py").write_text(PLUGINS)
        listen = {"listen": ["127.0.0.1:0"]}
        gateway = {"lame_duck": 0, "shutdown_timeout": 1, "stop_timeout": 0.5, **listen, **described.get("gateway", {})}
        gateway = {key: value for key, value in gateway.items() if value is not None}
        file = folder / "gateway.json"
        file.write_text(json.dumps({"management": listen, **described, "gateway": gateway}))
        self.said = []
        self._news = threading.Condition()
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "hookgate", "serve", str(file)],
            **{"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options},
            text=True,
            env={**os.environ, "HOOKGATE_PLUGINS_DIR": str(folder)},
        )
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self):
        self.url = self.heard(r"hookgate serves (\S+)")[1]
        self.management = self.heard(r"management on (\S+)/-/")[1]
        return self

    def __exit__(self, *_):
        self.popen.kill()
        self.popen.wait(30)
        self._reading.join(30)
        self.popen.stderr.close()

    def _read(self):
        for line in iter(self.popen.stderr.readline, ""):
            with self._news:
                self.said.append(line)
                self._news.notify_all()

    def heard(self, pattern, seconds=60):
        """Wait until it has said something."""
        with self._news:
            assert self._news.wait_for(lambda: re.search(pattern, "".join(self.said)), seconds), "".join(self.said)
            return re.search(pattern, "".join(self.said))

    def stop(self, number=signal.SIGTERM):
        self.popen.send_signal(number)

    def ended(self, seconds=30):
        """Wait for its end; returns the exit code and all that it said."""
        code = self.popen.wait(seconds)
        self._reading.join(30)
        return code, "".join(self.said)


def through(backend, *steps, **gateway):
    return {
        "gateway": gateway,
        "routes": [{"name": "all", "flow": list(steps), "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": [backend.url]}},
    }


@pytest.fixture
def slow():
    """A backend whose ``/slow`` answers once it is let go, and how to let it go."""
    go = threading.Event()

    async def answer(request):
        import asyncio

        while request.path == "/slow" and not go.is_set():
            await asyncio.sleep(0.01)
        return 200, {}, b"done"

    with upstream(answer) as backend:
        backend.go = go
        yield backend
        go.set()


CONNECT = [(":method", "CONNECT"), (":authority", "a:1")]
REST = [(":scheme", "http"), (":authority", "a")]
ODD = {
    "connect without a path": (CONNECT, 501),
    "a method that is no ASCII": ([(":method", b"G\xc9T"), (":path", "/"), *REST], 400),
    "a path that is no ASCII": ([(":method", "GET"), (":path", b"/\xe9"), *REST], 400),
}


@pytest.mark.parametrize("where", ["lane", "edge", "management"])
@pytest.mark.parametrize("first", [True, False], ids=["first", "beside"])
def test_a_connect_without_a_path_is_refused_and_harms_no_other_call(tmp_path, slow, where, first):
    with Process(tmp_path, through(slow, lane=where != "edge")) as process:
        url = process.management if where == "management" else process.url
        path = "/-/live" if where == "management" else "/slow"
        with Http2(url) as client:
            before = [] if first else [client.get(path)]
            connect = client.send(CONNECT, end=False)
            assert client.answer(connect) == 501
            client.http.send_data(connect, b"hello")
            client.flush()
            after = client.get(path)
            slow.go.set()
            assert [client.answer(each) for each in [*before, after]] == [200] * len([*before, after])
        process.stop()
        assert process.ended()[0] == 0


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize("odd", ODD)
def test_whatever_comes_over_http2_beside_a_slow_call_the_process_ends_when_told_to(tmp_path, slow, odd, lane):
    fields, status = ODD[odd]
    with Process(tmp_path, through(slow, lane=lane)) as process, Http2(process.url) as client:
        client.get("/slow")
        slow.wait_for(lambda it: it.open > 0)
        assert client.answer(client.send(fields, end=False)) == status
        process.stop()
        code, said = process.ended()
        assert code == 0, said
        assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("plugin", ["waking", "blocking", "deaf"])
def test_a_gateway_that_has_not_started_yet_stops_at_once_of_its_own_doing(tmp_path, slow, plugin, number):
    process = Process(tmp_path, through(slow, plugin))
    try:
        process.heard("waking")
        process.stop(number)
        assert process.ended() == (128 + number, "waking\nhookgate: stopped before it served\n")  # as process 1, too
    finally:
        process.__exit__()


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_plugin_that_lets_nobody_have_a_turn_does_not_keep_the_process(tmp_path, slow, number, lane):
    with (
        Process(tmp_path, through(slow, "hogging", lane=lane)) as process,
        socket.create_connection(process.url.removeprefix("http://").split(":"), 30) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        process.heard("hogging")
        process.stop(number)
        code, said = process.ended()
        assert (code, "a hook or a thread of a plugin blocks it" in said) == (1, True), said


def unread(process):
    """A client that asks for a lot and reads nothing of it."""
    client = socket.create_connection(process.url.removeprefix("http://").split(":"), 30)
    client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
    return client


def unread2(process):
    """The same over HTTP/2."""
    client = Http2(process.url)
    client.get("/large")
    return client.socket


def half_a_head(process):
    client = socket.create_connection(process.url.removeprefix("http://").split(":"), 30)
    client.sendall(b"GET /")
    return client


def half_a_body(process):
    client = socket.create_connection(process.url.removeprefix("http://").split(":"), 30)
    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    return client


def half_a_body2(process):
    client = Http2(process.url)
    stream = client.send(
        [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "127.0.0.1")], end=False
    )
    client.http.send_data(stream, b"ab")
    client.flush()
    return client.socket


def held_up2(process):
    """A body that is longer than anybody takes, to a backend that reads none of it."""
    client = Http2(process.url)
    stream = client.send(
        [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "127.0.0.1")], end=False
    )
    while room := client.http.local_flow_control_window(stream):
        client.http.send_data(stream, bytes(min(room, 16384)))
    client.flush()
    return client.socket


def websocket(process):
    client = socket.create_connection(process.url.removeprefix("http://").split(":"), 30)
    client.sendall(WSConnection(ConnectionType.CLIENT).send(Handshake(host="a", target="/socket")))
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


def a_page(process):
    client = socket.create_connection(process.management.removeprefix("http://").split(":"), 30)
    client.sendall(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
    return client


CLIENTS = [unread, unread2, half_a_head, half_a_body, half_a_body2, held_up2, websocket, a_page]


class Backend:
    def __init__(self, url):
        self.url = url


@contextlib.contextmanager
def raw_backend():
    """A backend that opens WebSockets, sends without end to ``/large``, and else does not answer."""
    listening = socket.create_server(("127.0.0.1", 0))
    connections = []

    def serve(connection):
        with contextlib.suppress(OSError):
            head = connection.recv(4096)
            if b"/socket" in head:
                key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)[1]
                connection.sendall(
                    b"HTTP/1.1 101 Now\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                    b"Sec-WebSocket-Accept: %b\r\n\r\n" % generate_accept_token(key)
                )
            while b"/large" in head:
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" * (b"200" not in head) + bytes(65536))
                head += b"200"

    def accept():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connections.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield Backend(f"http://127.0.0.1:{listening.getsockname()[1]}")
    finally:
        for each in [listening, *connections]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.mark.parametrize("lane", [True, False])
@pytest.mark.parametrize("client", CLIENTS)
def test_no_client_holds_up_the_end(tmp_path, client, lane):
    with raw_backend() as backend, Process(tmp_path, through(backend, lane=lane)) as process:
        opened = client(process)
        try:
            process.stop()
            began = time.monotonic()
            code, said = process.ended()
            assert code == 0, said
            assert time.monotonic() - began < 15
        finally:
            opened.close()


@pytest.mark.parametrize(
    ("what", "code"),
    [("stubborn", 0), ("discovery", 0), ("many", 0), ("stubborn2", 0)],
)
def test_no_plugin_holds_up_the_end(tmp_path, slow, what, code):
    steps = {"stubborn": ["stubborn"], "stubborn2": ["stubborn"], "many": ["staying"] * 12}.get(what, [])
    document = through(slow, *steps)
    if what == "discovery":
        document["connections"]["crm"] = {"discovery": {"clinging": {}}}
    with Process(tmp_path, document) as process, contextlib.ExitStack() as stack:
        if what == "stubborn":
            client = socket.create_connection(process.url.removeprefix("http://").split(":"), 30)
            stack.enter_context(client).sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        if what == "stubborn2":
            stack.enter_context(Http2(process.url)).get("/")
        process.stop()
        began = time.monotonic()
        ended, said = process.ended()
        assert ended == code, said
        assert time.monotonic() - began < 1 + 2 * 0.5 + 6 + 8, said


def test_while_it_is_a_lame_duck_it_serves_and_says_that_it_is_not_ready(tmp_path, slow):
    with Process(tmp_path, through(slow, lame_duck=60, shutdown_timeout=30)) as process:
        with httpx.Client(base_url=process.url) as client, httpx.Client(base_url=process.management) as management:
            assert client.get("/").status_code == 200
            assert management.get("/-/ready").status_code == 200
            process.stop()
            process.heard(r"stopping: /-/ready says 503, and calls are taken for 60 s more")
            answer = management.get("/-/ready")
            assert (answer.status_code, answer.json()) == (503, {"status": "stopping"})
            assert management.get("/-/live").status_code == 200
            answer = client.get("/")
            assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            with Http2(process.url) as http2, Http2(process.management) as pages:
                calling = http2.get("/slow")
                slow.wait_for(lambda it: len(it.requests) > 2)
                process.stop(signal.SIGINT)  # a second signal ends the time as a lame duck
                process.heard(r"no new connections; waiting up to 30 s \(shutdown_timeout\) for 1 calls")
                with pytest.raises(httpx.ConnectError):
                    httpx.get(process.url)
                # Management is still there while a call is waited for.
                assert pages.answer(pages.get("/-/ready")) == 503
                assert management.get("/-/health").json()["in_flight"] == 1
                slow.go.set()
                assert http2.answer(calling) == 200
        code, said = process.ended()
        assert code == 0
        assert said.rstrip().endswith("stopped"), said


def test_clients_of_http2_go_elsewhere_and_no_call_of_theirs_is_lost(tmp_path, slow):
    with Process(tmp_path, through(slow, lame_duck=60, shutdown_timeout=30)) as process:
        with Http2(process.url) as idle, Http2(process.url) as busy, Http2(process.url) as staying:
            assert idle.answer(idle.get("/")) == 200
            calling, kept = busy.get("/slow"), staying.get("/slow")
            slow.wait_for(lambda it: len(it.requests) > 2)
            process.stop()
            # One without a call is told at once, others once their last call is over; calls on their way are taken.
            assert idle.until_told() == (2**31 - 1, 0)
            with Http2(process.url) as late:
                assert late.answer(late.get("/")) == 200
                assert late.until_told() == (2**31 - 1, 0)
            beside = busy.get("/")
            assert busy.answer(beside) == 200
            assert busy.told is None
            process.stop()  # a second signal ends the time as a lame duck
            process.heard("waiting up to 30 s")
            idle.until_closed()
            # What comes now is refused unread, so that it may be sent elsewhere.
            refused = staying.get("/")
            assert (staying.answer(refused), staying.resets[refused]) == (None, 7)
            slow.go.set()
            assert (busy.answer(calling), staying.answer(kept)) == (200, 200)
            assert (busy.until_told(), staying.until_told()) == ((beside, 0), (refused, 0))
        assert process.ended()[0] == 0


def test_nobody_waits_for_a_lame_duck_at_a_terminal_unless_the_document_says_so(tmp_path, slow):
    for written, waits in ((None, False), (60, True)):
        terminal, inner = pty.openpty()
        try:
            with Process(tmp_path, through(slow, lame_duck=written), stdin=inner) as process:
                process.stop()
                process.heard(r"stopping: .*")
                if waits:
                    process.heard("calls are taken for 60 s more")
                    process.stop()
                assert process.ended()[0] == 0
                assert any("lame_duck" in line for line in process.said) == waits
        finally:
            os.close(terminal)
            os.close(inner)


def test_without_a_terminal_it_is_a_lame_duck_for_five_seconds(tmp_path, slow):
    with Process(tmp_path, through(slow, lame_duck=None)) as process:
        began = time.monotonic()
        process.stop()
        process.heard("calls are taken for 5 s more")
        assert process.ended()[0] == 0
        assert time.monotonic() - began >= 4.5
