import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import ConfigError, Exchange, Outcome, Request, Target
from hookgate.testing import MovableClock, build, running, upstream
from hookgate_balancer_latency import REMEMBERED, Latency


class House:
    def __init__(self, **options):
        self.clock = MovableClock()
        self.balancer = build(Latency, **options)
        self.balancer.startup(self)

    def after(self, seconds):
        self.clock._now += seconds
        return self

    def took(self, target, head, kind="ok", status=200):
        self.balancer.release(target, Outcome(kind, status, head, head_seconds=head))

    def failed(self, target, kind, seconds=0.0):
        self.balancer.release(target, Outcome(kind, None, seconds))

    def shares(self, *usable, count=2000):
        """How often each target is picked while nothing changes."""
        return Counter(self.balancer.pick(Exchange(Request()), usable).host for _ in range(count))


@pytest.fixture(autouse=True)
def same_luck(monkeypatch):
    monkeypatch.setattr(Latency, "generator", random.Random(7))


def target(name, weight=1, in_flight=0):
    made = Target("http", name, 80, weight=weight)
    made.in_flight = in_flight
    return made


def pair(house, a=0.1, b=0.2):
    first, second = target("a"), target("b")
    house.took(first, a)
    house.took(second, b)
    return first, second


def test_the_quicker_of_two_is_always_taken():
    house = House()

    assert house.shares(*pair(house)) == {"a": 2000}


def test_of_three_the_slowest_gets_nothing_and_both_others_some():
    house = House()
    a, b = pair(house)
    c = target("c")
    house.took(c, 0.3)
    seen = house.shares(a, b, c)

    assert seen["c"] == 0
    assert seen["a"] == pytest.approx(2 * seen["b"], rel=0.2)


def test_calls_in_flight_make_a_quick_target_dearer():
    house = House()
    a, b = pair(house, 0.1, 0.25)
    a.in_flight = 1
    assert house.shares(a, b) == {"a": 2000}
    a.in_flight = 2
    assert house.shares(a, b) == {"b": 2000}


def test_a_heavy_target_may_be_slower():
    house = House()
    a, b = pair(house, 0.1, 0.25)
    b.weight = 3
    assert house.shares(a, b) == {"b": 2000}
    b.weight = 2
    assert house.shares(a, b) == {"a": 2000}


def test_a_slow_answer_counts_at_once_and_quick_ones_little_by_little():
    house = House(decay=10)
    a, b = pair(house, 0.1, 0.2)
    house.took(a, 1.0)
    assert house.shares(a, b) == {"b": 2000}
    house.took(a, 0.1)
    assert house.shares(a, b) == {"b": 2000}, "one quick answer at the same moment says little"
    for _ in range(30):
        house.after(1)
        house.took(a, 0.1)
        house.took(b, 0.2)
    assert house.shares(a, b) == {"a": 2000}


def test_what_is_known_fades_so_that_a_slow_target_is_tried_again():
    house = House(decay=10)
    a, b = pair(house, 0.1, 1.0)
    for _ in range(22):
        house.after(1).took(a, 0.1)
        assert house.shares(a, b) == {"a": 2000}
    house.after(2).took(a, 0.1)
    assert house.shares(a, b) == {"b": 2000}, "1.0 / e ** 2.4 is less than 0.1"


def test_a_target_that_nothing_is_known_of_gets_one_call_and_no_more():
    house = House()
    a, new = target("a"), target("new")
    house.took(a, 0.001)
    assert house.shares(a, new) == {"new": 2000}
    new.in_flight = 1
    assert house.shares(a, new) == {"a": 2000}


def test_targets_that_nothing_is_known_of_share():
    seen = House().shares(target("a"), target("b"), target("c"))

    assert min(seen.values()) > 500


@pytest.mark.parametrize("kind", ["connect-failed", "timeout", "broken"])
def test_a_failure_counts_as_a_slow_answer_however_quick_it_was(kind):
    house = House(penalty=5, decay=10)
    a, b = pair(house)
    house.failed(a, kind)
    assert house.shares(a, b) == {"b": 2000}
    house.after(30).took(b, 0.2)
    assert house.shares(a, b) == {"b": 2000}, "5 / e ** 3 is more than 0.2"
    house.after(3).took(b, 0.2)
    assert house.shares(a, b) == {"a": 2000}


def test_a_failure_that_took_longer_than_the_penalty_counts_in_full():
    house = House(penalty=1, decay=10)
    a, b = pair(house, 0.1, 10)
    house.failed(a, "timeout", 30)

    assert house.shares(a, b) == {"b": 2000}


def test_an_answer_of_503_is_a_failure_and_one_of_500_is_not():
    house = House()
    a, b = pair(house)
    house.took(a, 0.001, status=500)
    assert house.shares(a, b) == {"a": 2000}
    house.took(a, 0.001, status=503)
    assert house.shares(a, b) == {"b": 2000}


def test_a_broken_answer_is_a_failure_though_its_head_came_quickly():
    house = House()
    a, b = pair(house)
    house.took(a, 0.001, kind="broken")

    assert house.shares(a, b) == {"b": 2000}


def test_a_client_that_left_before_the_head_shows_how_long_it_takes_at_least():
    house = House()
    a, b = pair(house)
    house.failed(a, "aborted", 0.05)
    assert house.shares(a, b) == {"a": 2000}, "it may still take 0.1 s"
    house.failed(a, "aborted", 0.3)
    assert house.shares(a, b) == {"b": 2000}


def test_a_client_that_left_after_the_head_makes_no_target_slow():
    house = House()
    a, b = pair(house)
    house.balancer.release(a, Outcome("aborted", 200, 3600.0, head_seconds=0.1))

    assert house.shares(a, b) == {"a": 2000}


def test_what_is_known_outlives_new_target_objects():
    house = House()
    pair(house)

    assert house.shares(target("a"), target("b")) == {"a": 2000}


def test_a_single_target_is_taken_however_slow_and_none_is_none():
    house, only = House(), target("a")
    house.failed(only, "timeout")

    assert house.shares(only, count=1) == {"a": 1}
    assert house.balancer.pick(None, []) is None


def test_what_is_remembered_is_bounded_and_the_newest_stays():
    house = House()
    known = target("known")
    for number in range(2 * REMEMBERED):
        house.took(target(str(number)), 0.1)
        house.took(known, 0.1)

    assert len(house.balancer._times) == REMEMBERED
    assert known.url in house.balancer._times


@settings(deadline=None)
@given(
    loads=st.lists(
        st.tuples(st.none() | st.floats(0, 100), st.integers(1, 1000), st.integers(0, 9)), min_size=1, max_size=6
    ),
    wait=st.floats(0, 1e9),
)
def test_what_is_picked_is_never_the_dearest_alone(loads, wait):
    house = House()
    usable = [target(f"host{place}", weight, busy) for place, (_, weight, busy) in enumerate(loads)]
    for each, (head, _, _) in zip(usable, loads, strict=True):
        if head is not None:
            house.took(each, head)
    house.after(wait)
    costs = {each: house.balancer._cost(each, house.clock.now()) for each in usable}
    picked = house.balancer.pick(Exchange(Request()), usable)

    assert picked in usable
    assert len(usable) == 1 or costs[picked] <= sorted(costs.values())[-2]


@pytest.mark.parametrize("options", [{"decay": 0}, {"penalty": -1}, {"failing": ["x"]}, {"decay": "x"}])
def test_what_makes_no_sense_is_refused_at_load(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        build(Latency, **options)


def test_a_gateway_turns_to_the_backend_that_answers_sooner():
    clock = MovableClock()

    def backend(name, seconds):
        async def answer(request):
            await asyncio.to_thread(gate.run, clock.advance(seconds))
            return 200, {}, name

        return upstream(answer)

    with backend("slow", 0.5) as a, backend("quick", 0.1) as b:
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": [a.url, b.url], "balancer": {"latency": {"decay": 600}}}},
        }
        with running(document, clock=clock) as gate:
            answers = []
            for number in range(1, 23):
                answers.append(gate.request("GET", "/").text)
                gate.wait_for_exchanges(number)

    assert sorted(answers[:2]) == ["quick", "slow"], "each is tried once"
    assert answers[2:] == ["quick"] * 20


def test_a_gateway_turns_away_from_a_backend_that_refuses_quickly():
    with upstream(lambda request: (503, {}, "busy")) as a, upstream() as b:
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": [a.url, b.url], "balancer": "latency"}},
        }
        with running(document, clock=MovableClock()) as gate:
            for number in range(1, 21):
                gate.request("GET", "/")
                gate.wait_for_exchanges(number)

    assert len(a.requests) == 1
