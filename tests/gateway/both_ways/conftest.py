"""The same gateway twice, once with the lane and once without, in front of one backend that does as it is asked."""

import asyncio
import logging
from pathlib import Path

import pytest

from hookgate.testing import running, upstream
from hookgate.testing.upstream import Reset

from .wire import Wire

SITE = Path(__file__).parent / "site"
MIB = 1024 * 1024
LIMITS = {"url": 1024, "header_bytes": 4096, "header_count": 30}


async def in_chunks():
    for chunk in (b"one", b"two", b"three"):
        yield chunk


def raw(*parts):
    return Reset("".join(part + "\r\n" for part in parts[:-1]).encode() + parts[-1].encode())


ANSWERS = {
    "204": lambda: (204, {"x-a": "1"}, b""),
    "204-with-length": lambda: raw("HTTP/1.1 204 No Content", "Content-Length: 0", "", ""),
    "205": lambda: (205, {}, b""),
    "304": lambda: (304, {"etag": '"1"', "content-length": "7"}, b""),
    "404": lambda: (404, {"content-type": "text/plain"}, b"not here"),
    "500": lambda: (500, {}, b"broken"),
    "empty": lambda: (200, {}, b""),
    "chunks": lambda: (200, {"content-type": "text/plain"}, in_chunks()),
    "mebibyte": lambda: (200, {"content-type": "application/octet-stream"}, bytes(range(256)) * 4096),
    "mebibyte-in-chunks": lambda: (200, {}, iter([bytes(range(256)) * 256] * 16)),
    "headers": lambda: (
        200,
        [
            ("Set-Cookie", "a=1"),
            ("X-Empty", ""),
            ("Set-Cookie", "b=2"),
            ("X-Odd", b"caf\xe9  au\tlait"),
            ("Date", "today"),
        ],
        b"headers",
    ),
    "hop": lambda: (
        200,
        [
            ("Connection", "x-secret"),
            ("X-Secret", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Authenticate", "x"),
            ("Te", "x"),
            ("Upgrade", "x"),
            ("Trailer", "x"),
            ("Proxy-Connection", "x"),
            ("X-Kept", "1"),
        ],
        b"hop",
    ),
    "426": lambda: raw(
        "HTTP/1.1 426 Upgrade Required",
        "Connection: Upgrade, X-Hop",
        "Upgrade: websocket",
        "Upgrade: TLS/1.0",
        "Sec-WebSocket-Version: 13",
        "X-Hop: 1",
        "Content-Length: 2",
        "",
        "no",
    ),
    "1.0": lambda: raw("HTTP/1.0 200 OK", "", "up to the end"),
    "until-close": lambda: raw("HTTP/1.1 200 OK", "Content-Type: text/plain", "", "up to the end"),
    "interim": lambda: raw(
        "HTTP/1.1 103 Early", "Link: x", "", "HTTP/1.1 100 Go", "", "HTTP/1.1 200 OK", "Content-Length: 2", "", "ok"
    ),
    "short": lambda: raw("HTTP/1.1 200 OK", "Content-Length: 10", "", "short"),
    "short-in-chunks": lambda: raw("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "5", "short", "5", "sh"),
    "bad-chunks": lambda: raw("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "", "x", "short", ""),
    "long": lambda: raw("HTTP/1.1 200 OK", "Content-Length: 2", "", "long"),
    "nonsense": lambda: raw("SSH-2.0-OpenSSH_9.2", "", ""),
    "two-lengths": lambda: raw("HTTP/1.1 200 OK", "Content-Length: 2", "Content-Length: 3", "", "abc"),
    "both-framings": lambda: raw("HTTP/1.1 200 OK", "Content-Length: 2", "Transfer-Encoding: chunked", "", "0", "", ""),
    "split-head": lambda: raw("HTTP/1.1 200 OK", "X: a\nSet-Cookie: b", "", ""),
    "protocol": lambda: raw("HTTP/1.1 101 Switching", "Upgrade: x", "Connection: upgrade", "", ""),
    "closed": lambda: raw(""),
    "half-a-head": lambda: raw("HTTP/1.1 200 OK", "X-A: "),
    "endless-head": lambda: raw("HTTP/1.1 200 OK", "X-A: " + "a" * 100_000, "", ""),
}
"""What the backend answers, by the query it gets; to any other query it answers with the body of the request."""


def answer(request):
    asked = ANSWERS.get(request.query)
    return asked() if asked is not None else (200, {"content-type": "application/octet-stream"}, request.body)


def document(backend, *, lane, **gateway):
    """One document for all: each path has another flow."""
    to = {"connection": "backend"}

    def route(name, *flow, match=None, **more):
        return {"name": name, "match": match or {"path": f"/{name}"}, "flow": list(flow), "to": to, **more}

    respond = {"respond": {"body": "early", "headers": {"x-early": "1"}}}
    return {
        "gateway": {
            "lane": lane,
            "flow": ["counted"],
            "observers": ["watching"],
            "limits": {**LIMITS, **gateway.pop("limits", {})},
            **gateway,
        },
        "routes": [
            route("plain"),
            route("sync", "marking"),
            route("async", "marking-later"),
            route("read", "reading"),
            route("read-async", "reading-later"),
            route("map", "shouting"),
            route("map-async", "marking-later", "shouting"),
            route("copy", "copying"),
            route("early", respond),
            route("early-async", "marking-later", respond),
            route("nowhere", to=None),
            route("fault-in", {"failing": {"where": "request"}}),
            route("fault-out", {"failing": {"where": "response"}}),
            route("error-in", {"failing": {"where": "request", "how": "error"}}),
            route("error-out", {"failing": {"where": "response", "how": "error"}}),
            route("consoled", "consoling", {"failing": {"where": "request"}}),
            route("consoled-out", "consoling", {"failing": {"where": "response"}}),
            route("too-short", {"lying": {"length": 20}}),
            route("too-long", {"lying": {"length": 5}}),
            route("waiting", "waiting"),
            route("limited", limits={"request_body": 10}),
            route("only", match={"path": "/only", "methods": ["GET", "PUT"]}),
            route("tree", match={"path": "/tree/{rest...}"}),
            route("host", match={"path": "/host", "host": "right.example"}, to={**to, "preserve_host": True}),
        ],
        "connections": {"backend": {"targets": backend.url}},
    }


class Way:
    """One of the two gateways, with the backend behind it."""

    def __init__(self, name, gate, backend):
        self.name, self.gate, self.backend = name, gate, backend

    def connect(self, **options):
        return Wire(self.gate.url, **options)

    def settled(self, seconds=60):
        """Wait until no call is under way, and return all that are over."""

        async def until_idle():
            async with asyncio.timeout(seconds):
                while self.gate.gateway.status()["in_flight"]:
                    await asyncio.sleep(0.002)

        self.gate.run(until_idle())
        return list(self.gate.finished)

    def turn(self):
        """Return when the gateway has seen what was sent before: a call of its own has come back by then."""
        with self.connect() as wire:
            assert wire.send(b"GET /early HTTP/1.1\r\nHost: a\r\n\r\n").answer().status == 200

    def in_flight(self):
        return sum(target["in_flight"] for target in self.gate.gateway.status()["connections"]["backend"])


def check_ends(way, exchanges):
    """Every call has ended exactly once for everybody who is told, and nothing is left of it."""
    for exchange in exchanges:
        told = exchange.variables
        assert (told["in"], told["done"], told["started"], told["finished"]) == (1, 1, 1, 1), exchange
        assert told.get("out", 0) <= 1
        assert told.get("out") == 1 or exchange.outcome == "aborted", exchange
        assert exchange.finished is not None
    assert way.in_flight() == 0


KNOWN = (
    "Too little data for declared Content-Length",  # a step that lies, told by h11 in the edge
)
"""What may be logged as an error all the same."""


class Errors(logging.Handler):
    """Collects what must not be logged: failures of the gateway itself and of the event loop."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.texts = []

    def emit(self, record):
        if record.name != "hookgate.flow":  # that is where errors of steps go
            self.texts.append(f"{record.name}: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")


@pytest.fixture(autouse=True)
def errors():
    """Nothing fails unseen while a test runs."""
    handler = Errors()
    for name in ("hookgate", "asyncio"):
        logging.getLogger(name).addHandler(handler)
    yield handler
    for name in ("hookgate", "asyncio"):
        logging.getLogger(name).removeHandler(handler)
    assert [text for text in handler.texts if not any(known in text for known in KNOWN)] == []


@pytest.fixture(scope="session")
def backend():
    with upstream(answer) as backend:
        yield backend


@pytest.fixture(scope="session")
def standing(backend):
    """Both gateways, for as long as the tests last."""
    with running(document(backend, lane=True), plugins_dir=SITE) as lane:
        with running(document(backend, lane=False), plugins_dir=SITE) as edge:
            yield {"lane": Way("lane", lane, backend), "edge": Way("edge", edge, backend)}


@pytest.fixture
def ways(standing, backend):
    """Both gateways, and a backend that has forgotten what came before."""
    for way in standing.values():
        way.settled()
        way.gate.finished.clear()
    backend.requests.clear()
    backend.answer = answer
    yield standing
    for way in standing.values():
        check_ends(way, way.settled())


@pytest.fixture(params=["lane", "edge"])
def way(ways, request):
    return ways[request.param]


@pytest.fixture(params=["lane", "edge"])
def own(backend, request):
    """Run a gateway with settings of its own, for one test: ``with own(limits={...}) as way``."""
    from contextlib import contextmanager

    backend.requests.clear()
    backend.answer = answer

    @contextmanager
    def opened(**gateway):
        with running(document(backend, lane=request.param == "lane", **gateway), plugins_dir=SITE) as gate:
            way = Way(request.param, gate, backend)
            yield way
            check_ends(way, way.settled())

    return opened
