"""The client of the house: connections that are kept, their bounds, calls that are cancelled, and TLS."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import AsyncExitStack

import pytest

from hookgate import BadGateway, ConnectFailed, ServiceUnavailable
from hookgate.client import Client, callouts
from hookgate.server.loop import new_event_loop

from .rawserver import (
    OK,
    PATIENCE,
    answering,
    answering_when,
    client,
    fault_of,
    hanging_up_on_the_second,
    in_use,
    serving,
    silent,
)

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
