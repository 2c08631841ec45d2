import asyncio
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import Target
from hookgate.testing import build, running, upstream
from hookgate_balancer_least_busy import LeastBusy


class Seeded(LeastBusy):
    generator = random.Random(7)


def target(name, weight=1, in_flight=0):
    made = Target("http", name, 80, weight=weight)
    made.in_flight = in_flight
    return made


def shares(usable, count=6000):
    """How often each target is picked while the numbers of calls in flight stay as they are."""
    balancer = build(Seeded)
    return Counter(balancer.pick(None, usable).host for _ in range(count))


@settings(deadline=None)
@given(
    loads=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 50)), min_size=2, max_size=6),
    seed=st.integers(0, 1000),
)
def test_of_the_two_that_are_drawn_the_busier_is_never_picked(loads, seed):
    class Drawn(LeastBusy):
        generator = random.Random(seed)

        def _two(self, targets):
            self.drawn = super()._two(targets)
            return self.drawn

    balancer = build(Drawn)
    usable = [target(str(place), *load) for place, load in enumerate(loads)]
    picked = balancer.pick(None, usable)
    first, second = balancer.drawn
    (other,) = {first, second} - {picked}

    assert picked in usable
    assert picked.in_flight / picked.weight <= other.in_flight / other.weight
    if first.in_flight / first.weight == second.in_flight / second.weight:
        assert picked is first


def test_of_two_targets_the_less_busy_is_always_picked():
    assert shares([target("a", in_flight=3), target("b", in_flight=2)]) == {"b": 6000}


def test_a_heavier_target_may_be_busier():
    assert shares([target("a", weight=4, in_flight=7), target("b", weight=1, in_flight=2)]) == {"a": 6000}
    assert shares([target("a", weight=4, in_flight=9), target("b", weight=1, in_flight=2)]) == {"b": 6000}


@pytest.mark.parametrize("count", [2, 3])
def test_idle_targets_are_picked_by_weight(count):
    seen = shares([target("a", weight=4), target("b"), target("c")][:count], 6000)
    expected = 6000 * 4 / (4 + count - 1)

    assert seen["a"] == pytest.approx(expected, abs=250)


def test_the_busiest_of_three_gets_nothing_and_the_others_share():
    seen = shares([target("a", in_flight=9), target("b"), target("c")])

    assert seen["a"] == 0
    assert seen["b"] == pytest.approx(3000, abs=250)


@pytest.mark.parametrize("stuck", [0, 1, 2])
def test_the_share_of_a_stuck_target_falls_while_the_others_answer(stuck):
    """Each call but those of the stuck target ends after five more have begun."""
    balancer, usable = build(Seeded), [target("a"), target("b"), target("c")]
    seen, open_calls = Counter(), []
    for _ in range(600):
        picked = balancer.pick(None, usable)
        picked.in_flight += 1
        seen[picked] += 1
        if picked is not usable[stuck]:
            open_calls.append(picked)
        if len(open_calls) > 5:
            open_calls.pop(0).in_flight -= 1
    others = [seen[other] for place, other in enumerate(usable) if place != stuck]

    assert seen[usable[stuck]] < 10
    assert min(others) > 200


def test_a_single_target_is_taken_however_busy_and_none_is_none():
    only = target("a", in_flight=1000)

    assert build(LeastBusy).pick(None, [only]) is only
    assert build(LeastBusy).pick(None, []) is None


def test_a_gateway_turns_away_from_a_backend_that_is_stuck(monkeypatch):
    monkeypatch.setattr(LeastBusy, "generator", random.Random(7))
    release = threading.Event()

    async def stuck(request):
        await asyncio.to_thread(release.wait, 30)
        return 200, {}, "late"

    with upstream(stuck) as slow, upstream() as quick, ThreadPoolExecutor(1) as pool:
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {
                "crm": {"targets": [{"url": slow.url, "weight": 1000}, {"url": quick.url}], "balancer": "least-busy"}
            },
        }
        with running(document) as gate:
            first = pool.submit(gate.request, "GET", "/")
            slow.wait_for(lambda backend: backend.requests)
            answers = [gate.request("GET", "/").text for _ in range(20)]
            release.set()

            assert first.result(30).text == "late"
            assert answers == ["ok"] * 20
            gate.wait_for_exchanges(21)
            assert gate.request("GET", "/").text == "late"  # nothing is in flight any more, so weight decides
