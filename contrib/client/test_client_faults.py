"""The client of the house: what ends in a fault, and which."""

import asyncio
import contextlib
import socket

import pytest

from hookgate import BadGateway, ConnectFailed, GatewayTimeout
from hookgate.exchange.errors import Unsendable

from .rawserver import OK, answering, client, fault_of, in_use, serving

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
