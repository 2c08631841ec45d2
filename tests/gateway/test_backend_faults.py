"""Backends that do everything wrong: the client gets an honest answer, and nobody else notices."""

import itertools
import re
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookgate.testing import running

from .both_ways.wire import Ended, Wire

PATIENCE = 60.0
_numbers = itertools.count(1)


# --- a backend that does as it is told -------------------------------------------------------------------------------


@dataclass
class Call:
    """One request as the backend got it, and the thread that answers it."""

    backend: "Backend"
    socket: socket.socket
    connection: int
    nth: int
    """How many requests this connection has carried, this one included."""
    method: str
    path: str
    head: bytes
    early: bytes
    """What came behind the head."""
    go: threading.Event = field(default_factory=threading.Event)
    """Set by the test: go on."""
    ended: threading.Event = field(default_factory=threading.Event)
    """The gateway has closed this connection, or reset it."""
    answered: bool = False

    def say(self, *parts):
        for part in parts:
            self.socket.sendall(part)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def wait(self):
        assert self.go.wait(PATIENCE), f"{self.path} was never told to go on"

    def hear_the_end(self):
        """Read until the gateway has left."""
        with suppress(OSError):
            while self.socket.recv(65536):
                pass
        self.ended.set()

    def body(self, length):
        while len(self.early) < length:
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionResetError
            self.early += part
        body, self.early = self.early[:length], self.early[length:]
        return body


def ok(body, *fields):
    lines = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def echo(call):
    """Answer with the path, so that an answer to another request shows."""
    length = re.search(rb"\r\ncontent-length: *(\d+)", call.head, re.IGNORECASE)
    if length is not None:
        call.body(int(length[1]))
    call.say(ok(call.path.encode()))
    return True


class Backend:
    """Threads on a loopback port. A path begins with the name of what is to be done: ``/name/number``."""

    def __init__(self, acts):
        self.acts = acts
        self.changed = threading.Condition()
        self.calls = {}
        self.times = Counter()
        """How often each path was asked for."""
        self.connections = 0
        self.open = 0
        self._sockets = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self._accept, name="faulty backend", daemon=True).start()
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self.changed:
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            for call in self.calls.values():
                call.go.set()

    def wait_for(self, condition):
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE), "the backend did not get there"

    def call_of(self, path):
        """Wait for a request and return it."""
        self.wait_for(lambda: path in self.calls)
        return self.calls[path]

    def _accept(self):
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self.changed:
                    self.connections += 1
                    self.open += 1
                    self._sockets.add(accepted)
                    number = self.connections
                    self.changed.notify_all()
                threading.Thread(target=self._serve, args=(accepted, number), daemon=True).start()

    def _serve(self, accepted, number):
        with suppress(OSError), accepted:
            try:
                self._requests(accepted, number)
            finally:
                with self.changed:
                    self.open -= 1
                    self._sockets.discard(accepted)
                    self.changed.notify_all()

    def _requests(self, accepted, number):
        buffer = b""
        for nth in itertools.count(1):
            while b"\r\n\r\n" not in buffer:
                part = accepted.recv(65536)
                if not part:
                    return
                buffer += part
            head, _, rest = buffer.partition(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
            call = Call(self, accepted, number, nth, method, path, head, rest)
            with self.changed:
                self.calls[path] = call
                self.times[path] += 1
                self.changed.notify_all()
            kept = self.acts.get(path.split("/")[1], echo)(call)
            with self.changed:
                call.answered = True
                self.changed.notify_all()
            if not kept:
                return
            buffer = call.early


# --- what it does wrong ----------------------------------------------------------------------------------------------


def says(*parts, then="close"):
    """An act: say that, and close the connection, reset it, keep it, or wait for the gateway to leave."""

    def act(call):
        call.say(*parts)
        if then == "reset":
            call.reset()
        elif then == "wait":
            call.hear_the_end()
        return then == "keep"

    return act


def after_the_head(head, *rest, then="close"):
    """An act: say the head, wait until the client has it, then the rest."""

    def act(call):
        call.say(head)
        call.wait()
        return says(*rest, then=then)(call)

    act.waits = True
    return act


def silent(call):
    call.hear_the_end()


def dripping(call):
    """A head that takes a while, in the smallest of pieces."""
    for byte in ok(b"dripped"):
        call.say(bytes([byte]))
        time.sleep(0.001)
    return True


def dripping_without_end(call):
    call.say(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    with suppress(OSError):
        while not call.go.wait(0.05):
            call.say(b"x")


def interim_without_end(call):
    with suppress(OSError):
        while not call.go.is_set():
            call.say(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    call.hear_the_end()


def problem(status, *reasons):
    return ("problem", status, set(reasons))


def served(body, status=200):
    return ("served", status, body)


PROTOCOL = problem(502, "upstream-protocol")
CLOSED = problem(502, "upstream-closed")
CUT = ("cut",)
CHUNKED = b"Transfer-Encoding: chunked"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
LONG = b"X-Long: " + b"a" * 102_400 + b"\r\n"

FAULTS = {
    "resets-before-the-head": (says(then="reset"), CLOSED),
    "resets-in-the-head": (says(b"HTTP/1.1 200 OK\r\nX-A: ", then="reset"), CLOSED),
    "resets-in-the-body": (after_the_head(ok(b"")[:-4].replace(b" 0", b" 9") + b"\r\n\r\nhalf", then="reset"), CUT),
    "closes-without-a-byte": (says(), CLOSED),
    "closes-in-the-head": (says(b"HTTP/1.1 200 OK\r\nContent-Le"), CLOSED),
    "silent": (silent, problem(504, "read-timeout")),
    "other-protocol": (says(b"SSH-2.0-OpenSSH_9.2\r\n"), PROTOCOL),
    "garbage-without-a-line": (says(b"\x16\x03\x01\x02\x00\x01", then="wait"), PROTOCOL),
    "http-0.9": (says(b"<html>hello</html>"), PROTOCOL),
    "http-2.0": (says(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", then="wait"), PROTOCOL),
    "lowercase-http": (says(b"http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", then="wait"), PROTOCOL),
    "a-request-back": (says(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", then="wait"), PROTOCOL),
    "two-lengths": (
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", then="wait"),
        PROTOCOL,
    ),
    "the-same-length-twice": (says(ok(b"ab", b"Content-Length: 2"), then="wait"), PROTOCOL),
    "a-list-of-lengths": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab", then="wait"), PROTOCOL),
    "a-negative-length": (says(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab", then="wait"), PROTOCOL),
    "a-length-with-plus": (says(b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab", then="wait"), PROTOCOL),
    "a-length-beyond-64-bits": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nab"), PROTOCOL),
    "length-and-chunks": (
        says(ok(b"0\r\n\r\n", b"Transfer-Encoding: chunked"), then="wait"),
        PROTOCOL,
    ),
    "chunks-and-length": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", then="wait"),
        PROTOCOL,
    ),
    "an-unknown-coding": (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), PROTOCOL),
    "shorter-than-it-says": (after_the_head(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"), CUT),
    "only-a-head": (after_the_head(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), CUT),
    "chunks-that-break-off": (after_the_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"), CUT),
    "chunks-without-the-last": (
        after_the_head(CHUNKS),
        CUT,
    ),
    "chunks-without-the-last-line": (
        after_the_head(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"),
        CUT,
    ),
    "a-bad-chunk-size": (
        after_the_head(CHUNKS, b"-1\r\nx", then="wait"),
        CUT,
    ),
    "a-chunk-longer-than-it-says": (
        after_the_head(CHUNKS, b"2\r\nabc\r\n", then="wait"),
        CUT,
    ),
    "a-chunk-size-with-bare-lf": (
        after_the_head(CHUNKS, b"1\nx\n0\n\n", then="wait"),
        CUT,
    ),
    "stops-in-the-body": (after_the_head(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", then="wait"), CUT),
    **{
        f"status-{status.decode().replace(' ', '_') or 'none'}": (
            says(b"HTTP/1.1 %b OK\r\nContent-Length: 0\r\n\r\n" % status),
            PROTOCOL,
        )
        for status in (b"1000", b"99", b"abc", b"", b"000", b"-200", b"2 00")
    },
    "204-with-a-body": (
        says(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", then="wait"),
        served(b"", 204),
    ),
    "304-with-a-body": (
        says(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", then="wait"),
        served(b"", 304),
    ),
    "304-with-an-answer-behind": (
        says(b"HTTP/1.1 304 Not Modified\r\n\r\n" + ok(b"stolen"), then="wait"),
        served(b"", 304),
    ),
    "204-with-an-answer-behind": (
        says(b"HTTP/1.1 204 No Content\r\n\r\n" + ok(b"stolen"), then="wait"),
        served(b"", 204),
    ),
    "204-with-chunks": (
        says(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", then="wait"),
        served(b"", 204),
    ),
    "204-with-a-body-later": (
        says(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", then="wait"),
        served(b"", 204),
    ),
    "bytes-behind-the-end": (says(ok(b"right") + b"wrong", then="wait"), served(b"right")),
    "an-empty-line-behind-the-end": (says(ok(b"right") + b"\r\n", then="wait"), served(b"right")),
    "an-empty-line-behind-no-body": (says(ok(b"") + b"\r\n", then="wait"), served(b"")),
    "an-empty-line-behind-chunks": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n\r\n", then="wait"),
        served(b"right"),
    ),
    "an-answer-behind-the-end": (says(ok(b"right") + ok(b"stolen"), then="wait"), served(b"right")),
    "an-answer-behind-chunks": (
        says(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nright\r\n0\r\n\r\n" + ok(b"stolen"), then="wait"
        ),
        [PROTOCOL, served(b"right")],
    ),
    "interim-without-end": (interim_without_end, PROTOCOL),
    "a-bad-interim": (says(b"HTTP/1.1 100 Continue\r\nX: a\nb\r\n\r\n" + ok(b"x"), then="wait"), PROTOCOL),
    "closes-behind-an-interim": (says(b"HTTP/1.1 103 Early Hints\r\n\r\n"), CLOSED),
    "101-unasked": (
        says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", then="wait"),
        PROTOCOL,
    ),
    "101-to-websocket-unasked": (
        says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", then="wait"),
        PROTOCOL,
    ),
    "100-then-an-answer": (says(b"HTTP/1.1 100 Continue\r\n\r\n" + ok(b"ready"), then="keep"), served(b"ready")),
    "100-then-an-answer-later": (says(b"HTTP/1.1 100 Continue\r\n\r\n", ok(b"ready"), then="keep"), served(b"ready")),
    "103-then-an-answer": (
        says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", ok(b"ready"), then="keep"),
        served(b"ready"),
    ),
    "a-very-long-head": (says(b"HTTP/1.1 200 OK\r\n" + LONG + b"Content-Length: 0\r\n\r\n", then="wait"), PROTOCOL),
    "very-many-headers": (
        says(b"HTTP/1.1 200 OK\r\n" + b"X-Many: aaaaaaa\r\n" * 6000 + b"Content-Length: 0\r\n\r\n", then="wait"),
        PROTOCOL,
    ),
    "a-head-without-end": (says(b"HTTP/1.1 200 OK\r\n" + LONG, then="wait"), PROTOCOL),
    "a-dripping-head": (dripping, served(b"dripped")),
    "a-head-dripping-without-end": (dripping_without_end, problem(504, "request-timeout", "read-timeout")),
    "a-header-with-bare-lf": (says(ok(b"x", b"X-A: a\nX-B: b"), then="wait"), PROTOCOL),
    "lines-with-bare-lf": (says(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"), [PROTOCOL, CLOSED]),
    "a-header-with-bare-cr": (says(ok(b"x", b"X-A: a\rX-B: b"), then="wait"), PROTOCOL),
    "a-header-with-nul": (says(ok(b"x", b"X-A: a\0b"), then="wait"), PROTOCOL),
    "a-folded-header": (says(ok(b"x", b"X-A: a", b" b"), then="wait"), PROTOCOL),
    # RFC 9112, 5.1: a proxy takes the space out; h11, which reads for httpx, refuses it
    "a-space-before-the-colon": (says(ok(b"x", b"X-A : a"), then="keep"), [PROTOCOL, served(b"x")]),
    "a-space-before-the-colon-of-a-length": (
        says(b"HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx", then="wait"),
        PROTOCOL,
    ),
    "a-space-before-the-colon-of-a-coding": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\nContent-Length: 1\r\n\r\nx", then="wait"),
        PROTOCOL,
    ),
    "a-header-without-colon": (says(ok(b"x", b"X-A"), then="wait"), PROTOCOL),
    "a-header-without-name": (says(ok(b"x", b": a"), then="wait"), PROTOCOL),
    "upper-case": (
        says(b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 5\r\nCONNECTION: KEEP-ALIVE\r\n\r\nupper", then="keep"),
        served(b"upper"),
    ),
    "lower-case": (says(b"HTTP/1.1 200 ok\r\ncontent-length:5\r\n\r\nlower", then="keep"), served(b"lower")),
    "upper-case-chunks": (
        says(b"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", then="keep"),
        served(b"0123456789"),
    ),
    "chunks-with-a-trailer": (
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nok\r\n0\r\nX-T: 1\r\n\r\n", then="keep"),
        served(b"ok"),
    ),
    "upper-case-close": (says(ok(b"close", b"CONNECTION: CLOSE")), served(b"close")),
    "close-and-stay": (says(ok(b"close", b"Connection: close"), then="wait"), served(b"close")),
    "no-phrase": (says(b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", then="keep"), served(b"ok")),
    "http-1.0-with-length": (says(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold"), served(b"old")),
    "http-1.0-with-length-and-stay": (
        says(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold", then="wait"),
        served(b"old"),
    ),
    "http-1.0-kept": (
        says(b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nold", then="keep"),
        served(b"old"),
    ),
    "http-1.0-without-length": (says(b"HTTP/1.0 200 OK\r\n\r\nup to the end"), served(b"up to the end")),
    "http-1.0-with-chunks": (says(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), PROTOCOL),
    "http-1.1-without-length": (says(b"HTTP/1.1 200 OK\r\n\r\n", b"up to", b" the end"), served(b"up to the end")),
    "without-length-and-reset": (after_the_head(b"HTTP/1.1 200 OK\r\n\r\nup to", then="reset"), CUT),
}
IMPATIENT = {"silent", "stops-in-the-body", "a-head-dripping-without-end"}
"""Those that are ended by a time limit."""

COUNTING = '''
from hookgate import Interceptor, Options, hookimpl

class Counting(Interceptor[Options]):
    """Notes the calls that are over."""

    def __init__(self, options):
        super().__init__(options)
        self.done = []

    @hookimpl
    {word}def on_request(self, exchange):
        pass

    @hookimpl
    def on_done(self, exchange):
        self.done.append(exchange.request.path)
'''
WAYS = {"lane": (True, ""), "lane-in-a-task": (True, "async "), "hypercorn": (False, "")}


def front(*targets, way="lane", **connection):
    targets = [{"url": url} for url in targets]
    return {
        "gateway": {"lane": WAYS[way][0]},
        "routes": [{"name": "all", "to": {"connection": "backend"}}],
        "connections": {"backend": {"targets": targets, **connection}},
    }


class Door:
    """A gateway in front of a faulty backend, with clients that mind the answers they get."""

    def __init__(self, gate, backend, way):
        self.way = way
        self.gate = gate
        self.backend = backend
        self.others = []

    @property
    def done(self):
        return self.gate.gateway.live.config.instances["gateway/counting"].done

    def exchange_of(self, path):
        """Wait until a call is over."""
        with self.gate._changed:
            assert self.gate._changed.wait_for(lambda: self._ended(path), PATIENCE)
            return self._ended(path)

    def _ended(self, path):
        return next((each for each in reversed(self.gate.finished) if each.request.path == path), None)

    def others_are_served(self, *wires, prefix=""):
        """Three clients at once get the answers to their own requests, on kept connections of their own."""
        if not self.others:
            self.others = [Wire(self.gate.url), Wire(self.gate.url)]
        try:
            for _ in range(2):
                asked = []
                for wire in (*self.others, *wires):
                    path = f"/echo/{next(_numbers)}"
                    wire.send(get(prefix + path))
                    asked.append((wire, path))
                for wire, path in asked:
                    answer = wire.answer()
                    assert (answer.status, answer.body) == (200, path.encode())
                    assert wire.buffer == b""
        except BaseException:  # the next test gets others
            self.close()
            raise

    def close(self):
        for wire in self.others:
            wire.socket.close()
        self.others = []


def get(path, *fields, method="GET"):
    return f"{method} {path} HTTP/1.1\r\nHost: gateway\r\n".encode() + b"".join(f + b"\r\n" for f in fields) + b"\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folders = {}
    for word in ("", "async "):
        folders[word] = tmp_path_factory.mktemp("plugins")
        (folders[word] / "counting.py").write_text(COUNTING.format(word=word))
    return folders


def refusing():
    """A URL nobody answers on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="module", params=WAYS)
def door(request, folder):
    way = request.param
    acts = {name: act for name, (act, _) in FAULTS.items()}
    with Backend(acts) as backend:
        document = front(backend.url, way=way, timeouts={"read": 15, "request": 20})
        document["gateway"] |= {"flow": ["counting"], "limits": {"head": 600, "keep_alive": 600}}
        quick = {"targets": backend.url, "timeouts": {"read": 0.5, "request": 1.0}}
        document["connections"] |= {"impatient": quick, "nobody": {"targets": refusing()}}
        for name in ("impatient", "nobody"):
            route = {"name": name, "match": {"path": f"/{name}/{{rest...}}"}}
            document["routes"].insert(0, {**route, "to": {"connection": name, "path": "/{rest}"}})
        with running(document, plugins_dir=folder[WAYS[way][1]]) as gate:
            with closing(Door(gate, backend, way)) as door:
                yield door


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.002)


def outcome_for(wire, call, *, waits):
    """What the client got: a problem, an answer, or a connection that was cut in the middle of one."""
    try:
        if not waits:
            answer = wire.answer()
        else:
            answer = wire.head()
            rest = wire.buffer
            call().go.set()
            wire.rest()
            raise Ended(rest)
    except (Ended, ConnectionResetError):
        return CUT, None
    if answer["content-type"] == "application/problem+json":
        reason = re.search(rb'"reason": ?"([^"]+)"', answer.body)[1].decode()
        return problem(answer.status, reason), answer
    return served(answer.body, answer.status), answer


def matches(got, expected):
    wanted = expected if isinstance(expected, list) else [expected]
    return any(
        got[:2] == each[:2] and (got[0] != "problem" or got[2] <= each[2]) and (got[0] != "served" or got == each)
        for each in wanted
    )


@pytest.mark.parametrize(
    "name",
    list(FAULTS),
)
def test_a_fault_of_the_backend_is_told_honestly_and_harms_nobody_else(door, name):
    act, expected = FAULTS[name]
    prefix = "/impatient" if name in IMPATIENT else ""
    for _ in range(2):  # once perhaps on a new connection to the backend, then on one that has carried others
        path = f"/{name}/{next(_numbers)}"
        with Wire(door.gate.url) as wire:
            wire.send(get(prefix + path))
            got, answer = outcome_for(wire, lambda path=path: door.backend.call_of(path), waits=hasattr(act, "waits"))
            door.backend.call_of(path).go.set()
            assert matches(got, expected), got
            exchange = door.exchange_of(prefix + path)
            attempt = exchange.attempts[-1].outcome.kind
            if got[0] == "problem":
                assert (exchange.outcome, exchange.fault.reason) == ("ok", next(iter(got[2])))
                assert attempt == ("timeout" if got[1] == 504 else "broken")
            elif got == CUT:
                assert (exchange.outcome, attempt) == (("timeout",) * 2 if name in IMPATIENT else ("broken",) * 2)
            else:
                assert (exchange.outcome, attempt) == ("ok", "ok")
            assert Counter(door.done)[prefix + path] == 1

            again = [wire] if answer is not None and not answer.closes else []
            door.others_are_served(*again, prefix=prefix)


def test_a_refused_connection_is_502_and_harms_nobody_else(door):
    with Wire(door.gate.url) as wire:
        path = f"/nobody/{next(_numbers)}"
        answer = wire.send(get(path)).answer()
        assert (answer.status, b"connect-refused" in answer.body) == (502, True)
        exchange = door.exchange_of(path)
        assert [attempt.outcome.kind for attempt in exchange.attempts] == ["connect-failed"]
        assert Counter(door.done)[path] == 1
        door.others_are_served(wire)


@pytest.mark.parametrize("name", ["bytes", "an answer", "one byte"])
def test_what_a_backend_says_while_nobody_asks_ends_its_connection(door, name):
    words = {"bytes": b"surprise\r\n", "an answer": ok(b"stolen"), "one byte": b"H"}[name]

    def late(call):
        call.say(ok(b"right"))
        call.wait()
        call.say(words)
        call.hear_the_end()

    door.backend.acts["late"] = late
    path = f"/late/{next(_numbers)}"
    with Wire(door.gate.url) as wire:
        assert wire.send(get(path)).answer().body == b"right"
        call = door.backend.call_of(path)
        call.go.set()
        assert call.ended.wait(PATIENCE)
        door.others_are_served(wire)


@pytest.mark.parametrize("name", ["chunks-that-break-off", "a-bad-chunk-size", "without-length-and-reset"])
def test_a_client_of_http_1_0_can_tell_that_its_answer_broke_off(door, name):
    """The end of the connection is the end of the body for it, so only a reset says that there is more."""
    if door.way == "hypercorn":
        pytest.skip("Hypercorn ends its connections itself")
    path = f"/{name}/{next(_numbers)}"
    with Wire(door.gate.url) as wire:
        wire.send(get(path).replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert wire.head().status == 200
        door.backend.call_of(path).go.set()
        with pytest.raises(ConnectionResetError):
            wire.rest()


# --- answers before the request is whole -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 300000", b"Transfer-Encoding: chunked"], ids=["length", "chunks"]
)
@pytest.mark.parametrize("status", [200, 413])
@pytest.mark.parametrize("then", ["close", "read on", "stay"])
def test_an_answer_before_the_request_is_whole_is_the_answer(door, status, then, framing):
    def early(call):
        call.body(5)
        call.say(b"HTTP/1.1 %d Early\r\nContent-Length: 5\r\n\r\nearly" % status)
        if then == "close":
            call.socket.shutdown(socket.SHUT_WR)
        call.hear_the_end()

    door.backend.acts["early"] = early
    path = f"/early/{next(_numbers)}"
    chunk = b"x" * 1000
    piece = chunk if framing.startswith(b"Content") else b"3e8\r\n" + chunk + b"\r\n"
    with Wire(door.gate.url) as wire:
        wire.send(get(path, framing, method="POST") + piece)
        answer = wire.answer("POST")
        assert (answer.status, answer.body) == (status, b"early")
        for _ in range(299):
            wire.send_if_open(piece)
        if not framing.startswith(b"Content"):
            wire.send_if_open(b"0\r\n\r\n")
        call = door.backend.call_of(path)
        assert call.ended.wait(PATIENCE), "the connection to the backend cannot be used again"
        exchange = door.exchange_of(path)
        assert (exchange.outcome, exchange.attempts[-1].outcome.kind) == ("ok", "ok")
        assert Counter(door.done)[path] == 1
        door.others_are_served(*([] if answer.closes else [wire]))


def test_a_backend_that_leaves_in_the_middle_of_a_request_is_502(door):
    def leaving(call):
        call.body(5)
        call.reset()

    door.backend.acts["leaving"] = leaving
    path = f"/leaving/{next(_numbers)}"
    with Wire(door.gate.url) as wire:
        wire.send(get(path, b"Content-Length: 100", method="PUT") + b"x" * 10)
        answer = wire.answer()
        assert (answer.status, b"upstream-closed" in answer.body) == (502, True)
        exchange = door.exchange_of(path)
        assert (exchange.outcome, exchange.attempts[-1].outcome.kind) == ("ok", "broken")
        assert door.backend.times[path] == 1, "a request whose body is not at hand is not repeated"
        door.others_are_served()


# --- clients that leave ----------------------------------------------------------------------------------------------


def goes(wire, how):
    if how == "resets":
        wire.reset()
    else:
        wire.socket.close()


@pytest.mark.parametrize("how", ["closes", "resets"])
@pytest.mark.parametrize("when", ["before the answer", "in the request", "in the request's chunks", "in the answer"])
def test_the_backend_learns_at_once_that_the_client_has_left(door, when, how):
    def patient(call):
        if when == "in the answer":
            call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf")
        call.hear_the_end()

    door.backend.acts["patient"] = patient
    path = f"/patient/{next(_numbers)}"
    with Wire(door.gate.url) as wire:
        if when == "in the request":
            wire.send(get(path, b"Content-Length: 1000", method="POST") + b"half")
        elif when == "in the request's chunks":
            wire.send(get(path, b"Transfer-Encoding: chunked", method="POST") + b"4\r\nhalf\r\n")
        else:
            wire.send(get(path))
        call = door.backend.call_of(path)
        if when == "in the answer":
            assert wire.head().status == 200
            assert wire.take(4) == b"half"
        goes(wire, how)
        assert call.ended.wait(PATIENCE)
    exchange = door.exchange_of(path)
    assert (exchange.outcome, exchange.attempts[-1].outcome.kind) == ("aborted", "aborted")
    assert Counter(door.done)[path] == 1
    door.others_are_served()


def test_the_backend_learns_at_once_that_a_client_who_did_not_read_has_left(door):
    def large(call):
        call.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        with suppress(OSError):
            while True:
                call.say(b"x" * 65536)
        call.ended.set()

    door.backend.acts["large"] = large
    path = f"/large/{next(_numbers)}"
    with Wire(door.gate.url, receive_buffer=4096) as wire:
        wire.send(get(path))
        call = door.backend.call_of(path)
        wire.take(10)
        wire.reset()
        assert call.ended.wait(PATIENCE)
    assert door.exchange_of(path).outcome == "aborted"
    door.others_are_served()


# --- connections that are kept ---------------------------------------------------------------------------------------


@contextmanager
def fresh_door(acts, folder, way="lane", backends=1, **connection):
    with ExitStack() as stack:
        found = [stack.enter_context(Backend(acts)) for _ in range(backends)]
        document = front(*(backend.url for backend in found), way=way, **connection)
        document["gateway"]["flow"] = ["counting"]
        gate = stack.enter_context(running(document, plugins_dir=folder[WAYS[way][1]]))
        yield gate, *found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_that_the_backend_closes_while_it_is_idle_costs_nothing(folder, way, method):
    def closing(call):
        call.say(ok(b"kept"))
        call.wait()
        call.socket.shutdown(socket.SHUT_WR)
        call.hear_the_end()

    with fresh_door({"closing": closing}, folder, way) as (gate, backend), Wire(gate.url) as wire:
        for number in range(5):
            assert wire.send(get(f"/closing/{number}")).answer().body == b"kept"
            call = backend.call_of(f"/closing/{number}")
            call.go.set()
            assert call.ended.wait(PATIENCE)
            answer = wire.send(get(f"/echo/{number}", b"Content-Length: 0", method=method)).answer(method)
            assert (answer.status, answer.body) == (200, f"/echo/{number}".encode())
            backend.wait_for(lambda: True)


def closes_kept_ones(call):
    """A connection that is closed at the very moment that a second request goes out on it."""
    if call.nth > 1:
        return False
    return echo(call)


@pytest.mark.parametrize("way", WAYS)
def test_a_get_that_meets_the_end_of_a_kept_connection_is_repeated_once_and_a_post_is_502(folder, way):
    with fresh_door({"kept": closes_kept_ones}, folder, way) as (gate, backend), Wire(gate.url) as wire:
        assert wire.send(get("/kept/1")).answer().body == b"/kept/1"
        assert wire.send(get("/kept/2")).answer().body == b"/kept/2"
        assert (backend.times["/kept/2"], backend.connections) == (2, 2)

        put = get("/kept/3", b"Content-Length: 4", method="PUT") + b"body"
        if way == "hypercorn":  # where a body is never at hand
            put = get("/kept/3", method="DELETE")
        assert wire.send(put).answer().body == b"/kept/3"
        assert (backend.times["/kept/3"], backend.connections) == (2, 3)

        refused = wire.send(get("/kept/4", b"Content-Length: 0", method="POST")).answer()
        assert (refused.status, b"upstream-closed" in refused.body) == (502, True)
        assert (backend.times["/kept/4"], backend.connections) == (1, 3)

        assert wire.send(get("/kept/5", b"Content-Length: 0", method="POST")).answer().body == b"/kept/5"
        wait_until(lambda: len(gate.finished) == 5)
        assert [exchange.outcome for exchange in gate.finished] == ["ok"] * 5
        assert gate.gateway.live.backends["backend"].connection.targets[0].in_flight == 0


def test_a_get_that_is_repeated_takes_a_new_connection_and_not_another_old_one(folder):
    def together(call):
        if call.nth == 1 and call.path.startswith("/kept/first"):
            call.wait()
        return closes_kept_ones(call)

    with fresh_door({"kept": together}, folder) as (gate, backend), ExitStack() as stack:
        wires = [stack.enter_context(Wire(gate.url)) for _ in range(3)]
        for number, wire in enumerate(wires):
            wire.send(get(f"/kept/first{number}"))
        for number in range(3):
            backend.call_of(f"/kept/first{number}").go.set()
        assert [wire.answer().status for wire in wires] == [200] * 3

        assert wires[0].send(get("/kept/again")).answer().body == b"/kept/again"
        assert backend.times["/kept/again"] == 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_kept_connection_may_end_in_the_same_moment_as_a_call_comes(folder, way, method):
    def closing(call):
        call.say(ok(b"kept"))
        call.wait()
        call.socket.shutdown(socket.SHUT_WR)
        call.ended.set()

    words = get("/echo/1", b"Content-Length: 0", method=method)
    pool = {"pool": {"max_connections": 1}, "timeouts": {"connect": 2, "read": 3}}
    answers = []
    with fresh_door({"closing": closing}, folder, way, **pool) as (gate, backend), Wire(gate.url) as wire:
        for number in range(20):
            assert wire.send(get(f"/closing/{number}")).answer().body == b"kept"
            call = backend.call_of(f"/closing/{number}")
            with stalled(gate):
                if number % 2:
                    wire.send(words)
                call.go.set()
                assert call.ended.wait(PATIENCE)
                if not number % 2:
                    wire.send(words)
            answers.append(wire.answer())
    allowed = {200} if method == "GET" else {200, 502}
    assert {answer.status for answer in answers} <= allowed, Counter(answer.body for answer in answers)


@pytest.mark.parametrize("words", [b"", b"garbage\r\n"], ids=["silent", "garbage"])
@pytest.mark.parametrize("way", WAYS)
def test_connections_that_end_before_the_request_goes_out_cost_no_place_of_the_pool(folder, way, words):
    """The backend accepts, perhaps says something, and closes; after a while it is well again, and so are its calls."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        well = threading.Event()

        def accept():
            with suppress(OSError):
                while True:
                    accepted, _ = listener.accept()
                    with accepted:
                        if well.is_set():
                            accepted.recv(65536)
                            accepted.sendall(ok(b"well", b"Connection: close"))
                        else:
                            accepted.sendall(words)

        threading.Thread(target=accept, daemon=True).start()
        document = front(url, way=way, pool={"max_connections": 2}, timeouts={"connect": 1, "read": 1})
        document["gateway"]["flow"] = ["counting"]
        with running(document, plugins_dir=folder[WAYS[way][1]]) as gate, Wire(gate.url) as wire:
            ill = [wire.send(get("/")).answer().status for _ in range(40)]
            well.set()
            answers = [wire.send(get("/")).answer() for _ in range(5)]
        listener.shutdown(socket.SHUT_RDWR)
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"well")] * 5
    assert set(ill) == {502}


# --- the bound of a pool ---------------------------------------------------------------------------------------------


def held(call):
    """Answer when told, unless the gateway leaves first."""
    call.socket.settimeout(0.005)
    while not call.go.is_set():
        try:
            if not call.socket.recv(65536):
                return False
        except TimeoutError:
            continue
    call.socket.settimeout(None)
    return echo(call)


STEPS = st.lists(
    st.tuples(st.sampled_from(["start", "start", "finish", "cancel"]), st.integers(0, 7)), min_size=4, max_size=24
)


@pytest.mark.parametrize("way", ["lane", "hypercorn"])
@pytest.mark.parametrize(
    "targets",
    [1, 2],
)
def test_whatever_calls_do_the_pool_keeps_its_bound_and_loses_no_place(folder, way, targets):
    bound = 3

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=STEPS)
    def interleaved(steps):
        calls = {}
        for step, which in steps:
            if step == "start":
                path = f"/held/{next(_numbers)}"
                calls[path] = Wire(gate.url).send(get(path))
            elif calls:
                path = list(calls)[which % len(calls)]
                if step == "cancel":
                    calls.pop(path).socket.close()
                    continue
                arrived = next((each for each in calls if any(each in backend.calls for backend in found)), None)
                if arrived is not None:  # the call that waits longest has a place by now, or will have one
                    finish(calls, arrived)
            bounded()
        while calls:
            wait_until(lambda: any(each in backend.calls for each in calls for backend in found))
            finish(calls, next(each for each in calls if any(each in backend.calls for backend in found)))
            bounded()
        every_place_is_free()

    def finish(calls, path):
        wait_until(lambda: any(path in backend.calls for backend in found))
        next(backend.calls[path] for backend in found if path in backend.calls).go.set()
        wire = calls.pop(path)
        answer = wire.answer()
        assert (answer.status, answer.body) == (200, path.encode())
        wire.socket.close()

    def bounded():
        wait_until(lambda: sum(backend.open for backend in found) <= bound)

    def every_place_is_free():
        paths = [f"/held/{next(_numbers)}" for _ in range(bound)]
        wires = [Wire(gate.url).send(get(path)) for path in paths]
        wait_until(lambda: all(any(path in backend.calls for backend in found) for path in paths))
        for path in paths:
            next(backend.calls[path] for backend in found if path in backend.calls).go.set()
        for path, wire in zip(paths, wires, strict=True):
            assert wire.answer().body == path.encode()
            wire.socket.close()
        bounded()

    pool = {"pool": {"max_connections": bound}, "timeouts": {"connect": 20}}
    with fresh_door({"held": held}, folder, way, targets, **pool) as (gate, *found):
        interleaved()
        wait_until(lambda: gate.gateway.status()["in_flight"] == 0)
        assert [target["in_flight"] for target in gate.gateway.status()["connections"]["backend"]] == [0] * targets


PINNED = '''
from hookgate import Balancer, Options, hookimpl

class Pinned(Balancer[Options]):
    """The path says which target: /name/index/number."""

    @hookimpl
    def pick(self, exchange, targets):
        return targets[int(exchange.request.path.split("/")[2])]
'''


@contextmanager
def stalled(gate):
    """Have the gateway do nothing for as long as the block lasts: what comes meanwhile comes in one turn."""
    entered, release = threading.Event(), threading.Event()

    def stall():
        entered.set()
        release.wait(PATIENCE)

    gate._loop.call_soon_threadsafe(stall)
    assert entered.wait(PATIENCE)
    try:
        yield
    finally:
        release.set()


def test_the_bound_holds_over_all_targets_when_places_change_from_one_to_another(tmp_path):
    (tmp_path / "pinned.py").write_text(PINNED)
    with ExitStack() as stack:
        first, second = (stack.enter_context(Backend({"held": held})) for _ in range(2))
        document = front(first.url, second.url, pool={"max_connections": 2}, balancer="pinned")
        gate = stack.enter_context(running(document, plugins_dir=tmp_path))
        wires = [stack.enter_context(Wire(gate.url)) for _ in range(4)]
        for number in range(2):
            wires[number].send(get(f"/held/0/{number}"))
            first.call_of(f"/held/0/{number}")
        for number in range(2, 4):
            wires[number].send(get(f"/held/1/{number}"))
        wait_until(lambda: gate.gateway.status()["in_flight"] == 4)
        with stalled(gate):
            for number in range(2):
                first.calls[f"/held/0/{number}"].go.set()
            first.wait_for(lambda: all(first.calls[f"/held/0/{number}"].answered for number in range(2)))
        for number in range(2, 4):
            second.call_of(f"/held/1/{number}")
        with first.changed:
            assert first.changed.wait_for(lambda: first.open == 0, 3), "idle connections make room for the new ones"
        for number in range(2, 4):
            second.calls[f"/held/1/{number}"].go.set()
        assert [wire.answer().status for wire in wires] == [200] * 4
