"""The table of docs/http.md: trailers, interim answers and early answers, row by row and way by way."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from hookgate.testing import running, upstream
from hookgate.testing.upstream import Reset

from .conftest import SITE, Way, document
from .http2 import Http2
from .wire import Wire

PAGE = Path(__file__).parents[3] / "docs/http.md"
WAYS = ("lane", "edge", "HTTP/2")


def table():
    """(row, way) -> what the page says."""
    lines = PAGE.read_text(encoding="utf-8").partition("reads these rows -->")[2].partition("\n- ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]
    return {(what, way): cell for what, *cells in rows for way, cell in zip(WAYS, cells, strict=True)}


TABLE = table()


@dataclass
class Seen:
    """An answer, with what came before it and behind it."""

    status: int
    interim: list[int]
    trailers: list[tuple[str, str]]
    goes_on: bool


class Caller:
    """A client that speaks one of the ways."""

    def __init__(self, standing, way):
        self.way, self.gate = way, standing["lane" if way == "HTTP/2" else way]

    def call(self, path, *fields, body=b"", length=None, chunks=False, trailers=(), version="1.1"):
        """Send a request, whose body may be shorter than ``length`` or never end."""
        if self.way == "HTTP/2":
            return self._http2(path, fields, body, unfinished=chunks or (length or 0) > len(body))
        lines = [f"{name}: {value}" for name, value in fields]
        if "te" in dict(fields):
            lines.append("Connection: TE")
        if body or length or chunks or trailers:
            chunked = chunks or trailers
            lines.append("Transfer-Encoding: chunked" if chunked else f"Content-Length: {length or len(body)}")
            if chunked:
                end = b"" if chunks else b"0\r\n" + b"".join(b"%b: 1\r\n" % each for each in trailers) + b"\r\n"
                body = b"%x\r\n%b\r\n" % (len(body), body) + end
        method = "POST" if body else "GET"
        head = "".join(line + "\r\n" for line in [f"{method} {path} HTTP/{version}", "Host: a", *lines, ""])
        with Wire(self.gate.gate.url) as wire:
            wire.send(head.encode() + (b"" if "expect" in dict(fields) else body))
            interim = []
            if "expect" in dict(fields):
                interim, answer = self._expecting(wire, body)
            else:
                while (answer := wire.head()).status < 200:
                    interim.append(answer.status)
            behind = self._rest(wire, answer)
            return Seen(answer.status, interim, behind, not answer.closes)

    def _expecting(self, wire, body):
        """Send the body when it may come, as one does who waits for that."""
        answer = wire.head()
        if answer.status != 100:
            return [], answer
        wire.send(body)
        return [100], wire.head()

    def _rest(self, wire, answer):
        if answer["transfer-encoding"] is None:
            wire.take(int(answer["content-length"]))
            return []
        while size := int(wire.line(), 16):
            wire.take(size + 2)
        behind = []
        while line := wire.line():
            name, _, value = line.decode().partition(":")
            behind.append((name.lower(), value.strip()))
        return behind

    def _http2(self, path, fields, body, unfinished):
        with Http2(self.gate.gate.url) as client:
            reply = client.call(path, *fields, method="POST" if body else "GET", body=body, unfinished=unfinished)
            goes_on = client.call("/early").status == 200
            return Seen(reply.status, reply.interim, reply.trailers or [], goes_on)


def trailing(names):
    lines = b"".join(b"%b: 1\r\n" % name for name in names)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    return lambda _: Reset(head + b"5\r\nhello\r\n0\r\n" + lines + b"\r\n")


def sent(seen, name="x-sum"):
    assert seen.status == 200
    return "passed on" if (name, "1") in seen.trailers else "dropped" if not seen.trailers else str(seen.trailers)


def of_backend(caller, backend, path="/plain", fields=(("te", "trailers"),), names=(b"X-Sum",)):
    backend.answer = trailing(names)
    return sent(caller.call(path, *fields))


FORBIDDEN = (b"Content-Length", b"Transfer-Encoding", b"Host", b"Set-Cookie", b"Content-Type", b"Connection")


def of_client(caller, backend):
    if caller.way == "HTTP/2":
        with Http2(caller.gate.gate.url) as client:
            assert client.call("/plain", method="POST", body=b"hello", trailers=[("x-sum", "1")]).status == 200
    else:
        assert caller.call("/plain", body=b"hello", trailers=(b"X-Sum", b"Host")).status == 200
    (received,) = backend.requests
    assert received.body == b"hello"
    return "passed on" if received.header("x-sum") else "dropped"


def interim(caller, backend, head, **call):
    backend.answer = lambda _: Reset(head + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    if call and caller.way == "HTTP/2":
        return "does not happen"
    seen = caller.call("/plain", **call)
    if len(seen.interim) > 1:
        return f"{len(seen.interim)} of them, then {seen.status}"
    alone = " alone" if seen.status == 200 and not seen.interim else ""
    return ", then ".join([*map(str, seen.interim), str(seen.status)]) + alone


HINTS = b"HTTP/1.1 103 Early\r\nLink: </a>; rel=preload\r\n\r\n"


def expecting(caller, backend, path):
    seen = caller.call(path, ("expect", "100-continue"), body=b"hello")
    assert all(each.body == b"hello" for each in backend.requests)
    return f"100, then {seen.status}" if seen.interim == [100] else f"{seen.status} alone"


def early(caller, backend, path="/early", **body):
    seen = caller.call(path, body=b"x", **body)
    assert seen.status == 200
    return "sent, goes on" if seen.goes_on else "sent, closes"


async def impatient(reader, writer):
    """A backend that answers to the head."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()
    await reader.read()
    writer.close()


def early_backend(caller, backend):
    with upstream() as quick:
        quick.serve = impatient
        with running(document(quick, lane=caller.way == "lane"), plugins_dir=SITE) as gate:
            caller.gate = Way(caller.way, gate, quick)
            return early(caller, quick, "/tree/impatient", length=1 << 20)


ROWS = {
    "Trailers of a backend, and the client says `TE: trailers`": of_backend,
    "Trailers of a backend, and the client says nothing": lambda c, b: of_backend(c, b, fields=()),
    "Trailers of a body that a step has changed": lambda c, b: of_backend(c, b, "/map"),
    "Trailers that may not be some: framing, `Host`, `Set-Cookie`, `Content-Type`": lambda c, b: of_backend(
        c, b, names=FORBIDDEN
    ),
    "Trailers of a client": of_client,
    "A backend answers 102, 103 or another 1xx, then 200": lambda c, b: interim(c, b, HINTS),
    "The same, and the client speaks HTTP/1.0": lambda c, b: interim(c, b, HINTS, version="1.0"),
    "A backend answers 103 of more than 8 KiB, then 200": lambda c, b: interim(
        c, b, b"HTTP/1.1 103 Early\r\nLink: <%b>\r\n\r\n" % (b"a" * 8192)
    ),
    "A backend answers 100, then 200": lambda c, b: interim(c, b, b"HTTP/1.1 100 Continue\r\nX: a\r\n\r\n"),
    "A backend answers 101, and nobody asked for it": lambda c, b: interim(
        c, b, b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    ),
    "A backend answers 103 without end": lambda c, b: interim(c, b, b"HTTP/1.1 103 Early\r\n\r\n" * 1000),
    "`Expect: 100-continue`, and somebody reads the body": lambda c, b: expecting(c, b, "/plain"),
    "`Expect: 100-continue`, and the gateway refuses the call": lambda c, b: expecting(c, b, "/missing"),
    "The answer is there before the body: up to 256 KiB with a length are missing": lambda c, b: early(
        c, b, length=1000
    ),
    "The answer is there before the body: chunks are missing": lambda c, b: early(c, b, chunks=True),
    "The backend answers before it has the body": early_backend,
}


def test_the_page_has_these_rows():
    assert {what for what, _ in TABLE} == set(ROWS)
    assert re.search("256 KiB", PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize(("what", "way"), TABLE)
def test_what_the_page_says_is_so(ways, backend, what, way):
    assert ROWS[what](Caller(ways, way), backend) == TABLE[what, way]


@pytest.mark.parametrize("query", ["204", "404", "empty", "chunks", "mebibyte-in-chunks", "1.0"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_who_takes_trailers_gets_answers_without_any(ways, query, method):
    with Http2(ways["lane"].gate.url) as client:
        reply = client.call(f"/plain?{query}", ("te", "trailers"), method=method)
        assert (reply.reset, reply.trailers) == (False, None)
        assert len(reply.body) == (
            {"404": 8, "chunks": 11, "mebibyte-in-chunks": 1 << 20, "1.0": 13}.get(query, 0) if method == "GET" else 0
        )
        assert client.call("/early", ("te", "trailers")).body == b"early"
