"""Which time limit of several holds: what a flow says stands above the defaults of its connection (FL-15, FL-17)."""

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx
import pytest

from hookgate.exchange.outbound import Timeouts
from hookgate.testing import running, upstream

BOTH = pytest.mark.parametrize("lane", [True, False])
TRANSPORTS = pytest.mark.parametrize("transport", ["http", "httpx"])


def scaled(monkeypatch, factor):
    """Have a connection's limits be so many times as short, so that its defaults can be waited for; but that for
    connecting, which has to do in any case."""

    def shorter(*, connect, **limits):
        limits = {name: None if limit is None else limit / factor for name, limit in limits.items()}
        return Timeouts(connect=connect, **limits)

    monkeypatch.setattr("hookgate.gateway.backend.Timeouts", shorter)


async def never(request):
    await asyncio.Event().wait()


def later(seconds):
    async def answer(request):
        await asyncio.sleep(seconds)
        return 200, {}, "at last"

    return answer


def document(backend, to, lane=True, **connection):
    return {
        "gateway": {"lane": lane},
        "routes": [{"name": "all", "to": {"connection": "backend", **to}}],
        "connections": {"backend": {"targets": backend.url, **connection}},
    }


@pytest.mark.row("FL-15", "FL-17")
@BOTH
def test_the_nearest_scope_says_how_long_a_call_may_take_and_no_default_cuts_that_short(lane, monkeypatch):
    """The row's example, a fifth of it: API 30, /r1 10, POST /r1 40, GET /r1 20; 90 with a cap of 60."""
    scaled(monkeypatch, 5)
    limits = {("PUT", "/r1"): 2, ("GET", "/r1"): 4, ("GET", "/r2"): 6, ("POST", "/r1"): 8, ("GET", "/capped"): 12}
    api = {
        "name": "example",
        "base_path": "/a",
        "to": {"connection": "backend", "timeout": 6},
        "resources": [
            {
                "path": "/r1",
                "to": {"timeout": 2},
                "operations": {"PUT": None, "POST": {"to": {"timeout": 8}}, "GET": {"to": {"timeout": 4}}},
            },
            {"path": "/r2"},
            {"path": "/capped", "to": {"timeout": 60}},
        ],
    }
    with upstream(never) as backend:
        described = {"gateway": {"lane": lane, "timeout_cap": 12}, "apis": [api]}
        described["connections"] = {"backend": {"targets": backend.url}}
        with running(described) as gate, ThreadPoolExecutor(5) as threads:
            ended = []

            def call(method, path):
                started = time.monotonic()
                answer = httpx.request(method, f"{gate.url}/a{path}", timeout=60, trust_env=False)
                ended.append((method, path))
                return answer.status_code, answer.json()["reason"], time.monotonic() - started

            answers = list(threads.map(lambda each: call(*each), limits))

    assert ended == list(limits), "they ended in another order"
    for (status, reason, seconds), limit in zip(answers, limits.values(), strict=True):
        assert (status, reason) == (502, "destination-timeout")
        assert seconds >= limit * 0.95
    assert answers[-1][2] < 50, "the cap did not hold"


@pytest.mark.row("FL-16")
@BOTH
def test_one_document_waits_for_as_long_as_the_variable_of_its_environment_says(lane):
    """The row has 2 and 5 seconds; here the backend takes one, which only the second environment allows."""
    with upstream(later(1)) as backend:
        described = {
            "apis": [
                {"name": "a", "base_path": "/a", "to": {"connection": "backend", "timeout": "${environment:to}"}},
            ],
            "environments": {"dev": {"to": 0.2}, "prod": {"to": 50}},
            "connections": {"backend": {"targets": backend.url}},
        }
        found = {}
        for environment in ("dev", "prod"):
            with running({**described, "gateway": {"lane": lane, "environment": environment}}) as gate:
                found[environment] = gate.request("GET", "/a/").status_code

    assert found == {"dev": 502, "prod": 200}


@BOTH
@TRANSPORTS
@pytest.mark.parametrize("to", [{"timeout": 30}, {"timeout": 30, "stream": True}])
def test_a_route_that_says_how_long_may_wait_longer_than_the_defaults_of_a_connection(lane, transport, to, monkeypatch):
    scaled(monkeypatch, 60)  # half a second of silence, one in all
    with upstream(later(2)) as backend:
        with running(document(backend, to, lane, transport=transport)) as gate:
            assert gate.request("GET", "/").text == "at last"
        with running(document(backend, {}, lane, transport=transport)) as gate:
            assert gate.request("GET", "/").status_code == 504


@BOTH
@TRANSPORTS
def test_the_body_of_an_answer_may_take_as_long_as_the_route_says(lane, transport, monkeypatch):
    async def halves():
        yield b"one "
        await asyncio.sleep(2)
        yield b"two"

    scaled(monkeypatch, 60)
    with upstream(lambda request: (200, {}, halves())) as backend:
        with running(document(backend, {"timeout": 30}, lane, transport=transport)) as gate:
            assert gate.request("GET", "/").text == "one two"


@BOTH
@TRANSPORTS
@pytest.mark.parametrize(
    ("timeouts", "reasons"),
    [({"read": 0.3}, {"read-timeout", "upstream-timeout"}), ({"request": 0.3, "read": None}, {"request-timeout"})],
)
def test_what_a_connection_says_itself_holds_beside_the_time_limit_of_the_route(lane, transport, timeouts, reasons):
    with upstream(never) as backend:
        described = document(backend, {"timeout": 60}, lane, transport=transport, timeouts=timeouts)
        with running(described) as gate:
            answer = gate.request("GET", "/")

    assert answer.status_code == 504
    assert answer.json()["reason"] in reasons


@BOTH
@TRANSPORTS
@pytest.mark.parametrize(("to", "kind"), [({}, "text/event-stream"), ({"stream": True}, "text/plain")])
def test_a_stream_that_falls_silent_ends_where_a_connection_says_so_by_default(lane, transport, to, kind, monkeypatch):
    async def events():
        yield b"data: 1\n\n"
        await asyncio.Event().wait()

    scaled(monkeypatch, 6)  # five seconds of silence: the head comes before
    with upstream(lambda request: (200, {"content-type": kind}, events())) as backend:
        with running(document(backend, {"timeout": 60, **to}, lane, transport=transport)) as gate:
            with pytest.raises(httpx.RemoteProtocolError):
                gate.request("GET", "/")
            (exchange,) = gate.wait_for_exchanges(1)

    assert exchange.outcome == "timeout"


@BOTH
@TRANSPORTS
@pytest.mark.parametrize(
    ("to", "limits", "status", "reason"),
    [
        ({"timeout": 0.2}, {}, 502, "destination-timeout"),
        ({}, {"request": 0.2}, 504, "request-timeout"),
        ({"timeout": 0.2, "stream": True}, {"connect": None}, 502, "destination-timeout"),
    ],
)
def test_the_time_of_a_call_counts_while_a_connection_is_opened_and_the_target_is_then_not_available(
    lane, transport, to, limits, status, reason
):
    """It takes the connection and never shakes hands; `connect` is an hour."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = SimpleNamespace(url=f"https://127.0.0.1:{silent.getsockname()[1]}")
        timeouts = {"connect": 3600, **limits}
        with running(document(target, to, lane, transport=transport, timeouts=timeouts)) as gate:
            answer = gate.request("GET", "/")
            kinds = [attempt.outcome.kind for attempt in gate.wait_for_exchanges(1)[0].attempts]

    assert (answer.status_code, answer.json()["reason"], kinds) == (status, reason, ["connect-failed"])


@BOTH
@TRANSPORTS
@pytest.mark.parametrize("patience", [{}, {"queue_timeout": 3600}])
def test_the_time_of_a_call_counts_while_it_waits_for_a_connection_and_the_target_is_not_to_blame(
    lane, transport, patience
):
    async def slow(request):
        while not released.is_set():
            await asyncio.sleep(0.01)
        return 200, {}, "at last"

    released = threading.Event()
    with upstream(slow) as backend, ThreadPoolExecutor(1) as threads:
        pool = {"max_connections": 1, **patience}
        described = document(backend, {}, lane, transport=transport, pool=pool, timeouts={"connect": 3600})
        waits = {"name": "waits", "match": {"path": "/waits"}, "to": {"connection": "backend", "timeout": 0.2}}
        described["routes"].append(waits)
        with running(described) as gate:
            held = threads.submit(gate.request, "GET", "/held")
            try:
                backend.wait_for(lambda _: backend.requests)
                answer = httpx.get(f"{gate.url}/waits", timeout=60, trust_env=False)
            finally:
                released.set()
            assert held.result(60).status_code == 200
            (waited,) = [each for each in gate.wait_for_exchanges(2) if each.route.name == "waits"]

    assert (answer.status_code, answer.json()["reason"]) == (502, "destination-timeout")
    assert [attempt.outcome.kind for attempt in waited.attempts] == ["aborted"]
    assert len(backend.requests) == 1


@BOTH
@TRANSPORTS
def test_a_backend_that_is_silent_until_the_time_of_its_route_is_over_has_timed_out(lane, transport):
    with upstream(never) as backend, running(document(backend, {"timeout": 5}, lane, transport=transport)) as gate:
        assert gate.request("GET", "/").status_code == 502
        (exchange,) = gate.wait_for_exchanges(1)

    assert [attempt.outcome.kind for attempt in exchange.attempts] == ["timeout"]
