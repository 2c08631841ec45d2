"""The pool over httpx, against backends that speak raw bytes."""

import asyncio
import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager

import httpx
import pytest

from hookgate import (
    BadGateway,
    Body,
    ConnectFailed,
    ContentTooLarge,
    GatewayTimeout,
    Headers,
    Outbound,
    Pool,
    ServiceUnavailable,
    Target,
    Timeouts,
)
from hookgate_transport_httpx.pool import HttpxPool
from hookgate_transport_httpx.wire import request_of

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 60.0
"""Seconds after which a test that waits for something has failed."""


class Backend:
    """A server whose handler gets the reader and the writer of each connection, in the loop of the test."""

    def __init__(self, handler):
        self.handler = handler
        self.heads = []
        self.accepted = 0
        self.open = 0
        self.changed = asyncio.Condition()
        self.scheme = "http"

    @property
    def target(self):
        return Target(self.scheme, "127.0.0.1", self.port)

    async def head(self, reader):
        """Read the head of a request; return its lines."""
        raw = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(raw.split(b"\r\n")[:-2])
        return self.heads[-1]

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE), self.changed:
            await self.changed.wait_for(condition)

    async def note(self, accepted=0, opened=0):
        async with self.changed:
            self.accepted += accepted
            self.open += opened
            self.changed.notify_all()

    async def serve(self, reader, writer):
        await self.note(1, 1)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
                await self.handler(self, reader, writer)
        finally:
            writer.close()
            await self.note(0, -1)


@asynccontextmanager
async def serving(handler, **options):
    backend = Backend(handler)
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0, **options)
    backend.port = server.sockets[0].getsockname()[1]
    try:
        yield backend
    finally:
        server.close()


@asynccontextmanager
async def pooling(context=None, **options):
    pool = HttpxPool(Pool(**options), context)
    try:
        yield pool
    finally:
        await pool.aclose()


def answering(*answers):
    """Answer every request of a connection with the next of these bytes, the last for ever."""

    async def handler(backend, reader, writer):
        number = 0
        while True:
            await backend.head(reader)
            writer.write(answers[min(number, len(answers) - 1)])
            await writer.drain()
            number += 1

    return handler


def outbound(backend, method="GET", path="/", query="", headers=(), body=b"", length=None, **timeouts):
    fields = Headers([("Host", "backend"), *headers])
    content = body if isinstance(body, Body) else Body(body, length=length)
    bounds = Timeouts(**{"connect": PATIENCE, "read": PATIENCE, **timeouts})
    target = backend if isinstance(backend, Target) else backend.target
    return Outbound(method, target, path, query, headers=fields, body=content, timeouts=bounds)


async def chunks(*parts):
    for part in parts:
        yield part


async def fault_of(awaitable):
    """Return the fault that something ends in, having checked that it tells a stranger nothing."""
    with pytest.raises((BadGateway, GatewayTimeout, ServiceUnavailable)) as caught:
        await awaitable
    assert "127.0.0.1" not in caught.value.detail
    assert "\n" not in caught.value.detail
    return caught.value


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


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_a_refused_connection_is_told_as_such():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with pooling() as pool:
            fault = await fault_of(pool.send(outbound(Target("http", "127.0.0.1", unused.getsockname()[1]))))

    assert (type(fault), fault.reason) == (ConnectFailed, "connect-refused")


async def test_a_connection_that_does_not_come_about_in_time_is_told_as_such():
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # fill the backlog: whoever comes now waits for an answer to their SYN
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        async with pooling() as pool:
            fault = await fault_of(pool.send(outbound(Target("http", *full.getsockname()), connect=0.05)))

    assert (type(fault), fault.reason) == (ConnectFailed, "connect-timeout")


async def test_a_name_that_cannot_be_resolved_is_told_as_such(monkeypatch):
    async def nowhere(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere)
    async with pooling() as pool:
        fault = await fault_of(pool.send(outbound(Target("http", "backend.invalid", 80))))

    assert (type(fault), fault.reason) == (ConnectFailed, "dns-failed")


async def test_a_backend_that_does_not_speak_tls_is_told_as_such():
    async def handler(backend, reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(handler) as backend, pooling() as pool:
        backend.scheme = "https"
        fault = await fault_of(pool.send(outbound(backend)))

    assert (type(fault), fault.reason) == (ConnectFailed, "tls-failed")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", BadGateway),
        (b"nonsense\r\n\r\n", BadGateway),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n", BadGateway),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", BadGateway),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", BadGateway),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, BadGateway),
        (None, GatewayTimeout),
    ],
)
async def test_a_backend_that_gives_no_proper_head_ends_in_a_fault_and_its_connection_is_closed(answer, kind):
    async def handler(backend, reader, writer):
        await backend.head(reader)
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            if answer:
                await reader.read()

    async with serving(handler) as backend, pooling(max_connections=1) as pool:
        fault = await fault_of(
            pool.send(outbound(backend, "POST", body=b"x", read=0.1 if answer is None else PATIENCE))
        )
        assert type(fault) is kind
        await backend.until(lambda: backend.open == 0)


@pytest.mark.parametrize(
    ("rest", "kind"),
    [(b"", BadGateway), (None, GatewayTimeout), (b"5\r\nab", BadGateway), (b"zz\r\n", BadGateway)],
)
async def test_a_body_that_breaks_off_ends_in_the_same_faults(rest, kind):
    async def handler(backend, reader, writer):
        await backend.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
        if rest is None:
            await reader.read()
        else:
            writer.write(rest)

    async with serving(handler) as backend, pooling(max_connections=1) as pool:
        response = await pool.send(outbound(backend, read=0.1 if rest is None else PATIENCE))
        assert response.status == 200
        assert type(await fault_of(response.body.read())) is kind
        await backend.until(lambda: backend.open == 0)


async def test_a_request_that_is_no_http_is_refused_without_being_sent():
    async with serving(answering(OK)) as backend, pooling(max_connections=1) as pool:
        assert type(await fault_of(pool.send(outbound(backend, path="/a b")))) is BadGateway
        assert type(await fault_of(pool.send(outbound(backend, path="/\xfc")))) is BadGateway
        assert backend.heads == []


async def test_a_fault_of_the_request_body_comes_through_as_it_is():
    async def failing():
        yield b"some"
        raise ContentTooLarge("too much")

    async def handler(backend, reader, writer):
        await backend.head(reader)
        await reader.read()

    async with serving(handler) as backend, pooling(max_connections=1) as pool:
        with pytest.raises(ContentTooLarge, match="too much"):
            await pool.send(outbound(backend, "POST", body=failing()))
        await backend.until(lambda: backend.open == 0)


# --- kept connections -------------------------------------------------------------------------------------------------


async def hanging_up_on_the_second(backend, reader, writer):
    """Answer one request on each connection, take another and hang up without a word."""
    await backend.head(reader)
    writer.write(OK)
    await backend.head(reader)


async def test_an_idle_connection_is_closed_when_its_time_is_over_though_nobody_calls():
    async with serving(answering(OK)) as backend, pooling(keep_alive=0.1) as pool:
        assert await whole(pool, backend) == b"ok"
        await backend.until(lambda: backend.open == 0)

        assert await whole(pool, backend) == b"ok"
        assert backend.accepted == 2


async def test_without_keep_alive_each_call_has_a_connection_of_its_own():
    async with serving(answering(OK)) as backend, pooling(keep_alive=0) as pool:
        for count in (1, 2, 3):
            assert await whole(pool, backend) == b"ok"
            await backend.until(lambda: backend.open == 0)
            assert backend.accepted == count


async def test_the_connection_that_was_used_last_is_used_next():
    """So that those a rush has left over become old and are closed."""
    served = []
    go = asyncio.Event()

    async def handler(backend, reader, writer):
        me = backend.accepted
        while True:
            await backend.head(reader)
            served.append(me)
            async with backend.changed:
                backend.changed.notify_all()
            await go.wait()
            writer.write(OK)

    async with serving(handler) as backend, pooling() as pool:
        rush = [asyncio.create_task(whole(pool, backend)) for _ in range(3)]
        await backend.until(lambda: len(served) == 3)
        go.set()
        await asyncio.gather(*rush)
        for _ in range(4):
            await whole(pool, backend)

        assert backend.accepted == 3
        assert len(set(served[3:])) == 1


async def test_a_connection_that_the_backend_closed_while_idle_is_not_used_again():
    async def handler(backend, reader, writer):
        await backend.head(reader)
        writer.write(OK)

    async with serving(handler) as backend, pooling() as pool:
        for count in (1, 2, 3):
            response = await pool.send(outbound(backend, "POST", body=b"x"))
            assert await response.body.read() == b"ok"
            await backend.until(lambda: backend.open == 0)
            assert backend.accepted == count


async def test_a_request_that_may_be_repeated_is_sent_again_when_a_kept_connection_closes_under_it():
    async with serving(hanging_up_on_the_second) as backend, pooling() as pool:
        for _ in range(2):
            assert await (await pool.send(outbound(backend, "GET"))).body.read() == b"ok"

        assert (len(backend.heads), backend.accepted) == (3, 2)


@pytest.mark.parametrize(("method", "body"), [("POST", b""), ("PUT", b"x"), ("PATCH", b"")])
async def test_any_other_request_is_not_sent_twice(method, body):
    async with serving(hanging_up_on_the_second) as backend, pooling() as pool:
        await (await pool.send(outbound(backend))).body.read()
        assert type(await fault_of(pool.send(outbound(backend, method, body=body)))) is BadGateway

        assert (len(backend.heads), backend.accepted) == (2, 1)


async def test_a_request_on_a_new_connection_is_not_sent_twice():
    async def handler(backend, reader, writer):
        await backend.head(reader)

    async with serving(handler) as backend, pooling() as pool:
        assert type(await fault_of(pool.send(outbound(backend)))) is BadGateway

        assert backend.accepted == 1


# --- the bound on connections -----------------------------------------------------------------------------------------


async def test_a_call_beyond_the_bound_waits_for_a_connection():
    go = asyncio.Event()

    async def handler(backend, reader, writer):
        while True:
            await backend.head(reader)
            async with backend.changed:
                backend.changed.notify_all()
            await go.wait()
            writer.write(OK)

    async with serving(handler) as backend, pooling(max_connections=2) as pool:
        calls = [asyncio.create_task(pool.send(outbound(backend))) for _ in range(3)]
        await backend.until(lambda: len(backend.heads) == 2)
        assert backend.open == 2
        go.set()
        for call in calls:
            assert await (await call).body.read() == b"ok"

        assert (backend.accepted, len(backend.heads)) == (2, 3)


async def test_a_call_that_gets_no_connection_in_time_is_refused():
    unfinished = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
    async with serving(unfinished) as backend, pooling(max_connections=1) as pool:
        streaming = await pool.send(outbound(backend))
        fault = await fault_of(pool.send(outbound(backend, connect=0.05)))
        assert (type(fault), fault.reason) == (ServiceUnavailable, "pool-exhausted")

        await streaming.body.close()
        assert (await pool.send(outbound(backend))).status == 200


async def test_the_bound_counts_over_all_targets_and_idle_connections_give_way():
    async with serving(answering(OK)) as one, serving(answering(OK)) as two, pooling(max_connections=1) as pool:
        for backend in (one, two, one):
            await (await pool.send(outbound(backend))).body.read()
            await backend.until(lambda: one.open + two.open == 1)

        assert (one.accepted, two.accepted) == (2, 1)


# --- cancellation -----------------------------------------------------------------------------------------------------


async def whole(pool, backend):
    response = await pool.send(outbound(backend))
    try:
        return await response.body.read()
    finally:
        await response.body.close()


async def test_cancelling_many_calls_leaves_every_place_free():
    heard = asyncio.Event()
    silent = True

    async def handler(backend, reader, writer):
        while True:
            await backend.head(reader)
            heard.set()
            if silent:
                await reader.read()
                return
            writer.write(OK)

    async with serving(handler) as backend, pooling(max_connections=2) as pool:
        calls = [asyncio.create_task(whole(pool, backend)) for _ in range(50)]
        await heard.wait()
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await backend.until(lambda: backend.open == 0)
        silent = False

        assert await asyncio.gather(*(whole(pool, backend) for _ in range(4))) == [b"ok"] * 4
        assert all(call.cancelled() for call in calls)


async def test_a_call_that_is_cancelled_while_it_waits_for_a_connection_disturbs_nobody():
    go = asyncio.Event()

    async def handler(backend, reader, writer):
        while True:
            await backend.head(reader)
            async with backend.changed:
                backend.changed.notify_all()
            await go.wait()
            writer.write(OK)

    async with serving(handler) as backend, pooling(max_connections=1) as pool:
        busy = asyncio.create_task(whole(pool, backend))
        await backend.until(lambda: backend.heads)
        waiting = [asyncio.create_task(whole(pool, backend)) for _ in range(5)]
        await asyncio.sleep(0)
        for call in waiting:
            call.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        go.set()

        assert await busy == b"ok"
        assert await whole(pool, backend) == b"ok"
        assert (backend.accepted, len(backend.heads)) == (1, 2)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
async def test_a_cancellation_at_any_moment_leaks_neither_place_nor_connection(secure, again, certificate):
    """Every step of the loop from the start of a call to its end is a moment: waiting, connecting, sending, reading."""

    async def handler(backend, reader, writer):
        while True:
            await backend.head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
            await asyncio.sleep(0)
            writer.write(b"ok")

    server, client = certificate.contexts() if secure else (None, None)
    async with serving(handler, ssl=server) as backend, pooling(client, max_connections=2) as pool:
        backend.scheme = "https" if secure else "http"
        for moments in range(80):
            calls = [asyncio.create_task(whole(pool, backend)) for _ in range(5)]
            for _ in range(moments):
                await asyncio.sleep(0)
            for _ in range(2 if again else 1):
                for call in calls:
                    call.cancel()
                await asyncio.sleep(0)
            await asyncio.gather(*calls, return_exceptions=True)

        async with asyncio.timeout(PATIENCE):
            assert await asyncio.gather(*(whole(pool, backend) for _ in range(6))) == [b"okok"] * 6
        await backend.until(lambda: backend.open <= 2)


async def test_closing_the_pool_breaks_off_what_is_under_way():
    async def handler(backend, reader, writer):
        await backend.head(reader)
        async with backend.changed:
            backend.changed.notify_all()
        await reader.read()

    async with serving(handler) as backend:
        pool = HttpxPool(Pool())
        call = asyncio.create_task(pool.send(outbound(backend)))
        await backend.until(lambda: backend.heads)
        await pool.aclose()

        assert type(await fault_of(call)) is BadGateway
        await backend.until(lambda: backend.open == 0)


# --- TLS --------------------------------------------------------------------------------------------------------------


class Pair:
    """A self-signed certificate for 127.0.0.1 and its key, in PEM."""

    def __init__(self, folder):
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"

    def contexts(self):
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(self.chain, self.key)
        return server, ssl.create_default_context(cafile=self.chain)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    pair = Pair(tmp_path_factory.mktemp("tls"))
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=hookgate-test", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", pair.key, "-out", pair.chain),
        ],
        check=True,
        capture_output=True,
    )
    return pair


async def test_a_backend_whose_certificate_is_not_trusted_is_not_called(certificate):
    server, trusting = certificate.contexts()
    async with serving(answering(OK), ssl=server) as backend, pooling() as strict, pooling(trusting) as pool:
        backend.scheme = "https"
        fault = await fault_of(strict.send(outbound(backend)))
        assert (type(fault), fault.reason) == (ConnectFailed, "tls-failed")
        assert backend.heads == []

        assert await (await pool.send(outbound(backend))).body.read() == b"ok"


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
