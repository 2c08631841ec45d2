"""The pool over httpx: connections that are kept, their bound, calls that are cancelled, and TLS."""

import asyncio
import shutil
import ssl
import subprocess

import pytest

from hookgate import (
    BadGateway,
    ConnectFailed,
    Pool,
    ServiceUnavailable,
)
from hookgate_transport_httpx.pool import HttpxPool

from .rawbackend import OK, PATIENCE, answering, fault_of, outbound, pooling, serving, whole

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
        """Return the context of a server that shows the certificate, and that of a client that trusts it."""
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(self.chain, self.key)
        return server, ssl.create_default_context(cafile=self.chain)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Make a certificate, once for all tests."""
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
