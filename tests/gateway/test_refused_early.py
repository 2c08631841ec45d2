"""What a listener refuses before it is a call is counted, logged with its path as far as that is known, and shown."""

import asyncio
import json
import socket

import httpx
import pytest

from hookgate.testing import running, upstream

from .rawhttp2 import Http2

LINE = b"GET /some/path?a=b HTTP/1.1\r\nHost: a\r\n"
LIMITS = {"url": 100, "header_bytes": 256, "header_count": 5, "head": 1, "keep_alive": 2}
OVER_HTTP1 = {
    "a field that is none": (LINE + b"x y: 1\r\n\r\n", 400, "/some/path"),
    "too slow a head": (LINE, 408, "/some/path"),
    "too slow a line": (b"GET /some/path HT", 408, "/some/path"),
    "a version that nobody speaks": (LINE.replace(b"1.1", b"9.1") + b"\r\n", 400, "/some/path", "9.1"),
    "chunks in 1.0": (
        LINE.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        *(400, "/some/path", "1.0"),
    ),
    "too long a target": (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "/" + "a" * 200),
    "a target without end": (b"GET /" + b"a" * 2000, 414, "/" + "a" * 1023),
    "too long a head": (LINE + b"x: " + b"a" * 300 + b"\r\n\r\n", 431, "/some/path"),
    "a head without end": (LINE + b"x: " + b"a" * 2000, 431, "/some/path"),
    "too many fields": (LINE + b"x: a\r\n" * 6 + b"\r\n", 431, "/some/path"),
    "a method that nobody knows": (LINE.replace(b"GET", b"WALK") + b"\r\n", 501, "/some/path"),
    "connect": (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 501, "a:1"),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 501, ""),
    "a path that is none": (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "/%zz"),
}
HEAD = [(":scheme", "http"), (":authority", "a")]
HANDSHAKE = LINE + b"Connection: upgrade\r\nUpgrade: websocket\r\n"
OVER_HTTP2 = {
    "a handshake that is none": (
        [(":method", "CONNECT"), (":protocol", "websocket"), (":path", "/some/path?a=b"), *HEAD],
        *(400, "/some/path"),
    ),
    "connect": ([(":method", "CONNECT"), (":authority", "a:1")], 501, "a:1"),
    "a path that is no ASCII": ([(":method", "GET"), (":path", b"/\xe9"), *HEAD], 400, "/%E9"),
    "a path that is none": ([(":method", "GET"), (":path", "/%zz?a=b"), *HEAD], 400, "/%zz"),
    "too long a target": ([(":method", "GET"), (":path", "/" + "a" * 200), *HEAD], 414, "/" + "a" * 200),
    "too long a head": ([(":method", "GET"), (":path", "/some/path"), *HEAD, ("x", "a" * 300)], 431, "/some/path"),
    "a method that nobody knows": ([(":method", "WALK"), (":path", "/some/path"), *HEAD], 501, "/some/path"),
}


FRAME = b"\0\0%c%c%c\0\0\0%c%b"
BROKEN = {  # frames of HTTP/2 that break its rules, and what h2 makes of them (RFC 9113, 5.4.1)
    "a field in capitals": FRAME % (7, 1, 5, 1, b"\x82\x84\x86\0\1X\0"),
    "a block that is none": FRAME % (1, 1, 5, 1, b"\xff"),
    "no method": FRAME % (2, 1, 5, 1, b"\x84\x86"),
    "data on no stream": FRAME % (1, 0, 0, 1, b"a"),
    "a stream of the server": FRAME % (3, 1, 5, 2, b"\x82\x84\x86"),
    "settings of a wrong size": FRAME % (1, 4, 0, 0, b"a"),
    "too long a frame": b"\xff\xff\xff" + b"\0" * 6,
}


@pytest.fixture(params=["lane", "edge"])
def gate(request, tmp_path):
    log = tmp_path / "access.log"
    described = {
        "gateway": {
            "lane": request.param == "lane",
            "limits": LIMITS,
            "observers": ["prometheus", {"access-log": {"output": str(log)}}],
        },
        "management": {"apps": ["prometheus"]},
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
    }
    with upstream() as backend:
        described["connections"] = {"crm": {"targets": [backend.url]}}
        with running(described) as gate:
            gate.access = log
            yield gate


async def written(gate, wanted):
    """Wait until there are lines in the log that are as wanted."""
    async with asyncio.timeout(60):
        while True:
            text = gate.access.read_text() if gate.access.exists() else ""
            lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
            if wanted(lines):
                return lines
            await asyncio.sleep(0.01)


def check(gate, status, path, version):
    metrics = httpx.get(f"{gate.management}/-/metrics").text.splitlines()
    found = [line for line in metrics if line.startswith("hookgate_requests_total") and f'status="{status}"' in line]
    assert [line.rpartition(" ")[2] for line in found] == ["1"], found
    assert gate.gateway.in_flight == 0

    (line,) = gate.run(written(gate, len))
    assert (line["status"], line["reason"], line["client"]) == (status, "refused-early", "127.0.0.1")
    assert (line["path"], line["http"], line["route"]) == (path, version, None)


@pytest.mark.parametrize("what", OVER_HTTP1)
def test_over_http1(gate, what):
    data, status, path, *version = OVER_HTTP1[what]
    with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2])), 30) as client:
        client.sendall(data)
        assert client.recv(12) == b"HTTP/1.1 %d" % status
        check(gate, status, path, *(version or ["1.1"]))


@pytest.mark.parametrize("before", [b"", LINE + b"\r\n"], ids=["first", "behind a call"])
def test_an_empty_line_is_no_head_that_is_late(gate, before):
    """Old clients send one behind a body (RFC 9112, 2.2)."""
    with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2])), 30) as client:
        client.sendall(before + b"\r\n")
        came = b""
        while data := client.recv(65536):
            came += data

    assert came.count(b"HTTP/1.1") == bool(before), came
    assert b"408" not in came
    metrics = httpx.get(f"{gate.management}/-/metrics").text
    assert 'status="408"' not in metrics


@pytest.mark.parametrize("gate", ["edge"], indirect=True)
@pytest.mark.parametrize("fields", [b"", b"Sec-WebSocket-Version: 13\r\n", b"Sec-WebSocket-Key: a\r\n"])
def test_a_handshake_that_the_edge_refuses(gate, fields):
    """On the lane it is the backend's to answer."""
    with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2])), 30) as client:
        client.sendall(HANDSHAKE + fields + b"\r\n")
        assert client.recv(12) == b"HTTP/1.1 400"
        check(gate, 400, "/some/path", "1.1")


def test_a_body_that_is_none_is_told_with_the_path_of_its_call(gate):
    with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2])), 30) as client:
        client.sendall(LINE.replace(b"GET", b"POST") + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert client.recv(12) == b"HTTP/1.1 400"
        lines = gate.run(written(gate, lambda lines: any(line["status"] == 400 for line in lines)))

    assert {(line["method"], line["path"]) for line in lines} == {("POST", "/some/path")}


@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_http2_itself(gate, what):
    with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2])), 30) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        client.sendall(FRAME % (0, 4, 0, 0, b"") + BROKEN[what])
        came = b""
        while data := client.recv(65536):
            came += data
        assert b"\0\0\x08\7\0" in came, came  # GOAWAY
        check(gate, 400, "", "2")


@pytest.mark.parametrize("said", [b"", FRAME % (0, 4, 0, 0, b"")], ids=["preface", "settings"])
def test_who_says_nothing_over_http2_is_not_kept(gate, said):
    with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2])), 30) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + said)
        while client.recv(65536):  # a time-out of this socket would be an error
            pass
    assert "refused-early" not in httpx.get(f"{gate.management}/-/metrics").text


@pytest.mark.parametrize(
    "part", [FRAME % (3, 1, 1, 1, b"\x82\x84\x86"), FRAME % (9, 1, 5, 1, b"\x82")], ids=["frame", "bytes"]
)
def test_a_head_over_http2_that_is_too_slow(gate, part):
    with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2])), 30) as client:
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + FRAME % (0, 4, 0, 0, b"") + part)
        while client.recv(65536):
            pass
        check(gate, 408, "", "2")


@pytest.mark.parametrize("what", OVER_HTTP2)
def test_over_http2(gate, what):
    fields, status, path = OVER_HTTP2[what]
    with Http2(gate.url) as client:
        assert client.answer(client.send(fields)) == status
        check(gate, status, path, "2")
