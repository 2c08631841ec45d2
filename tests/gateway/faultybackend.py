"""A backend that does as it is told, also what is wrong, and a gateway in front of it."""

import itertools
import re
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from .both_ways.wire import Wire

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


def plugin_folders(tmp_path_factory):
    """Write the plugin that counts into two folders, by whether its hook is a coroutine."""
    folders = {}
    for word in ("", "async "):
        folders[word] = tmp_path_factory.mktemp("plugins")
        (folders[word] / "counting.py").write_text(COUNTING.format(word=word))
    return folders


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
        self.turn = threading.Lock()
        """Of who asks whether others are served: their connections are one for all."""

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


def refusing():
    """A URL nobody answers on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.002)
