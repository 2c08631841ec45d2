"""The client of the house, against servers that speak raw bytes."""

import asyncio
import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from hookgate import BadGateway, ConnectFailed, GatewayTimeout, Pool, ServiceUnavailable
from hookgate.client import Client, callouts
from hookgate.client.pool import UpstreamPool
from hookgate.client.turns import Turns
from hookgate.client.urls import parsed
from hookgate.exchange.errors import Unsendable
from hookgate.server.loop import new_event_loop

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

    async def head(self, reader):
        """Read the head of a request; return its lines."""
        raw = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(raw.split(b"\r\n")[:-2])
        await self.note()
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
async def serving(handler, host="127.0.0.1", **options):
    backend = Backend(handler)
    server = await asyncio.start_server(backend.serve, host, 0, **options)
    port = server.sockets[0].getsockname()[1]
    scheme = "https" if options.get("ssl") else "http"
    backend.port, backend.url = port, f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    try:
        yield backend
    finally:
        server.close()


@asynccontextmanager
async def client(each=256, in_all=1024, **pool):
    small = Client()
    small._turns = Turns(each, in_all)
    if pool:
        small._pool = UpstreamPool(Pool("client", **pool))
    try:
        yield small
    finally:
        await small.aclose()


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


def answering_when(go):
    """Answer each request only after the event."""

    async def handler(backend, reader, writer):
        while True:
            await backend.head(reader)
            await go.wait()
            writer.write(OK)

    return handler


async def silent(backend, reader, writer):
    """Take a request and never answer."""
    await backend.head(reader)
    await reader.read()


async def hanging_up_on_the_second(backend, reader, writer):
    """Answer one request on each connection, take another and hang up without a word."""
    await backend.head(reader)
    writer.write(OK)
    await backend.head(reader)


async def fault_of(awaitable):
    """Return the fault that something ends in, having checked that it tells a stranger nothing."""
    with pytest.raises((BadGateway, GatewayTimeout, ServiceUnavailable)) as caught:
        await awaitable
    assert "127.0.0.1" not in caught.value.detail
    assert "\n" not in caught.value.detail
    return caught.value


def in_use(small):
    return {name: small._pool.facts()[name] for name in ("open", "in_use", "waiting")}


# --- what goes out ----------------------------------------------------------------------------------------------------


async def test_the_client_returns_the_answer_with_its_body_read():
    async def handler(backend, reader, writer):
        await backend.head(reader)
        assert await reader.readexactly(3) == b"a=1"
        writer.write(OK)

    async with serving(handler) as backend, client() as small:
        url = f"{backend.url}/token?x=%2F"
        response = await small.request("POST", url, headers={"Authorization": "Basic x"}, body=b"a=1")

        assert (response.status, response.body.data) == (200, b"ok")
        assert backend.heads == [
            [
                b"POST /token?x=%2F HTTP/1.1",
                f"Host: 127.0.0.1:{backend.port}".encode(),
                b"Authorization: Basic x",
                b"content-length: 3",
            ]
        ]


async def test_nothing_goes_out_that_was_not_asked_for():
    async with serving(answering(OK)) as backend, client() as small:
        await small.request("GET", f"{backend.url}/", headers={"host": "auth.example"})
        await small.request("Purge", backend.url)

        assert backend.heads == [
            [b"GET / HTTP/1.1", b"host: auth.example"],
            [b"Purge / HTTP/1.1", f"Host: 127.0.0.1:{backend.port}".encode()],
        ]


async def test_a_request_body_of_any_size_goes_out_whole():
    body = bytes(range(256)) * 16384

    async def handler(backend, reader, writer):
        assert b"content-length: %d" % len(body) in await backend.head(reader)
        writer.write(OK if await reader.readexactly(len(body)) == body else b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(handler) as backend, client() as small:
        assert (await small.request("PUT", backend.url, body=body)).status == 200


@pytest.mark.parametrize(
    ("url", "target", "path", "query"),
    [
        ("http://h", "http://h", "/", ""),
        ("HTTPS://Example.ORG:443?x=1#f", "https://example.org", "/", "x=1"),
        ("http://h:8080/a/b;v=1/@:?a=b&c=%20&=", "http://h:8080", "/a/b;v=1/@:", "a=b&c=%20&="),
        ("http://h:/a b/\xfc/%zz/%2F/%7e", "http://h", "/a%20b/%C3%BC/%zz/%2F/%7e", ""),
        ("http://h/a/./b/../../../c/%2e%2e", "http://h", "/c/%2e%2e", ""),
        ("http://h//a?x={y}|[z]\xfc'<>", "http://h", "//a", "x={y}|[z]%C3%BC'%3C%3E"),
        ("http://h/?", "http://h", "/", ""),
        ("http://[2001:db8::1]:81/", "http://[2001:db8::1]:81", "/", ""),
        ("http://M\xfcnchen.example/", "http://xn--mnchen-3ya.example", "/", ""),
        ("http://auth_server.internal/", "http://auth_server.internal", "/", ""),
    ],
)
def test_a_url_is_taken_apart_as_browsers_do_it(url, target, path, query):
    place = parsed(url)

    assert (place.target.url, place.path, place.query) == (target, path, query)


@pytest.mark.parametrize(
    "url",
    [
        *("/relative", "ftp://example.org/", "http://", "http://u:p@example.org/", "http://h:port/", " http://h/"),
        *("http://u:p@h:port/", "//h/", "http://:80/", "http://h:0/", "http://h:65536/", "http://h\\@i/"),
        *("http://300.1.1.1/", "http://[::1/", "http://[x]/", "http://a b/", "http://h%2F/", "http://\u2100.example/"),
        *("http://h/\r\nX: y", "http://h\t/", "http://h/\x00", "http://fa\xdf.example/", ""),
    ],
)
async def test_the_client_refuses_what_is_not_a_plain_absolute_url(url):
    async with client() as small:
        with pytest.raises(ValueError, match="URL") as caught:
            await small.request("GET", url)

    assert "u:p" not in str(caught.value)


async def test_proxies_of_the_environment_are_not_looked_at(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(answering(OK)) as backend, client() as small:
        assert (await small.request("GET", backend.url)).status == 200


async def test_a_server_may_have_an_ipv6_address():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with serving(answering(OK), "::1") as backend, client() as small:
        assert (await small.request("GET", backend.url)).body.data == b"ok"

        assert f"Host: [::1]:{backend.port}".encode() in backend.heads[0]


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_the_client_follows_no_redirect():
    moved = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(moved)) as backend, client() as small:
        assert (await small.request("GET", backend.url)).status == 302
        assert len(backend.heads) == 1


async def test_the_client_keeps_no_cookies():
    async with serving(answering(OK.replace(b"\r\n", b"\r\nSet-Cookie: a=b\r\n", 1))) as backend, client() as small:
        answers = [await small.request("GET", backend.url) for _ in range(2)]

        assert answers[0].headers["set-cookie"] == "a=b"
        assert b"a=b" not in b"".join(backend.heads[1])


async def test_the_answer_comes_back_undecoded():
    packed = gzip.compress(b"hello")
    head = b"HTTP/1.1 299 Fine\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with serving(answering(head + packed)) as backend, client() as small:
        response = await small.request("GET", backend.url)

    assert (response.status, response.headers["content-encoding"], response.body.data) == (299, "gzip", packed)


@pytest.mark.parametrize(
    ("head", "wire"),
    [
        (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
        (b"Connection: close\r\n", b"hello"),
        (b"", b"hello"),
    ],
)
async def test_a_body_of_unknown_length_is_read_to_its_end(head, wire):
    async def handler(backend, reader, writer):
        await backend.head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        for byte in wire:
            await writer.drain()
            writer.write(bytes([byte]))

    async with serving(handler) as backend, client() as small:
        response = await small.request("GET", backend.url)

    assert response.body.data == b"hello"
    assert "transfer-encoding" not in response.headers
    assert "connection" not in response.headers


async def test_a_large_answer_is_read_whole_though_it_comes_in_many_pieces():
    size = Client.answer_limit
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
    async with serving(answering(head + bytes(size))) as backend, client() as small:
        assert len((await small.request("GET", backend.url)).body.data) == size


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123456789",
        b"HTTP/1.1 200 OK\r\n\r\n123456789",
    ],
)
async def test_the_client_refuses_an_answer_that_is_too_long(answer):
    async with serving(answering(answer)) as backend, client() as small:
        small.answer_limit = 8
        assert type(await fault_of(small.request("GET", backend.url))) is BadGateway
        await small.aclose()  # which a connection that is whole needs to be closed
        await backend.until(lambda: backend.open == 0)


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
    async with serving(answering(answer)) as backend, client() as small:
        for _ in range(3):
            assert (await small.request(method, backend.url)).body.data == b""

        assert backend.accepted == 1


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_a_refused_connection_is_told_as_such():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with client() as small:
            fault = await fault_of(small.request("GET", f"http://127.0.0.1:{unused.getsockname()[1]}/"))

    assert (type(fault), fault.reason) == (ConnectFailed, "connect-refused")


async def test_a_name_that_cannot_be_resolved_is_told_as_such(monkeypatch):
    async def nowhere(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", nowhere)
    async with client() as small:
        fault = await fault_of(small.request("GET", "http://auth.invalid/"))

    assert (type(fault), fault.reason) == (ConnectFailed, "dns-failed")


async def test_a_server_that_does_not_speak_tls_is_told_as_such():
    async def handler(backend, reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(handler) as backend, client() as small:
        fault = await fault_of(small.request("GET", f"https://127.0.0.1:{backend.port}/"))

    assert (type(fault), fault.reason) == (ConnectFailed, "tls-failed")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n",
    ],
)
async def test_what_is_no_proper_answer_ends_in_a_fault_and_its_connection_is_closed(answer):
    async def handler(backend, reader, writer):
        await backend.head(reader)
        writer.write(answer)

    async with serving(handler) as backend, client() as small:
        assert type(await fault_of(small.request("POST", backend.url, body=b"x"))) is BadGateway
        await backend.until(lambda: backend.open == 0)
        assert in_use(small) == {"open": 0, "in_use": 0, "waiting": 0}


async def test_a_request_that_is_no_http_is_refused_without_being_sent():
    async with serving(answering(OK)) as backend, client() as small:
        assert type(await fault_of(small.request("GET x", backend.url))) is Unsendable
        with pytest.raises(ValueError, match="control character"):
            await small.request("GET", backend.url, headers={"X": "a\r\nY: b"})

        assert backend.heads == []


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "bit by bit"]
)
async def test_the_client_gives_up_when_its_time_is_over(sent):
    async def handler(backend, reader, writer):
        await backend.head(reader)
        if sent == "bit by bit":  # so there is never a long wait
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.01)
        writer.write(sent)
        await reader.read()

    async with serving(handler) as backend, client() as small:
        assert type(await fault_of(small.request("GET", backend.url, timeout=0.2))) is GatewayTimeout
        await backend.until(lambda: backend.open == 0)


async def test_connecting_counts_for_the_time_that_a_call_may_take():
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):  # fill the backlog: whoever comes now waits for an answer to their SYN
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        async with client() as small:
            url = f"http://127.0.0.1:{full.getsockname()[1]}/"
            assert type(await fault_of(small.request("GET", url, timeout=0.05))) is GatewayTimeout
            assert in_use(small) == {"open": 0, "in_use": 0, "waiting": 0}


# --- kept connections -------------------------------------------------------------------------------------------------


async def test_a_connection_is_kept_for_its_origin_and_for_no_other():
    async with serving(answering(OK)) as one, serving(answering(OK)) as two, client() as small:
        for backend in (one, two, one, two):
            assert (await small.request("POST", backend.url)).status == 200

        assert (one.accepted, two.accepted) == (1, 1)


async def test_the_client_says_how_long_a_connection_is_kept(monkeypatch):
    monkeypatch.setattr(callouts, "KEEP_ALIVE", 0.1)
    async with serving(answering(OK)) as backend, client() as small:
        await small.request("GET", backend.url)
        await backend.until(lambda: backend.open == 0)  # though nobody calls


async def test_a_connection_that_is_too_old_is_replaced(monkeypatch):
    monkeypatch.setattr(callouts, "MAX_AGE", 0.000001)
    async with serving(answering(OK)) as backend, client() as small:
        for count in (1, 2, 3):
            await small.request("GET", backend.url)
            assert backend.accepted == count


async def test_origins_that_are_called_once_leave_nothing_behind():
    async def handler(backend, reader, writer):
        await backend.head(reader)
        writer.write(OK)

    async with AsyncExitStack() as stack, client() as small:
        for _ in range(5):
            backend = await stack.enter_async_context(serving(handler))
            await small.request("GET", backend.url)
        async with asyncio.timeout(PATIENCE):
            while in_use(small)["open"]:
                await asyncio.sleep(0)

        assert not small._pool._idle
        assert not small._turns._queues


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_the_server_closed_meanwhile_is_not_used_again(method):
    async def handler(backend, reader, writer):
        await backend.head(reader)
        writer.write(OK)

    async with serving(handler) as backend, client() as small:
        for count in (1, 2, 3):
            assert (await small.request(method, backend.url)).body.data == b"ok"
            await backend.until(lambda: backend.open == 0)
            assert backend.accepted == count


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, new_event_loop], ids=["asyncio", "as served"])
def test_a_connection_that_was_closed_while_the_loop_was_busy_is_not_used_either(loop):
    """The news of it lies in the socket when the call comes, and a POST is sent once only."""
    heads, accepted, hung_up = [], [], threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                accepted.append(connection)
                heads.append(connection.recv(65536))
                connection.sendall(OK)
                time.sleep(0.05)  # so that the answer is read before the end comes
                connection.close()
                hung_up.set()

    async def calls():
        async with client() as small:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            for _ in range(5):
                hung_up.clear()
                assert (await small.request("POST", url, body=b"x")).body.data == b"ok"
                hung_up.wait(PATIENCE)  # blocks the loop

    thread = threading.Thread(target=serve)
    thread.start()
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(calls())
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(PATIENCE)

    assert (len(accepted), len(heads)) == (5, 5)


@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("PUT", b"x")])
async def test_a_request_that_may_be_repeated_is_sent_again_when_a_kept_connection_closes_under_it(method, body):
    async with serving(hanging_up_on_the_second) as backend, client() as small:
        await small.request("GET", backend.url)
        if body:  # the handler reads heads only
            backend.handler = answering(OK)
        assert (await small.request(method, backend.url, body=body)).body.data == b"ok"

        assert (len(backend.heads), backend.accepted) == (3, 2)


@pytest.mark.parametrize(("method", "body"), [("POST", b""), ("POST", b"x"), ("PATCH", b"")])
async def test_any_other_request_is_not_sent_twice(method, body):
    async with serving(hanging_up_on_the_second) as backend, client() as small:
        await small.request("GET", backend.url)
        assert type(await fault_of(small.request(method, backend.url, body=body))) is BadGateway

        assert (len(backend.heads), backend.accepted) == (2, 1)


async def test_a_request_on_a_new_connection_is_not_sent_twice():
    async def handler(backend, reader, writer):
        await backend.head(reader)

    async with serving(handler) as backend, client() as small:
        assert type(await fault_of(small.request("GET", backend.url))) is BadGateway

        assert backend.accepted == 1


# --- the bounds -------------------------------------------------------------------------------------------------------


async def test_a_call_beyond_the_bound_of_its_origin_waits_and_one_to_another_origin_does_not():
    go = asyncio.Event()
    async with serving(answering_when(go)) as slow, serving(answering(OK)) as quick, client(each=2) as small:
        calls = [asyncio.create_task(small.request("GET", slow.url)) for _ in range(5)]
        await slow.until(lambda: len(slow.heads) == 2)
        assert (await small.request("GET", quick.url)).status == 200
        assert (slow.accepted, len(slow.heads)) == (2, 2)
        go.set()

        assert [(await call).body.data for call in calls] == [b"ok"] * 5
        assert (slow.accepted, len(slow.heads)) == (2, 5)


async def test_a_call_beyond_the_bound_in_all_waits():
    go = asyncio.Event()
    async with serving(answering_when(go)) as one, serving(answering(OK)) as two, client(in_all=1) as small:
        first = asyncio.create_task(small.request("GET", one.url))
        await one.until(lambda: one.heads)
        second = asyncio.create_task(small.request("GET", two.url))
        await asyncio.sleep(0.01)
        assert two.accepted == 0
        go.set()

        assert (await first).status == (await second).status == 200


async def test_a_call_that_gets_no_connection_in_time_is_told_so():
    async with serving(silent) as backend, client(each=1) as small:
        first = asyncio.create_task(small.request("GET", backend.url))
        await backend.until(lambda: backend.heads)
        fault = await fault_of(small.request("GET", backend.url, timeout=0.05))
        first.cancel()

        assert (type(fault), fault.reason) == (ServiceUnavailable, "pool-exhausted")
        assert len(backend.heads) == 1


async def test_idle_connections_give_way_to_those_of_other_origins():
    async with serving(answering(OK)) as one, serving(answering(OK)) as two, client(max_connections=1) as small:
        for backend in (one, two, one):
            await small.request("GET", backend.url)
            await backend.until(lambda: one.open + two.open == 1)

        assert (one.accepted, two.accepted) == (2, 1)


def test_the_client_has_bounds_from_the_start():
    small = Client()

    assert small._pool.facts()["limit"] == callouts.IN_ALL >= callouts.TO_EACH


# --- cancellation -----------------------------------------------------------------------------------------------------


async def test_cancelled_calls_leave_every_turn_free_and_no_connection_behind():
    async with serving(silent) as backend, client(each=2) as small:
        calls = [asyncio.create_task(small.request("GET", backend.url)) for _ in range(50)]
        await backend.until(lambda: len(backend.heads) == 2)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await backend.until(lambda: backend.open == 0)
        assert all(call.cancelled() for call in calls)
        backend.handler = answering(OK)

        answers = await asyncio.gather(*(small.request("GET", backend.url) for _ in range(4)))
        assert [answer.body.data for answer in answers] == [b"ok"] * 4
        assert not small._turns._queues


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("again", [False, True], ids=["once", "twice"])
async def test_a_cancellation_at_any_moment_leaks_neither_turn_nor_connection(secure, again, request):
    """Every step of the loop from the start of a call to its end is a moment: waiting, connecting, sending, reading."""

    async def handler(backend, reader, writer):
        while True:
            await backend.head(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
            await asyncio.sleep(0)
            writer.write(b"ok")

    server = request.getfixturevalue("trusted") if secure else None
    async with serving(handler, ssl=server) as backend, client(each=2) as small:
        for moments in range(80):
            calls = [asyncio.create_task(small.request("POST", backend.url)) for _ in range(5)]
            for _ in range(moments):
                await asyncio.sleep(0)
            for _ in range(2 if again else 1):
                for call in calls:
                    call.cancel()
                await asyncio.sleep(0)
            await asyncio.gather(*calls, return_exceptions=True)

        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*(small.request("POST", backend.url) for _ in range(6)))
        assert [answer.body.data for answer in answers] == [b"okok"] * 6
        await backend.until(lambda: backend.open <= 2)
        assert in_use(small)["in_use"] == 0
        assert not small._turns._queues


async def test_closing_the_client_breaks_off_what_is_under_way():
    async with serving(silent) as backend:
        small = Client()
        call = asyncio.create_task(small.request("GET", backend.url))
        await backend.until(lambda: backend.heads)
        await small.aclose()

        assert type(await fault_of(call)) is BadGateway
        await backend.until(lambda: backend.open == 0)


async def test_a_client_that_has_called_nobody_closes():
    await Client().aclose()


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1 and its key, in PEM."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    chain, key = folder / "chain.pem", folder / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=hookgate-test", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", key, "-out", chain),
        ],
        check=True,
        capture_output=True,
    )
    return chain, key


@pytest.fixture
def untrusted(certificate, monkeypatch):
    """What a server shows that this machine does not trust."""
    monkeypatch.setattr("hookgate.http.tls._contexts", {})
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(*certificate)
    return server


@pytest.fixture
def trusted(untrusted, certificate, monkeypatch):
    """The same, while this machine trusts it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    return untrusted


async def test_a_server_that_this_machine_trusts_is_called_over_tls(trusted):
    async with serving(answering(OK), ssl=trusted) as backend, client() as small:
        for _ in range(2):
            assert (await small.request("GET", backend.url)).body.data == b"ok"

        assert backend.accepted == 1
        assert small._pool.facts()["certificates"].keys() == {backend.url}


async def test_a_server_that_this_machine_does_not_trust_is_not_called(untrusted):
    async with serving(answering(OK), ssl=untrusted) as backend, client() as small:
        fault = await fault_of(small.request("GET", backend.url))

        assert (type(fault), fault.reason) == (ConnectFailed, "tls-failed")
        assert backend.heads == []


async def test_a_server_whose_certificate_names_another_host_is_not_called(trusted):
    async with serving(answering(OK), ssl=trusted) as backend, client() as small:
        fault = await fault_of(small.request("GET", f"https://localhost:{backend.port}/"))

        assert (type(fault), fault.reason) == (ConnectFailed, "tls-failed")
        assert backend.heads == []


async def test_tls_before_1_2_is_not_spoken(trusted):
    async with client() as small:
        assert (await small._pool._tls.latest("http/1.1")).minimum_version >= ssl.TLSVersion.TLSv1_2
