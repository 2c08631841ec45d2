from collections import Counter
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import Target
from hookgate.testing import build, running, upstream
from hookgate_balancer_weighted_round_robin import REMEMBERED, WeightedRoundRobin


def targets(**weights):
    return [Target("http", name.lower(), 80, weight=weight) for name, weight in weights.items()]


def picks(balancer, usable, count):
    return "".join(balancer.pick(None, usable).host.upper() for _ in range(count))


@pytest.mark.parametrize(
    ("weights", "sequence"),
    [
        ({"A": 5, "B": 1, "C": 1}, "AABACAA" * 3),
        ({"A": 3, "B": 1}, "AABA" * 3),
        ({"A": 1, "B": 1, "C": 1}, "ABC" * 3),
        ({"A": 2, "B": 4}, "BAB" * 4),
        ({"A": 7}, "A" * 5),
    ],
)
def test_targets_come_up_as_often_as_they_weigh_and_spread_out(weights, sequence):
    assert picks(build(WeightedRoundRobin), targets(**weights), len(sequence)) == sequence


def test_700_picks_are_shared_exactly():
    assert Counter(picks(build(WeightedRoundRobin), targets(A=5, B=1, C=1), 700)) == {"A": 500, "B": 100, "C": 100}


@settings(deadline=None)
@given(weights=st.lists(st.integers(1, 30), min_size=1, max_size=8), start=st.integers(0, 100))
def test_in_any_run_as_long_as_the_sum_of_weights_each_target_comes_up_as_often_as_it_weighs(weights, start):
    balancer, usable = build(WeightedRoundRobin), [Target("http", str(n), 80, weight=w) for n, w in enumerate(weights)]
    for _ in range(start):
        balancer.pick(None, usable)

    run = Counter(balancer.pick(None, usable) for _ in range(sum(weights)))

    assert [run[target] for target in usable] == weights


@settings(deadline=None)
@given(masks=st.lists(st.integers(1, 7), min_size=14))
def test_picks_among_fewer_targets_do_not_upset_the_rotation_of_all(masks):
    """A call that is tried again is offered the targets it has not tried yet."""
    balancer, usable = build(WeightedRoundRobin), targets(A=3, B=2, C=2)
    seen = ""
    for mask in masks:
        seen += picks(balancer, usable, 1)
        fewer = [target for place, target in enumerate(usable) if mask & 1 << place]
        if len(fewer) < len(usable):
            assert balancer.pick(None, fewer) in fewer

    assert seen == picks(build(WeightedRoundRobin), usable, len(masks))


def test_a_target_that_comes_back_has_nothing_to_catch_up_on():
    balancer, usable = build(WeightedRoundRobin), targets(A=1, B=1, C=1)
    picks(balancer, usable, 4)

    assert picks(balancer, usable[:2], 6) == "ABABAB"
    assert Counter(picks(balancer, usable, 30)) == {"A": 10, "B": 10, "C": 10}


def test_a_new_weight_counts_at_once():
    balancer, usable = build(WeightedRoundRobin), targets(A=1, B=1)
    picks(balancer, usable, 3)
    usable[0].weight = 3

    assert Counter(picks(balancer, usable, 4)) == {"A": 3, "B": 1}


def test_without_a_target_none_is_picked():
    assert build(WeightedRoundRobin).pick(None, []) is None


def test_what_is_remembered_is_bounded_and_the_rotation_in_use_stays():
    balancer, usable = build(WeightedRoundRobin), targets(A=2, B=1)
    others = [Target("http", str(n), 80) for n in range(3 * REMEMBERED)]
    seen = ""
    for pair in pairwise(others):
        seen += picks(balancer, usable, 1)
        balancer.pick(None, pair)

    assert len(balancer._rotations) == REMEMBERED
    assert seen == "".join(islice("ABA" * len(seen), len(seen)))


@pytest.mark.row("AC-5")
def test_a_gateway_spreads_calls_over_three_backends_by_weight():
    with upstream() as a, upstream() as b, upstream() as c:
        names = {a.url: "A", b.url: "B", c.url: "C"}
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {
                "crm": {
                    "targets": [{"url": a.url, "weight": 5}, {"url": b.url, "weight": 1}, {"url": c.url, "weight": 1}],
                    "balancer": "weighted-round-robin",
                }
            },
        }
        with running(document) as gate:
            for _ in range(700):
                assert gate.request("GET", "/").status_code == 200
            sequence = "".join(names[exchange.target.url] for exchange in gate.wait_for_exchanges(700))

        assert sequence == "AABACAA" * 100
        assert [len(backend.requests) for backend in (a, b, c)] == [500, 100, 100]
