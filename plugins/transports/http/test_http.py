import asyncio

import pytest

from hookgate import Body, ConnectFailed, Headers, Outbound, Pool, ServiceUnavailable, Target, Timeouts
from hookgate.testing import build, upstream
from hookgate_transport_http import Http


async def started(pool=None):
    transport = build(Http)
    transport.configure(pool or Pool(name="crm"))
    transport.startup(None)
    return transport


def call(port, scheme="http", **changes):
    target = Target(scheme, "127.0.0.1", port)
    headers = Headers({"Host": target.authority})
    return Outbound("GET", target, "/", headers=headers, timeouts=Timeouts(connect=10, read=10), **changes)


async def test_an_attempt_is_carried_to_the_target_and_the_answer_streams_back():
    with upstream() as backend:
        transport = await started()
        response = await transport.send(call(backend.port, body=Body(b"hello")))
        assert (response.status, await response.body.read()) == (200, b"ok")
        await transport.shutdown()

        assert backend.bodies == [b"hello"]
        backend.wait_for(lambda backend: backend.open == 0)


async def test_the_pool_is_bound_as_the_connection_says():
    async def unfinished():
        yield b"unf"
        await asyncio.Event().wait()

    with upstream(lambda request: (200, {"content-length": "9"}, unfinished())) as backend:
        transport = await started(Pool(max_connections=1))
        held = await transport.send(call(backend.port))
        outbound = call(backend.port)
        outbound.timeouts = Timeouts(connect=0.05)
        with pytest.raises(ServiceUnavailable):
            await transport.send(outbound)
        counts = {"open": 1, "idle": 0, "in_use": 1, "waiting": 0, "limit": 1}
        assert transport.facts().items() >= counts.items()
        await held.body.close()
        await transport.shutdown()


async def test_shutdown_after_a_failed_startup_does_nothing():
    await build(Http).shutdown()


async def test_there_are_no_facts_before_startup():
    assert build(Http).facts() == {}


async def test_a_backend_that_does_not_speak_tls_is_not_reached():
    with upstream() as backend:
        transport = await started()
        with pytest.raises(ConnectFailed) as caught:
            await transport.send(call(backend.port, "https"))
        await transport.shutdown()

    assert caught.value.reason == "tls-failed"
