"""The pool over httpx: what ends in a fault, and which."""

import asyncio
import contextlib
import socket

import pytest

from hookgate import (
    BadGateway,
    ConnectFailed,
    ContentTooLarge,
    GatewayTimeout,
    Target,
)

from .rawbackend import OK, PATIENCE, answering, fault_of, outbound, pooling, serving

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
