import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import ConfigError, Forbidden, Interceptor, Options, hookimpl
from hookgate.testing import LocalCounters, MovableClock, TestHost, build, running, through, upstream
from hookgate_interceptor_spike_arrest import SpikeArrest

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


class Steps:
    """A step on a clock that the test moves."""

    def __init__(self, max_keys=100_000, **options):
        self.clock = MovableClock()
        self.house = TestHost(clock=self.clock, counters=LocalCounters(self.clock, max_keys))
        self.step = self.another(**options)

    def another(self, **options):
        return build(SpikeArrest, **options)

    def at(self, seconds, **call):
        self.clock._now = seconds
        return self.through(self.step, **call).response.status

    def through(self, *steps, **call):
        return through(*steps, house=self.house, **call)


def test_ten_a_minute_pass_if_the_last_that_passed_was_six_seconds_ago():
    steps = Steps(limit=10, interval="minute")

    found = {at: steps.at(at) for at in (0, 0.1, 5.99, 6, 11.9, 11.99, 12.1, 18, 18.1, 100, 100.1, 106)}

    assert [at for at, status in found.items() if status == 200] == [0, 6, 12.1, 18.1, 100, 106]
    assert set(found.values()) == {200, 429}


@pytest.mark.parametrize(
    ("limit", "interval", "spacing"),
    [(1, "second", 1), (4, "second", 0.25), (60, "hour", 60), (1, "hour", 3600), (3, 30, 10), (2, 0.5, 0.25)],
)
def test_calls_are_kept_apart_by_interval_over_limit(limit, interval, spacing):
    steps = Steps(limit=limit, interval=interval)

    assert [steps.at(at) for at in (0, spacing * 0.99, spacing, spacing * 1.99, spacing * 2)] == [
        200,
        429,
        200,
        429,
        200,
    ]


@given(
    limit=st.integers(1, 1000),
    interval=st.sampled_from(["second", "minute", "hour", 0.5, 7.0]),
    waits=st.lists(st.floats(0, 2.5), max_size=30),
)
@settings(max_examples=100, deadline=None)
def test_two_calls_that_pass_are_never_closer_and_none_is_refused_without_need(limit, interval, waits):
    seconds = {"second": 1, "minute": 60, "hour": 3600}.get(interval, interval)
    spacing, now, passed = seconds / limit, 0.0, []
    steps = Steps(limit=limit, interval=interval)

    for wait in waits:
        now += wait * spacing
        status = steps.at(now)
        apart = now - passed[-1] if passed else spacing
        if abs(apart - spacing) > spacing * 1e-5:
            assert status == (200 if apart > spacing else 429)
        if status == 200:
            assert apart >= spacing * (1 - 1e-5)
            passed.append(now)


def test_who_comes_too_soon_is_told_when_to_come_again():
    steps = Steps(limit=10, interval="minute")
    steps.at(0)
    steps.clock._now = 1.5

    exchange = steps.through(steps.step)

    assert exchange.response.headers["retry-after"] == "5"
    assert exchange.fault.reason == "spike-arrested"
    assert exchange.response.headers["content-type"] == "application/problem+json"
    steps.clock._now = 5.9
    assert steps.through(steps.step).response.headers["retry-after"] == "1"


def test_what_becomes_of_a_call_further_right_does_not_matter():
    class Closed(Interceptor[Options]):
        @hookimpl
        def on_request(self, exchange):
            raise Forbidden("No.")

    steps = Steps(limit=1)

    assert steps.through(steps.step, Closed(Options())).response.status == 403
    assert steps.at(0.5) == 429


def test_each_value_of_by_is_kept_apart_on_its_own():
    steps = Steps(limit=1, by="request.headers['x-key']")

    def call(key):
        return steps.at(0, headers={"x-key": key} if key else {})

    keys = ["a", "b", "a", "", "", "None", "c" * 5000, "c" * 5000, "c" * 4999 + "d"]
    assert [call(key) for key in keys] == [200, 200, 429, 200, 429, 200, 200, 429, 200]
    assert max(len(key) for key, _ in steps.house.counters._counted) < 250


def test_entries_do_not_meet():
    steps = Steps(limit=1)
    other = steps.another(limit=1)

    assert steps.at(0) == 200
    assert steps.through(other).response.status == 200
    assert steps.through(other).response.status == 429


def test_memory_is_bounded_however_many_values_come():
    steps = Steps(max_keys=50, limit=1, interval="hour", by="request.client")

    for number in range(500):
        steps.at(0, client=f"10.0.{number // 250}.{number % 250}")

    assert len(steps.house.counters) <= 50


@pytest.mark.parametrize(
    ("by", "reads"),
    [(None, set()), ("request.client", set()), ("principal", {"identity"}), ("request.body", {"request.body"})],
)
def test_what_by_needs_is_declared(by, reads):
    assert build(SpikeArrest, limit=1, by=by).reads == reads


def test_a_by_that_cannot_be_evaluated_is_an_error_and_no_open_door():
    exchange = through(Steps(limit=1, by="int(request.headers['x-user'])").step, headers={"x-user": "ann"})

    assert exchange.response.status == 500
    assert b"ann" not in exchange.response.body.data


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"limit: .*required"),
        ({"limit": 0}, r"limit: .*greater than or equal to 1"),
        ({"limit": 1, "interval": 0}, r"^interval: an interval is a number of seconds above 0, or second, minute"),
        ({"limit": 1, "interval": "day"}, r"^interval: an interval is"),
        ({"limit": 1, "interval": float("inf")}, r"^interval: an interval is"),
        ({"limit": 1, "by": "request."}, r"by: column"),
    ],
)
def test_a_wrong_option_is_refused_at_load(options, message):
    with pytest.raises(ConfigError, match=message):
        build(SpikeArrest, **options)


@BOTH
@pytest.mark.row("FL-41")
def test_a_gateway_keeps_calls_apart_and_goes_on_over_a_reload(lane):
    clock = MovableClock()
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane},
            "routes": [
                {
                    "name": "all",
                    "flow": [{"spike-arrest": {"limit": 10, "interval": "minute"}}],
                    "to": {"connection": "backend"},
                }
            ],
            "connections": {"backend": {"targets": backend.url}},
        }
        with running(document, clock=clock) as gate:

            def call(after):
                gate.run(clock.advance(after))
                return gate.request("GET", "/").status_code

            found = [call(0), call(3)]
            gate.reload()
            found += [call(2.9), call(0.1), call(5)]

    assert found == [200, 429, 429, 200, 429]
    assert len(backend.requests) == 2


@BOTH
def test_in_the_flow_of_a_plan_each_application_is_kept_apart_on_its_own(lane):
    with upstream() as backend:
        document = {
            "gateway": {"lane": lane},
            "apis": [{"name": "orders", "base_path": "/o", "flow": ["client-id"], "to": {"connection": "crm"}}],
            "applications": {
                name: {"client_ids": [f"{name}1", f"{name}2"], "plans": {"orders": "free"}} for name in ("shop", "bot")
            },
            "plans": {"free": {"flow": [{"spike-arrest": {"limit": 1, "interval": "hour"}}]}},
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document, clock=MovableClock()) as gate:
            found = [
                gate.request("GET", "/o/x", headers={"client_id": name}).status_code
                for name in ("shop1", "bot1", "shop1", "shop2", "bot2")
            ]

    assert found == [200, 200, 429, 429, 429]
