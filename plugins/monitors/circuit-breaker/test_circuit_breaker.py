import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookgate import ConfigError, Health, Outcome, Target
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_monitor_circuit_breaker import CircuitBreaker

OK, FAILED = Outcome("ok", 200), Outcome("ok", 503)


class House:
    def __init__(self):
        self.clock = MovableClock()


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


def test_what_means_nothing_here_cannot_be_set():
    with pytest.raises(ConfigError):
        build(CircuitBreaker, unhealthy_after=2)


def document(backend, **options):
    return {
        "routes": [{"name": "all", "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": [backend.url], "monitor": {"circuit-breaker": options}}},
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
