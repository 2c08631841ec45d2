"""The pool over httpx, against backends that speak raw bytes."""

import asyncio
import gzip

import httpx
import pytest

from hookgate import (
    BadGateway,
    Body,
    Outbound,
    Target,
)
from hookgate_transport_httpx.wire import request_of

from .rawbackend import OK, PATIENCE, answering, fault_of, outbound, pooling, serving


async def chunks(*parts):
    for part in parts:
        yield part


# --- what goes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "query", "line"),
    [
        ("/a%2Fb", "x=%20", b"/a%2Fb?x=%20"),
        ("/a/../b//c/./d", "", b"/a/../b//c/./d"),
        ("/%zz%7euser%7E", "", b"/%zz%7euser%7E"),
        ('/|^`{}"\\<>', "a=[1]&b=|", b'/|^`{}"\\<>?a=[1]&b=|'),
        ("/p;v=1/@:,+!$'()*", "q=%C3%BC&&=", b"/p;v=1/@:,+!$'()*?q=%C3%BC&&="),
        ("/x", "y?z=1#", b"/x?y?z=1#"),
    ],
)
async def test_the_target_goes_out_byte_for_byte(path, query, line):
    async with serving(answering(OK)) as backend, pooling() as pool:
        await (await pool.send(outbound(backend, "GET", path, query))).body.read()

    assert backend.heads[0][0] == b"GET " + line + b" HTTP/1.1"


async def test_the_headers_go_out_as_they_are_and_no_others():
    headers = [("X-B", "1"), ("x-a", "  2"), ("X-B", "3"), ("Cookie", "k=v"), ("X-Umlaut", "\xfc")]
    async with serving(answering(OK)) as backend, pooling() as pool:
        await (await pool.send(outbound(backend, headers=headers))).body.read()

    assert backend.heads[0][1:] == [
        b"Host: backend",
        b"X-B: 1",
        b"x-a: 2",
        b"X-B: 3",
        b"Cookie: k=v",
        b"X-Umlaut: \xfc",
    ]


async def test_the_method_keeps_its_case():
    async with serving(answering(OK)) as backend, pooling() as pool:
        await (await pool.send(outbound(backend, "Purge"))).body.read()

    assert backend.heads[0][0] == b"Purge / HTTP/1.1"


@pytest.mark.parametrize(
    ("method", "body", "length", "declared", "framing"),
    [
        ("GET", b"", None, [], []),
        ("DELETE", b"", None, [("Content-Length", "0")], [b"Content-Length: 0"]),
        ("POST", b"", None, [], [b"content-length: 0"]),
        ("POST", b"abc", None, [], [b"content-length: 3"]),
        ("GET", b"abc", None, [], [b"content-length: 3"]),
        ("PUT", b"abc", None, [("CONTENT-length", "3"), ("X-Last", "1")], [b"CONTENT-length: 3"]),
        ("PUT", b"abc", None, [("Content-Length", "7")], [b"content-length: 3"]),
        ("PUT", b"abc", None, [("Transfer-Encoding", "chunked")], [b"content-length: 3"]),
        ("POST", chunks, 5, [], [b"content-length: 5"]),
        ("POST", chunks, None, [], [b"transfer-encoding: chunked"]),
        ("POST", chunks, None, [("Transfer-Encoding", "chunked")], [b"Transfer-Encoding: chunked"]),
        ("POST", chunks, None, [("Content-Length", "5")], [b"transfer-encoding: chunked"]),
    ],
)
async def test_the_framing_of_a_request_follows_its_body(method, body, length, declared, framing):
    sent = b"hello" if body is chunks else body
    source = chunks(b"he", b"", b"llo") if body is chunks else body
    wire = b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n" if b"chunked" in b"".join(framing) else sent
    received = []

    async def handler(backend, reader, writer):
        await backend.head(reader)
        received.append(await reader.readexactly(len(wire)))
        writer.write(OK)

    async with serving(handler) as backend, pooling() as pool:
        await (await pool.send(outbound(backend, method, headers=declared, body=source, length=length))).body.read()

    names = (b"content-length", b"transfer-encoding")
    assert [line for line in backend.heads[0] if line.lower().startswith(names)] == framing
    assert received == [wire]


def endless(closed):
    async def source():
        try:
            while True:
                yield bytes(65536)
        finally:
            closed.set()

    return source()


async def test_a_backend_that_hangs_up_during_the_upload_ends_it():
    async def handler(backend, reader, writer):
        await backend.head(reader)

    closed = asyncio.Event()
    async with serving(handler) as backend, pooling(max_connections=1) as pool:
        assert type(await fault_of(pool.send(outbound(backend, "POST", body=endless(closed))))) is BadGateway
        assert closed.is_set()


async def test_what_is_left_of_a_request_body_is_dropped_when_the_answer_comes_first():
    class Early(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            assert len(await anext(aiter(request.stream))) == 65536
            return httpx.Response(413, stream=httpx.ByteStream(b"no"))

    closed = asyncio.Event()
    async with pooling() as pool:
        pool._transport = lambda context: Early()
        response = await pool.send(outbound(Target("http", "backend", 80), "POST", body=endless(closed)))

        assert (response.status, closed.is_set()) == (413, True)
        assert await response.body.read() == b"no"


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_the_answer_comes_back_undecoded_with_its_raw_head():
    content = gzip.compress(b"hello")
    head = b"HTTP/1.1 299 Fine\r\nSet-Cookie: a=1\r\nset-cookie: b=\xfc\r\nContent-Encoding: gzip\r\n"
    async with (
        serving(answering(head + b"Content-Length: %d\r\n\r\n" % len(content) + content)) as backend,
        pooling() as pool,
    ):
        response = await pool.send(outbound(backend))

        assert response.status == 299
        assert response.headers.raw[:2] == [(b"Set-Cookie", b"a=1"), (b"set-cookie", b"b=\xfc")]
        assert response.body.length == len(content)
        assert await response.body.read() == content


@pytest.mark.parametrize(
    ("head", "wire"),
    [
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        (b"Connection: close\r\n", b"hello"),
    ],
)
async def test_a_body_of_unknown_length_streams_to_its_end(head, wire):
    async def handler(backend, reader, writer):
        await backend.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + wire)

    async with serving(handler) as backend, pooling() as pool:
        response = await pool.send(outbound(backend))

        assert response.body.length is None
        assert await response.body.read() == b"hello"


async def test_the_head_is_there_before_the_body_and_chunks_come_as_they_arrive():
    more = asyncio.Event()

    async def handler(backend, reader, writer):
        await backend.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n")
        await more.wait()
        writer.write(b"part")
        more.clear()
        await more.wait()
        writer.write(b"rest")

    async with serving(handler) as backend, pooling() as pool:
        stream = (await pool.send(outbound(backend))).body.stream()
        more.set()
        assert await anext(stream) == b"part"
        more.set()
        assert [chunk async for chunk in stream] == [b"rest"]


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 99\r\n\r\n'),
        ("POST", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
async def test_an_answer_without_a_body_leaves_its_connection_for_the_next_call(method, answer):
    async with serving(answering(answer)) as backend, pooling(max_connections=1) as pool:
        for _ in range(3):
            response = await pool.send(outbound(backend, method))
            assert response.body.data == b""

        assert backend.accepted == 1
        assert response.headers.get("content-length") in (None, "0", "1234", "99")


async def test_a_slow_reader_slows_the_backend_down():
    written = 0

    async def handler(backend, reader, writer):
        nonlocal written
        await backend.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()
            written += 65536

    async with serving(handler) as backend, pooling() as pool:
        response = await pool.send(outbound(backend))
        stream = response.body.stream()
        await anext(stream)
        before = -1
        async with asyncio.timeout(PATIENCE):
            while before != written:  # until the backend stands still
                before = written
                await asyncio.sleep(0.1)
        assert written < 64 * 1024 * 1024
        await stream.aclose()
        await backend.until(lambda: backend.open == 0)


async def test_closing_the_body_closes_the_upstream_connection_at_once():
    async def handler(backend, reader, writer):
        await backend.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nfirst")
        await reader.read()

    async with serving(handler) as backend, pooling(max_connections=1) as pool:
        unread = await pool.send(outbound(backend))
        await unread.body.close()
        await backend.until(lambda: backend.open == 0)

        started = await pool.send(outbound(backend))
        stream = started.body.stream()
        assert await anext(stream) == b"first"
        await stream.aclose()
        await backend.until(lambda: backend.open == 0)


async def test_what_httpx_asks_for_twice_is_sent_whole_or_not_at_all():
    """A connection of HTTP/2 may say that it has not looked at a request whose body httpcore has read."""
    held = request_of(Outbound("POST", Target("http", "a", 80), "/", body=Body(b"whole"))).stream
    assert [[chunk async for chunk in held] for _ in range(2)] == [[b"whole"], [b"whole"]]
    await held.aclose()

    async def upload():
        yield b"a stream"

    once = request_of(Outbound("POST", Target("http", "a", 80), "/", body=Body(upload()))).stream
    assert [chunk async for chunk in once] == [b"a stream"]
    with pytest.raises(RuntimeError):
        [chunk async for chunk in once]
    await once.aclose()
