"""What a client does, or leaves undone, says nothing of a target: no circuit opens, nobody is taken out of rotation."""

import asyncio
import contextlib
import socket
import struct
import threading
import time

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import Request as Handshake
from wsproto.utilities import generate_accept_token

from hookgate.testing import running

from .rawhttp2 import Http2

LIMIT = 1.2
"""Seconds that a call may take."""
PATIENCE = 0.4
"""Seconds that the backend waits for a client under `/impatient`."""


@pytest.fixture(scope="module")
def backend():
    """Answers 200 to whatever comes whole, and does what its paths say. Returns its URL."""

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, TimeoutError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = head.lower()
                if b"/socket" in head and b"upgrade: websocket" in fields:
                    at = fields.find(b"sec-websocket-key: ")
                    key = head[at + 19 :].partition(b"\r\n")[0]
                    writer.write(
                        b"HTTP/1.1 101 Now\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                        b"Sec-WebSocket-Accept: %b\r\n\r\n" % generate_accept_token(key)
                    )
                    while await reader.read(65536):
                        pass
                    break
                async with asyncio.timeout(PATIENCE if b"/impatient" in head else None):
                    if b"content-length: " in fields:
                        await reader.readexactly(int(fields.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
                    elif b"transfer-encoding" in fields:
                        await reader.readuntil(b"0\r\n\r\n")
                    if b"/large" in head:
                        hurried = b"?impatient" in head
                        size = 20 if hurried else 100
                        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d000000\r\n\r\n" % size)
                        for _ in range(size):
                            writer.write(bytes(1_000_000))
                            async with asyncio.timeout(PATIENCE if hurried else None):
                                await writer.drain()
                    else:
                        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.transport.abort()

    started, stopped, port = threading.Event(), [], []

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port.append(server.sockets[0].getsockname()[1])
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        stopped.append(lambda: loop.call_soon_threadsafe(over.set))
        started.set()
        await over.wait()
        server.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    started.wait(60)
    yield f"http://127.0.0.1:{port[0]}"
    stopped[0]()
    thread.join(60)


SITE = """
from hookgate import Interceptor, Options, hookimpl


class Hearing(Interceptor[Options]):
    @hookimpl
    def on_message(self, exchange, message):
        return message
"""


@pytest.fixture(scope="module", params=["lane", "edge", "httpx"])
def gate(request, backend, tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    (site / "hearing.py").write_text(SITE)
    described = {
        "gateway": {"lane": request.param != "edge", "limits": {"body_idle": 5, "buffered_body": 1000}},
        "routes": [
            {"name": "hearing", "match": {"path": "/socket/heard"}, "flow": ["hearing"], "to": {"connection": "crm"}},
            {"name": "all", "to": {"connection": "crm"}, "limits": {"request_body": 1000}},
            {"name": "large", "match": {"path": "/large"}, "to": {"connection": "crm"}},
            {"name": "small", "match": {"path": "/small"}, "to": {"connection": "crm"}, "limits": {"response_body": 1}},
        ],
        "connections": {
            "crm": {
                "targets": [backend],
                "transport": "httpx" if request.param == "httpx" else "http",
                "timeouts": {"read": 1, "request": LIMIT},
                "monitor": [{"circuit-breaker": {"failures": 1}}, {"passive": {"unhealthy_after": 1}}],
            }
        },
    }
    with running(described, plugins_dir=site) as gate:
        yield gate


def connected(gate, **options):
    client = socket.socket()
    for name, value in options.items():
        client.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    client.settimeout(60)
    client.connect(("127.0.0.1", int(gate.url.rpartition(":")[2])))
    return client


def until_it_ends(client):
    with contextlib.suppress(OSError):
        while client.recv(65536):
            pass


def sends(*parts, reads=True):
    """A client that sends some bytes, waits where a number stands, and reads until the end, or hangs up."""

    def act(gate):
        with connected(gate) as client:
            for part in parts:
                if isinstance(part, bytes):
                    with contextlib.suppress(OSError):
                        client.sendall(part)
                else:
                    time.sleep(part)
            if reads:
                until_it_ends(client)

    return act


def post(path="/", *fields):
    return b"\r\n".join([b"POST %b HTTP/1.1" % path.encode(), b"Host: a", b"Connection: close", *fields, b"", b""])


def hangs_up(path, *, reset):
    def act(gate):
        with connected(gate) as client:
            client.sendall(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            if path == b"/large":
                client.recv(1000)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return act


def reads_nothing(gate):
    with connected(gate, SO_RCVBUF=4096) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(2 * LIMIT)


def begins_to_read_late(gate):
    with connected(gate, SO_RCVBUF=4096) as client:
        client.sendall(b"GET /large?impatient HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(2 * PATIENCE)
        until_it_ends(client)


def websocket(*frames, path="/socket", fields=b""):
    def act(gate):
        with connected(gate) as client:
            upgrade = WSConnection(ConnectionType.CLIENT)
            head = upgrade.send(Handshake(host="a", target=path))
            client.sendall(fields or head)
            client.recv(4096)
            for frame in frames:
                with contextlib.suppress(OSError):
                    client.sendall(frame)
            client.shutdown(socket.SHUT_WR)
            until_it_ends(client)

    return act


def upgrade(*fields, path=b"/socket/heard"):
    lines = [b"GET %b HTTP/1.1" % path, b"Host: a", b"Connection: Upgrade", b"Upgrade: websocket", *fields, b"", b""]
    return b"\r\n".join([*lines[:4], b"Sec-WebSocket-Version: 13", *lines[4:]])


LONG = b"\x82\xfe\x07\xd0\0\0\0\0" + bytes(2000)
FRAMES = {"broken": b"\xff\xff\xff\xff", "unmasked": b"\x82\x02ab", "too long": LONG, "half": b"\x82\x85\0\0"}
KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
CHUNKED = b"Transfer-Encoding: chunked"

OVER_HTTP1 = {
    "half a head": sends(b"GET / HT", reads=False),
    "half a body": sends(post("/", b"Content-Length: 5"), b"ab", reads=False),
    "half a chunk": sends(post("/", CHUNKED), b"5\r\nab", reads=False),
    "a chunk that is none": sends(post("/", CHUNKED), b"1\r\na\r\n", 0.1, b"x\r\n"),
    "a chunk that is too long": sends(post("/", CHUNKED), b"1\r\nab\r\n0\r\n\r\n"),
    "too long a body": sends(post("/", b"Content-Length: 5000"), bytes(5000)),
    "too long a body in chunks": sends(post("/", CHUNKED), (b"fa\r\n" + bytes(250) + b"\r\n") * 8, b"0\r\n\r\n"),
    "a slow body": sends(post("/", b"Content-Length: 5"), b"a", 2 * LIMIT, b"bcde"),
    "a slow body in chunks": sends(post("/", CHUNKED), b"1\r\na\r\n", 2 * LIMIT, b"0\r\n\r\n"),
    "no body at all": sends(post("/", b"Content-Length: 5"), 2 * LIMIT),
    "a body drop by drop": sends(post("/", b"Content-Length: 100"), *[b"a", 0.1] * 20),
    "a body that comes shortly before the time is up": sends(post("/", b"Content-Length: 5"), 0.95 * LIMIT, b"abcde"),
    "a backend that does not wait": sends(post("/impatient", b"Content-Length: 5"), b"a", 2 * PATIENCE, b"bcde"),
    "a backend that does not wait for chunks": sends(post("/impatient", CHUNKED), b"1\r\na\r\n", 2 * PATIENCE),
    "hangs up before the answer": hangs_up(b"/", reset=False),
    "resets before the answer": hangs_up(b"/", reset=True),
    "hangs up amid the answer": hangs_up(b"/large", reset=False),
    "resets amid the answer": hangs_up(b"/large", reset=True),
    "reads nothing": reads_nothing,
    "a backend that does not wait for who reads": begins_to_read_late,
    "more than we take of an answer": sends(b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
    **{
        f"a head that is none: {line!r}": sends(line + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
        for line in (
            b"GE T / HTTP/1.1",
            b"GET /a b HTTP/1.1",
            b"GET /?a b HTTP/1.1",
            b"G\xc9T / HTTP/1.1",
            b"GET / HTTP/9",
        )
    },
    **{f"frames: {what}": websocket(frame) for what, frame in FRAMES.items()},
    **{f"frames that are heard: {what}": websocket(frame, path="/socket/heard") for what, frame in FRAMES.items()},
    "no key": websocket(fields=upgrade()),
    "a key that is none": websocket(fields=upgrade(b"Sec-WebSocket-Key: x")),
    "two keys": websocket(fields=upgrade(KEY, KEY)),
    "two keys, unheard": websocket(fields=upgrade(KEY, KEY, path=b"/socket")),
}


def over_http2(*fields, method="POST", path="/", parts=(), end=True, reset=False, reads=True, window=None):
    """A call with these fields; then what is to come: bytes of the body, or seconds to wait."""

    def act(gate):
        with Http2(gate.url) as client:
            if window is not None:
                client.http.update_settings({4: window})
                client.flush()
            head = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a"), *fields]
            stream = client.send(head, end=end and not parts)
            for number, part in enumerate(parts, 1):
                if not isinstance(part, bytes):
                    time.sleep(part)
                else:
                    with contextlib.suppress(Exception):  # the stream may be over
                        client.http.send_data(stream, part, end_stream=end and number == len(parts))
                        client.flush()
            if reset:
                client.http.reset_stream(stream)
                client.flush()
            elif reads:
                with contextlib.suppress(OSError):
                    return client.answer(stream)
        return None

    return act


def socket_over_http2(*frames, path="/socket"):
    def act(gate):
        with Http2(gate.url) as client:
            pseudo = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", path)]
            stream = client.send([*pseudo, (":authority", "a"), ("sec-websocket-version", "13")], end=False)
            while stream not in client.answers and stream not in client.ended:
                assert client.read()
            for frame in frames:
                client.http.send_data(stream, frame)
            client.flush()

    return act


OVER_HTTP2 = {
    "a length without a body": (over_http2(("content-length", "5")), 400),
    "a body that is shorter": (over_http2(("content-length", "5"), parts=(b"ab", b"")), None),
    "two lengths": (over_http2(("content-length", "2"), ("content-length", "3"), parts=(b"ab",)), None),
    "a length that is none": (over_http2(("content-length", "x"), parts=(b"ab",)), None),
    "a space in the query": (over_http2(method="GET", path="/?a b"), 400),
    "a space in the path": (over_http2(method="GET", path="/a b"), 400),
    "a fragment": (over_http2(method="GET", path="/?a#b"), 400),
    "a method that is none": (over_http2(method="GE T"), 400),
    "an empty method": (over_http2(method=""), 400),
    "a method that is no ASCII": (over_http2(method=b"G\xc9T"), 400),
    "a path that is no ASCII": (over_http2(method="GET", path=b"/\xe9"), 400),
    "a header with a control character": (over_http2(("x-a", "a\x01b"), method="GET"), 400),
    "a header whose name is none": (over_http2(("x(a", "b"), method="GET"), 400),
    "a slow body": (over_http2(("content-length", "5"), parts=(b"a", 2 * LIMIT, b"bcde")), None),
    "a slow body of no length": (over_http2(parts=(b"a", 2 * LIMIT, b"bcde")), None),
    "a body that never comes": (over_http2(("content-length", "5"), end=False, parts=(2 * LIMIT,)), None),
    "a backend that does not wait": (
        over_http2(("content-length", "5"), path="/impatient", parts=(b"a", 2 * PATIENCE, b"bcde")),
        None,
    ),
    "too long a body": (over_http2(parts=[bytes(1000)] * 5), 413),
    "a reset amid the body": (over_http2(("content-length", "5"), parts=(b"a", 0.1), end=False, reset=True), None),
    "a reset amid the answer": (over_http2(path="/large", parts=(0.2,), reset=True), None),
    "hanging up amid the body": (over_http2(("content-length", "5"), parts=(b"a", 0.1), end=False, reads=False), None),
    "hanging up amid the answer": (over_http2(path="/large", method="GET", reads=False), None),
    "reading nothing": (over_http2(path="/large", method="GET", window=0, parts=(b"", 2 * LIMIT), reads=False), None),
    "more than we take of an answer": (over_http2(method="GET", path="/small"), 502),
}


def check(gate):
    """The target is as well as before, once all is over, and a proper call gets through."""

    async def settled():
        async with asyncio.timeout(60):
            connection = gate.gateway.connection("crm")
            while gate.gateway.in_flight or any(target.in_flight for target in connection.targets):
                await asyncio.sleep(0.01)
            found = {kind: connection.counts[kind] for kind in ("connect-failed", "timeout", "broken")}
            connection.counts.update(dict.fromkeys(found, 0))  # one that fails is no reason for all others to fail
            return found

    assert gate.run(settled()) == {"connect-failed": 0, "timeout": 0, "broken": 0}
    assert gate.gateway.status()["connections"]["crm"][0]["health"] == "healthy"
    assert gate.request("GET", "/").status_code == 200


@pytest.mark.parametrize("what", OVER_HTTP1)
def test_over_http1(gate, what):
    OVER_HTTP1[what](gate)
    check(gate)


@pytest.mark.parametrize("what", OVER_HTTP2)
def test_over_http2(gate, what):
    act, status = OVER_HTTP2[what]
    answered = act(gate)
    assert status in (None, answered)
    check(gate)


@pytest.mark.parametrize("path", ["/socket", "/socket/heard"])
@pytest.mark.parametrize("what", FRAMES)
def test_of_websockets_over_http2(gate, what, path):
    socket_over_http2(FRAMES[what], path=path)(gate)
    check(gate)
