"""Pools of connections to backends, as the section `pool` says, and transports for other schemes."""

import asyncio
import concurrent.futures as futures
import socket
import threading
import time

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream


def document(url, **connection):
    return {
        "routes": [
            {"name": "one", "match": {"path": "/one/*"}, "to": {"connection": "backend"}},
            {"name": "all", "to": {"connection": "backend"}},
        ],
        "connections": {"backend": {"targets": url, **connection}},
    }


def facts(gate):
    return gate.gateway.connection("backend").transport.facts()


def held():
    """An answer that waits until it is let go, and what lets it go."""
    going = threading.Event()

    async def answer(request):
        if request.path == "/slow":
            await asyncio.to_thread(going.wait, 20)
        return 200, {}, "ok"

    return answer, going.set


@pytest.mark.row("HC-2")
def test_routes_share_the_pool_and_a_change_cuts_no_call_and_makes_another():
    answer, go = held()
    with upstream(answer) as backend, running(document(backend.url)) as gate:
        for number in range(20):
            assert gate.request("GET", "/one/x" if number % 2 else "/two").status_code == 200
        assert backend.connections == 1

        with futures.ThreadPoolExecutor(1) as threads:
            call = threads.submit(gate.request, "GET", "/slow")
            backend.wait_for(lambda b: b.requests[-1].path == "/slow")
            gate.reload(document(backend.url, timeouts={"read": 20}))
            assert gate.request("GET", "/next").status_code == 200
            assert backend.connections == 2
            go()
            assert call.result().status_code == 200
        backend.wait_for(lambda b: b.open == 1)  # the old pool is closed once its last call is over


@pytest.mark.row("AC-27")
def test_one_call_too_many_waits_and_the_counters_show_it():
    answer, go = held()
    with upstream(answer) as backend, running(document(backend.url, pool={"max_connections": 2})) as gate:
        with futures.ThreadPoolExecutor(3) as threads:
            calls = [threads.submit(gate.request, "GET", "/slow") for _ in range(3)]
            backend.wait_for(lambda b: len(b.requests) == 2)
            until(lambda: facts(gate)["waiting"] == 1)
            shown = facts(gate)
            assert (shown["open"], shown["in_use"], shown["idle"], shown["limit"]) == (2, 2, 0, 2)
            assert backend.open == 2
            go()
            assert [call.result().status_code for call in calls] == [200] * 3
        until(lambda: facts(gate)["in_use"] == 0)
        assert facts(gate)["idle"] == 2
        assert backend.connections == 2


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.005)


@pytest.mark.parametrize("transport", ["http", {"httpx": {}}])
def test_the_queue_has_a_time_limit_of_its_own(transport):
    answer, go = held()
    pool = {"max_connections": 1, "queue_timeout": 0.2}
    with upstream(answer) as backend:
        with running(document(backend.url, pool=pool, timeouts={"connect": 30}, transport=transport)) as gate:
            with futures.ThreadPoolExecutor(1) as threads:
                call = threads.submit(gate.request, "GET", "/slow")
                backend.wait_for(lambda b: len(b.requests) == 1)
                started = time.monotonic()
                refused = gate.request("GET", "/")
                waited = time.monotonic() - started
                go()
                assert call.result().status_code == 200

    assert (refused.status_code, refused.json()["reason"]) == (503, "pool-exhausted")
    assert 0.15 < waited < 30


@pytest.mark.parametrize("given", [None, -1])
def test_without_a_limit_every_call_has_a_connection(given):
    answer, go = held()
    with upstream(answer) as backend, running(document(backend.url, pool={"max_connections": given})) as gate:
        with futures.ThreadPoolExecutor(5) as threads:
            calls = [threads.submit(gate.request, "GET", "/slow") for _ in range(5)]
            backend.wait_for(lambda b: b.open == 5)
            assert facts(gate)["limit"] is None
            go()
            assert [call.result().status_code for call in calls] == [200] * 5


@pytest.mark.parametrize("transport", ["http", {"httpx": {}}])
def test_a_connection_that_is_too_old_is_closed_when_its_call_is_over(transport):
    with upstream() as backend, running(document(backend.url, pool={"max_age": 0.01}, transport=transport)) as gate:
        until(lambda: gate.request("GET", "/").status_code == 200 and backend.connections >= 3)
        assert backend.open <= 1


def test_an_idle_connection_is_closed_when_it_gets_too_old_though_it_could_be_kept_longer():
    with upstream() as backend, running(document(backend.url, pool={"max_age": 0.3, "keep_alive": 600})) as gate:
        assert gate.request("GET", "/").status_code == 200
        backend.wait_for(lambda b: b.open == 0)


def test_a_backend_that_never_finishes_the_handshake_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with running(document(url, timeouts={"connect": 0.2})) as gate:
            refused = gate.request("GET", "/")

    assert (refused.status_code, refused.json()["reason"]) == (502, "connect-timeout")


@pytest.mark.parametrize("pool", [{"max_age": 0}, {"queue_timeout": 0}, {"max_connections": 0}, {"keep_alive": -1}])
def test_bounds_that_mean_nothing_are_refused(pool):
    with pytest.raises(ConfigError, match=f"connections.backend.pool.{next(iter(pool))}"):
        with running(document("http://127.0.0.1:1", pool=pool)):
            pass


FOO = """
from hookgate import Options, Response, Transport, hookimpl

class Foo(Transport[Options]):
    schemes = frozenset({"foo"})

    @hookimpl
    def startup(self, host):
        self.host = host

    @hookimpl
    async def send(self, outbound):
        return Response.json({"called": outbound.url, "tls": self.pool.tls is not None})
"""


@pytest.mark.row("HC-21")
def test_a_transport_for_another_scheme_makes_its_targets_possible(tmp_path):
    with pytest.raises(ConfigError, match=r"the transport http calls http, https, not 'foo'"):
        with running(document("foo://backend:7")):
            pass
    (tmp_path / "foo.py").write_text(FOO)
    with running(document("foo://backend:7"), plugins_dir=tmp_path) as gate:  # the scheme chooses it
        assert gate.request("GET", "/x").json()["called"] == "foo://backend:7/x"
        with pytest.raises(ConfigError, match=r"the transport http calls http, https, not 'foo'"):
            gate.reload(document("foo://backend:7", transport="http"))
        with pytest.raises(ConfigError, match=r"the transport http calls http, https, not 'foo'"):
            gate.reload(document(["foo://backend:7", "http://backend:7"]))
        gate.reload(document("http://backend:7"))
    (tmp_path / "bar.py").write_text(FOO.replace("Foo", "Bar"))
    with pytest.raises(ConfigError, match="bar and foo all call foo; name one of them in transport"):
        with running(document("foo://backend:7"), plugins_dir=tmp_path):
            pass
    with running(document("foo://backend:7", transport="foo"), plugins_dir=tmp_path) as gate:
        assert gate.request("GET", "/x?y=1").json() == {"called": "foo://backend:7/x?y=1", "tls": True}
        assert facts(gate) == {}
        with pytest.raises(ConfigError, match=r"the transport foo calls foo, not 'http'"):
            gate.reload(document("http://backend:7", transport="foo"))
