"""What a connection knows is kept when a reload changes something else about it, and what it does not know is not."""

import asyncio
import concurrent.futures as futures
import socket
from contextlib import contextmanager

import pytest

from hookgate.testing import running, upstream

from .test_connections_attacked import BOTH, at_rest, document, until


@contextmanager
def closed():
    """A URL that refuses connections, for as long as the block lasts."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def tokens(request):
    return 200, {"content-type": "application/json"}, '{"access_token": "t", "expires_in": 3600}'


def named(name):
    return lambda request: (200, {}, name)


OTHER = {"timeouts": {"read": 17}}
"""A change that makes the connection anew."""


@BOTH
def test_a_cached_token_is_kept_and_another_secret_gets_another_one(lane):
    with upstream(tokens) as server, upstream() as backend:
        oauth = {"token_endpoint": f"{server.url}/token", "client_id": "c", "client_secret": "first-secret"}
        with running(document(backend, lane=lane, auth=[{"oauth2": oauth}])) as gate:
            assert gate.request("GET", "/").status_code == 200
            gate.reload(document(backend, lane=lane, auth=[{"oauth2": oauth}], **OTHER))
            assert gate.request("GET", "/").status_code == 200
            assert len(server.requests) == 1
            gate.reload(document(backend, lane=lane, auth=[{"oauth2": {**oauth, "client_secret": "other-secret"}}]))
            assert gate.request("GET", "/").status_code == 200
            assert len(server.requests) == 2


@BOTH
def test_a_call_that_waits_for_a_token_gets_it_although_a_reload_replaced_the_credential(lane):
    going = asyncio.Event()

    async def slowly(request):
        await going.wait()
        return tokens(request)

    with upstream(slowly) as server, upstream() as backend:
        oauth = {"token_endpoint": f"{server.url}/token", "client_id": "c", "client_secret": "first-secret"}
        with running(document(backend, lane=lane, auth=[{"oauth2": oauth}])) as gate, futures.ThreadPoolExecutor() as t:
            call = t.submit(gate.request, "POST", "/", content=b"body")
            server.wait_for(lambda s: len(s.requests) == 1)
            gate.reload(document(backend, lane=lane, auth=[{"basic": {"username": "u", "password": "p"}}]))
            assert gate.request("GET", "/").status_code == 200
            going._loop.call_soon_threadsafe(going.set)
            assert call.result().status_code == 200
            at_rest(gate)

    assert [each.header("authorization") for each in backend.requests] == ["Basic dTpw", "Bearer t"]


@BOTH
def test_an_open_circuit_stays_open(lane):
    breaker = {"circuit-breaker": {"failures": 2, "open_for": 600}}
    with upstream(lambda request: (500, {}, "ill")) as backend:
        with running(document(backend, lane=lane, monitor=breaker)) as gate:
            assert [gate.request("GET", "/").status_code for _ in range(3)] == [500, 500, 503]
            gate.reload(document(backend, lane=lane, monitor=breaker, **OTHER))
            refused = gate.request("GET", "/")
            assert (refused.status_code, refused.json()["reason"]) == (503, "circuit-open")
            gate.reload(document(backend, lane=lane, monitor={"circuit-breaker": {"failures": 3}}, **OTHER))
            assert gate.request("GET", "/").status_code == 500  # other rules begin anew

    assert len(backend.requests) == 3


@BOTH
def test_a_target_that_was_taken_out_stays_out(lane):
    passive = {"passive": {"unhealthy_after": 2, "eject_for": 600, "at_most": 600}}
    with upstream(lambda request: (503, {}, "ill")) as ill, upstream(named("well")) as well:
        with running(document(ill, well, lane=lane, balancer="weighted-round-robin", monitor=passive)) as gate:
            statuses = [gate.request("GET", "/").status_code for _ in range(6)]
            assert (statuses.count(503), len(ill.requests)) == (2, 2)
            gate.reload(document(ill, well, lane=lane, balancer="weighted-round-robin", monitor=passive, **OTHER))
            assert [gate.request("GET", "/").text for _ in range(4)] == ["well"] * 4
            gate.reload(
                document(ill, well, lane=lane, balancer="weighted-round-robin", **OTHER)
            )  # nobody is left to find it well again
            assert sorted(gate.request("GET", "/").text for _ in range(4)) == ["ill", "ill", "well", "well"]


@BOTH
def test_a_found_target_that_was_taken_out_stays_out(lane, tmp_path):
    passive = {"passive": {"unhealthy_after": 2, "eject_for": 600, "at_most": 600}}
    listed = tmp_path / "targets.yaml"
    with upstream(lambda request: (503, {}, "ill")) as ill, upstream(named("well")) as well:
        listed.write_text(f"- {ill.url}\n- {well.url}\n")
        described = document(
            lane=lane, balancer="weighted-round-robin", monitor=passive, discovery={"file": {"path": str(listed)}}
        )
        del described["connections"]["crm"]["targets"]
        with running(described) as gate:
            statuses = [gate.request("GET", "/").status_code for _ in range(6)]
            assert (statuses.count(503), len(ill.requests)) == (2, 2)
            described["connections"]["crm"] |= OTHER
            listed.write_text("half a fi: [")
            gate.reload(described)
            assert [gate.request("GET", "/").text for _ in range(4)] == ["well"] * 4


@BOTH
def test_failover_stays_where_it_is(lane):
    with closed() as main, upstream(named("backup")) as backup:
        described = document(main, backup, lane=lane, balancer={"failover": {"failback_after": 600}})
        with running(described) as gate:
            assert [gate.request("GET", "/").status_code for _ in range(2)] == [502, 200]
            gate.reload(document(main, backup, lane=lane, balancer={"failover": {"failback_after": 600}}, **OTHER))
            assert [gate.request("GET", "/").status_code for _ in range(3)] == [200] * 3


@BOTH
def test_a_reload_in_the_middle_of_calls_cuts_none_and_each_is_counted_where_it_began(lane):
    going = asyncio.Event()

    async def answer(request):
        if request.path == "/slow":
            await going.wait()
        return 200, {}, request.header("authorization") or ""

    def described(password, **more):
        return document(
            backend, lane=lane, auth=[{"basic": {"username": "u", "password": password}}], balancer="least-busy", **more
        )

    with upstream(answer) as backend, running(described("one")) as gate, futures.ThreadPoolExecutor(5) as threads:
        calls = [threads.submit(gate.request, "GET", "/slow") for _ in range(5)]
        backend.wait_for(lambda b: len(b.requests) == 5)
        before = gate.gateway.connection("crm")
        gate.reload(described("two"))
        after = gate.gateway.connection("crm")
        assert gate.request("GET", "/").text == "Basic dTp0d28="
        assert [target.in_flight for target in (*before.targets, *after.targets)] == [5, 0]
        going._loop.call_soon_threadsafe(going.set)
        assert {call.result().text for call in calls} == {"Basic dTpvbmU="}
        until(lambda: before.targets[0].in_flight == 0)
        assert (before.counts["ok"], after.counts["ok"]) == (5, 1)
        backend.wait_for(lambda b: b.open == 1)  # the old pool is closed


@BOTH
@pytest.mark.parametrize("wrong", [{"targets": "http://h/path"}, {"max_tries": 0}, {"auth": ["nobody"]}])
def test_a_document_that_is_refused_changes_nothing(wrong, lane):
    with upstream() as backend, running(document(backend, lane=lane)) as gate:
        assert gate.request("GET", "/").status_code == 200
        bad = document(backend, lane=lane)
        bad["connections"]["crm"] |= wrong
        with pytest.raises(Exception, match=r"connections\.crm\."):
            gate.reload(bad)
        assert gate.request("GET", "/").status_code == 200
    assert backend.connections == 1


@BOTH
def test_a_transport_that_a_reload_made_anew_is_the_one_of_the_reloads_after_it(lane):
    """A changed connection gets a pool of its own; the next document says the same of it, and shall not get the old."""
    with upstream() as backend:
        said = {"transport": "http", **OTHER}
        with running(document(backend, lane=lane, transport="http")) as gate:
            gate.reload(document(backend, lane=lane, **said))
            (name,) = gate.gateway.live.backends
            anew = gate.gateway.live.backends[name]
            gate.reload({**document(backend, lane=lane, **said), "x-other": 1})
            assert gate.gateway.live.backends[name] is anew
            assert gate.request("GET", "/").status_code == 200
