import asyncio
import threading
from contextlib import ExitStack
from http import HTTPStatus
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

from hookgate import ConfigError, Health, Outcome, Target
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_monitor_circuit_breaker import CircuitBreaker

OK, FAILED = Outcome("ok", 200), Outcome("ok", 503)


class House:
    def __init__(self):
        self.clock = MovableClock()
        self.metrics = Mock()


def breaker(**options):
    house = House()
    plugin = build(CircuitBreaker, **options)
    plugin.startup(house)
    return plugin, house.clock, Target("http", "a", 80)


def test_failures_in_a_row_open_the_circuit_and_a_success_in_between_starts_the_count_again():
    plugin, _, target = breaker(failures=3, ratio=None)
    for outcome in (FAILED, FAILED, OK, FAILED, FAILED):
        plugin.observe(target, outcome)
        assert plugin.admit(target) is None
    health = plugin.observe(target, Outcome("timeout"))

    assert health == Health(healthy=False, reason="circuit open: 3 calls failed in a row", lasts=30.0)
    assert plugin.admit(target) == "circuit-open"


def test_a_share_of_failures_opens_it_once_there_were_enough_calls():
    plugin, _, target = breaker(failures=None, ratio=0.5, calls=6)
    for outcome in (FAILED, OK, FAILED, OK, OK):
        assert plugin.observe(target, outcome).healthy
    health = plugin.observe(target, FAILED)

    assert (health.healthy, health.reason) == (False, "circuit open: 3 of 6 calls failed")


def test_calls_before_the_window_do_not_count():
    plugin, clock, target = breaker(failures=None, ratio=0.5, calls=2, window=10)
    plugin.observe(target, FAILED)
    asyncio.run(clock.advance(10.5))
    plugin.observe(target, OK)
    plugin.observe(target, OK)

    assert plugin.observe(target, FAILED).healthy


def test_a_half_open_circuit_lets_few_calls_pass_and_closes_after_their_successes():
    plugin, clock, target = breaker(failures=1, open_for=20, trials=2)
    plugin.observe(target, FAILED)
    asyncio.run(clock.advance(19.9))
    assert plugin.admit(target) == "circuit-open"
    asyncio.run(clock.advance(0.1))
    assert plugin.admit(target) is None
    target.in_flight = 2
    assert plugin.admit(target) == "circuit-open"
    target.in_flight = 1
    assert plugin.admit(target) is None
    assert plugin.observe(target, OK) is None
    assert plugin.observe(target, OK) == Health(healthy=True, reason="circuit closed")
    target.in_flight = 50
    assert plugin.admit(target) is None


def test_one_failed_trial_opens_it_again():
    plugin, clock, target = breaker(failures=1, open_for=20, trials=2)
    plugin.observe(target, FAILED)
    asyncio.run(clock.advance(20))
    plugin.admit(target)
    plugin.observe(target, OK)
    assert plugin.observe(target, FAILED).reason == "circuit open: the trial failed"
    assert plugin.admit(target) == "circuit-open"


def test_calls_that_began_before_it_opened_and_calls_that_clients_broke_off_say_nothing():
    plugin, _, target = breaker(failures=1)
    assert plugin.observe(target, Outcome("aborted")) is None
    plugin.observe(target, FAILED)
    assert plugin.observe(target, OK) is None
    assert plugin.admit(target) == "circuit-open"


@given(st.lists(st.sampled_from(["ok", "failed", "wait"]), max_size=60))
def test_it_never_admits_while_it_is_open_and_always_does_while_closed(events):
    plugin, clock, target = breaker(failures=2, ratio=None, open_for=5, trials=1)
    row, opened_at = 0, None
    for event in events:
        if event == "wait":
            asyncio.run(clock.advance(2))
            continue
        open_now = opened_at is not None and clock.now() < opened_at + 5
        assert (plugin.admit(target) is None) is not open_now
        plugin.observe(target, FAILED if event == "failed" else OK)
        if open_now:
            continue
        row = row + 1 if event == "failed" else 0
        if event == "failed" and (opened_at is not None or row >= 2):
            opened_at, row = clock.now(), 0
        elif event == "ok":
            opened_at = None


@given(st.lists(st.sampled_from(["call", "ok", "failed", "aborted", "wait"]), max_size=80), st.integers(1, 3))
def test_it_always_tries_a_half_open_target_again_and_never_with_more_calls_than_trials(events, trials):
    """Calls that never end are in flight all the time: from before the circuit opened, and from trials."""
    plugin, clock, target = breaker(failures=2, ratio=None, open_for=5, trials=trials)
    under_way = [clock.now()] * 3
    target.in_flight = 3
    for event in events:
        if event == "wait":
            asyncio.run(clock.advance(2))
        elif event == "call":
            if plugin.admit(target) is None:
                target.in_flight += 1
                under_way.append(clock.now())
                circuit = plugin._circuits.get(target.url)
                if circuit is not None and circuit.state == "half-open":
                    assert sum(began > clock.now() - 5 and began > circuit.settled for began in under_way) <= trials
        elif under_way:
            began = under_way.pop()
            target.in_flight -= 1
            kind, status = {"ok": ("ok", 200), "failed": ("ok", 503), "aborted": ("aborted", None)}[event]
            plugin.observe(target, Outcome(kind, status, clock.now() - began))
    asyncio.run(clock.advance(5))
    assert plugin.admit(target) is None


def test_what_means_nothing_here_cannot_be_set():
    with pytest.raises(ConfigError):
        build(CircuitBreaker, unhealthy_after=2)


def document(backend, url="", **options):
    return {
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": [url or backend.url], "monitor": {"circuit-breaker": options}}},
    }


@pytest.mark.parametrize("lane", [True, False])
def test_a_gateway_answers_at_once_while_the_circuit_of_its_only_target_is_open(lane):
    clock = MovableClock()
    status = {"now": 503}
    with upstream(lambda request: (status["now"], {}, "")) as backend:
        described = document(backend, failures=2, open_for=20) | {"gateway": {"lane": lane}}
        with running(described, clock=clock) as gate:
            assert [gate.request("GET", "/").status_code for _ in range(2)] == [503, 503]
            gate.wait_for_exchanges(2)
            refused = gate.request("GET", "/")
            assert (refused.status_code, refused.headers["x-hookgate-reason"]) == (503, "circuit-open")
            assert len(backend.requests) == 2
            (target,) = gate.gateway.status()["connections"]["crm"]
            assert (target["health"], target["reason"]) == ("unhealthy", "circuit open: 2 calls failed in a row")
            status["now"] = 200
            gate.run(clock.advance(20))
            assert [gate.request("GET", "/").status_code for _ in range(3)] == [200, 200, 200]
            gate.wait_for_exchanges(6)
            (target,) = gate.gateway.status()["connections"]["crm"]

    assert (target["health"], target["reason"]) == ("healthy", "circuit closed")


class Streams:
    """A backend whose calls to ``/stream`` last until the test is over; others are answered as ``status`` says."""

    def __init__(self):
        self.status, self.ended, self.begun = 200, threading.Event(), threading.Semaphore(0)

    async def chunks(self):
        yield b"data: 1\n\n"
        self.begun.release()
        while not self.ended.is_set():
            await asyncio.sleep(0.01)

    def __call__(self, request):
        if request.path == "/stream":
            return 200, {"content-type": "text/event-stream"}, self.chunks()
        return self.status, {}, ""


@pytest.mark.parametrize("lane", [True, False])
def test_a_recovered_target_gets_calls_again_while_a_stream_from_before_goes_on(lane):
    clock, first, second = MovableClock(), Streams(), Streams()
    with ExitStack() as stack:
        backends = [stack.enter_context(upstream(each)) for each in (first, second)]
        described = document(backends[0], failures=1, open_for=20) | {"gateway": {"lane": lane}}
        described["connections"]["crm"] |= {"targets": [backend.url for backend in backends]}
        described["connections"]["crm"]["balancer"] = "weighted-round-robin"
        gate = stack.enter_context(running(described, clock=clock))
        stack.callback(first.ended.set)
        stack.callback(second.ended.set)
        for each in (first, second):
            stack.enter_context(gate.client.stream("GET", "/stream"))
            assert each.begun.acquire(timeout=30)
        first.status = 503
        assert sorted(gate.request("GET", "/").status_code for _ in range(2)) == [200, 503]
        gate.wait_for_exchanges(2)
        assert [gate.request("GET", "/").status_code for _ in range(3)] == [200] * 3
        first.status = 200
        gate.run(clock.advance(20))
        before = len(backends[0].requests)
        assert [gate.request("GET", "/").status_code for _ in range(4)] == [200] * 4
        gate.wait_for_exchanges(9)

        assert len(backends[0].requests) > before
        assert [each["health"] for each in gate.gateway.status()["connections"]["crm"]] == ["healthy", "healthy"]


@pytest.mark.parametrize("lane", [True, False])
def test_a_trial_that_becomes_a_stream_has_succeeded_when_its_head_is_there(lane):
    clock, site = MovableClock(), Streams()
    with upstream(site) as backend, ExitStack() as stack:
        gate = stack.enter_context(
            running(document(backend, failures=1, open_for=20) | {"gateway": {"lane": lane}}, clock=clock)
        )
        stack.callback(site.ended.set)
        site.status = 503
        assert gate.request("GET", "/").status_code == 503
        gate.wait_for_exchanges(1)
        assert gate.request("GET", "/").headers["x-hookgate-reason"] == "circuit-open"
        gate.run(clock.advance(20))
        site.status = 200
        stack.enter_context(gate.client.stream("GET", "/stream"))

        assert [gate.request("GET", "/").status_code for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("lane", [True, False])
def test_a_recovered_target_gets_calls_again_while_a_websocket_from_before_goes_on(lane):
    """One backend: what its calls are answered with, and WebSockets that say what they hear."""
    status, clock = {"now": 503}, MovableClock()

    async def scenario():
        async def process(connection, request):
            if "upgrade" not in request.headers:
                return connection.respond(HTTPStatus(status["now"]), "")
            return None

        async def echo(connection):
            async for message in connection:
                await connection.send(message)

        async with serve(echo, "127.0.0.1", 0, process_request=process) as server:
            (port,) = {each.getsockname()[1] for each in server.sockets}
            described = document(None, f"http://127.0.0.1:{port}", failures=1, open_for=20) | {
                "gateway": {"lane": lane}
            }
            async with running(described, clock=clock) as gate:
                uri = gate.url.replace("http", "ws")
                async with connect(uri) as before:
                    assert (await gate.call("GET", "/")).status_code == 503
                    await asyncio.to_thread(gate.wait_for_exchanges, 1)
                    assert (await gate.call("GET", "/")).headers["x-hookgate-reason"] == "circuit-open"
                    status["now"] = 200
                    await asyncio.to_thread(gate.run, clock.advance(20))
                    async with connect(uri) as trial:
                        assert [(await gate.call("GET", "/")).status_code for _ in range(2)] == [200, 200]
                        for each in (before, trial):
                            await each.send("there?")
                            assert await each.recv() == "there?"

    asyncio.run(scenario())


def test_a_trial_that_takes_longer_than_the_circuit_is_open_gives_its_place_to_another():
    plugin, clock, target = breaker(failures=1, open_for=20)
    plugin.observe(target, FAILED)
    asyncio.run(clock.advance(20))
    assert plugin.admit(target) is None
    target.in_flight = 1
    assert plugin.admit(target) == "circuit-open"
    asyncio.run(clock.advance(20))
    assert plugin.admit(target) is None
    target.in_flight = 2
    assert plugin.admit(target) == "circuit-open"
    target.in_flight = 1
    assert plugin.observe(target, Outcome("aborted", seconds=20)) is None
    assert plugin.admit(target) == "circuit-open", "the second trial goes on"


def test_a_reload_forgets_no_trial():
    plugin, clock, before = breaker(failures=1, open_for=20)
    plugin.observe(before, FAILED)
    asyncio.run(clock.advance(20))
    assert plugin.admit(before) is None
    before.in_flight = 1
    after = Target("http", "a", 80)
    assert plugin.admit(after) == "circuit-open"
    before.in_flight = 0
    assert plugin.admit(after) is None
