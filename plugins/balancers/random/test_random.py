import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import Target
from hookgate.testing import build, running, upstream
from hookgate_balancer_random import Random


class Even(random.Random):
    """Chance without chance: as many numbers as were asked for, spread evenly between 0 and 1."""

    def over(self, count):
        self.numbers = ((step + 0.5) / count for step in range(count))
        return self

    def random(self):
        return next(self.numbers)


class Seeded(Random):
    generator = random.Random(7)


def targets(weights):
    return [Target("http", f"t{place}", 80, weight=weight) for place, weight in enumerate(weights)]


@settings(deadline=None)
@given(weights=st.lists(st.integers(1, 50), min_size=2, max_size=8), rounds=st.integers(1, 3))
def test_over_all_that_chance_may_bring_each_target_has_the_share_of_its_weight(weights, rounds):
    count = rounds * sum(weights)

    class Evenly(Random):
        generator = Even().over(count)

    balancer, usable = build(Evenly), targets(weights)
    seen = Counter(balancer.pick(None, usable) for _ in range(count))

    assert [seen[target] for target in usable] == [rounds * weight for weight in weights]


def test_7000_picks_come_near_the_shares():
    balancer, usable = build(Seeded), targets([5, 1, 1])
    seen = Counter(balancer.pick(None, usable).host for _ in range(7000))

    assert seen["t0"] == pytest.approx(5000, abs=200)
    assert seen["t1"] == pytest.approx(1000, abs=150)
    assert seen["t2"] == pytest.approx(1000, abs=150)


def test_picks_do_not_follow_a_rotation():
    balancer, usable = build(Seeded), targets([1, 1])
    pairs = [(balancer.pick(None, usable).host, balancer.pick(None, usable).host) for _ in range(400)]

    assert all(count > 50 for count in Counter(pairs).values())
    assert len(set(pairs)) == 4


def test_a_new_weight_counts_at_once():
    balancer, usable = build(Seeded), targets([1, 1])
    balancer.pick(None, usable)
    usable[0].weight = 1_000_000

    assert Counter(balancer.pick(None, usable).host for _ in range(100))["t0"] > 95


def test_a_single_target_is_taken_and_none_is_none():
    (only,) = targets([3])

    assert build(Random).pick(None, [only]) is only
    assert build(Random).pick(None, []) is None


def test_a_gateway_spreads_calls_by_chance_over_its_backends():
    with upstream() as a, upstream() as b:
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": [{"url": a.url}, {"url": b.url}], "balancer": "random"}},
        }
        with running(document) as gate:
            for _ in range(60):
                assert gate.request("GET", "/").status_code == 200

    assert len(a.requests) + len(b.requests) == 60
    assert min(len(a.requests), len(b.requests)) > 5
