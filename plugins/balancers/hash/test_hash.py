import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookgate import ConfigError, Exchange, Headers, Health, Request, Target
from hookgate.testing import build, running, upstream
from hookgate_balancer_hash import Hash


def call(user=None, client="127.0.0.1", path="/"):
    return Exchange(Request(path=path, client=client, headers=Headers({} if user is None else {"x-user": user})))


def targets(**weights):
    return [Target("http", name.lower(), 80, weight=weight) for name, weight in weights.items()]


USERS = [f"user-{number}" for number in range(3000)]
BY_USER = {"by": "request.headers['x-user']"}


def homes(usable, **options):
    balancer = build(Hash, **(options or BY_USER))
    return {user: balancer.pick(call(user), usable).host for user in USERS}


def test_the_same_key_always_gets_the_same_target_in_any_gateway_and_order():
    usable = targets(A=1, B=1, C=1)

    assert homes(usable) == homes(usable[::-1]) == homes(targets(C=1, A=1, B=1))


def test_where_keys_belong_is_written_down_since_gateways_of_two_versions_run_side_by_side():
    balancer, usable = build(Hash, **BY_USER), targets(A=1, B=2, C=3)

    assert "".join(balancer.pick(call(user), usable).host for user in USERS[:24]) == "ccbbabccacbccccbcbccacba"


@pytest.mark.parametrize("weights", [{"A": 1, "B": 1, "C": 1}, {"A": 5, "B": 1, "C": 3}, {"A": 1000, "B": 500}])
def test_keys_are_shared_by_weight(weights):
    seen = Counter(homes(targets(**weights)).values())

    for name, weight in weights.items():
        assert seen[name.lower()] == pytest.approx(len(USERS) * weight / sum(weights.values()), abs=120)


WEIGHTS = st.lists(st.integers(1, 1000), min_size=2, max_size=6)


@settings(deadline=None, max_examples=50)
@given(weights=WEIGHTS, gone=st.integers(0, 5), keys=st.lists(st.text(min_size=1), min_size=1, max_size=30))
def test_a_target_that_leaves_moves_only_its_own_keys(weights, gone, keys):
    balancer = build(Hash, by="request.path")
    usable = [Target("http", f"host{place}", 80, weight=weight) for place, weight in enumerate(weights)]
    left = usable.pop(gone % len(usable))
    everyone = [*usable, left]
    for key in keys:
        home = balancer.pick(call(path=key), everyone)
        if home is not left:
            assert balancer.pick(call(path=key), usable) is home


@settings(deadline=None, max_examples=50)
@given(weights=WEIGHTS, keys=st.lists(st.text(min_size=1), min_size=1, max_size=30), more=st.integers(1, 1000))
def test_a_target_that_gets_heavier_gains_keys_and_nobody_else_does(weights, keys, more):
    balancer = build(Hash, by="request.path")
    usable = [Target("http", f"host{place}", 80, weight=weight) for place, weight in enumerate(weights)]
    before = [balancer.pick(call(path=key), usable) for key in keys]
    usable[0].weight += more
    after = [balancer.pick(call(path=key), usable) for key in keys]

    assert all(now is then or now is usable[0] for then, now in zip(before, after, strict=True))


def test_the_keys_of_a_target_that_leaves_are_shared_by_the_others():
    usable = targets(A=1, B=1, C=1)
    before, after = homes(usable), homes(usable[1:])
    moved = Counter(after[user] for user in USERS if before[user] == "a")

    assert moved["b"] == pytest.approx(moved["c"], abs=150)


def test_the_key_is_the_client_unless_said_otherwise():
    balancer, usable = build(Hash), targets(A=1, B=1, C=1)
    seen = {balancer.pick(call(client=f"10.0.0.{last}"), usable).host for last in range(50)}

    assert seen == {"a", "b", "c"}
    assert len({balancer.pick(call("someone", client="10.0.0.1"), usable) for _ in range(20)}) == 1


@pytest.mark.parametrize(
    ("options", "user"),
    [(BY_USER, None), (BY_USER, ""), ({"by": "1 + identity.subject"}, None), ({"by": "identity.subject"}, None)],
)
def test_without_a_key_targets_are_taken_by_chance_and_weight(monkeypatch, options, user):
    monkeypatch.setattr(Hash, "generator", random.Random(7))
    balancer, usable = build(Hash, **options), targets(A=3, B=1)
    seen = Counter(balancer.pick(call(user), usable).host for _ in range(2000))

    assert seen["a"] == pytest.approx(1500, abs=100)


@pytest.mark.parametrize("key", ["5", "0", "false", "1.5", "len(request.path)", "request.headers"])
def test_a_key_may_be_something_else_than_text(key):
    balancer, usable = build(Hash, by=key), targets(A=1, B=1, C=1)

    assert len({balancer.pick(call("u"), usable).host for _ in range(20)}) == 1


def test_a_key_longer_than_a_block_counts_to_its_end():
    balancer, usable = build(Hash, **BY_USER), targets(A=1, B=1)

    assert len({balancer.pick(call("x" * 5000 + str(last)), usable) for last in range(30)}) == 2


@pytest.mark.parametrize("by", ["response.status", "request.path + target.url", "fault.reason"])
def test_what_is_not_there_yet_is_refused_at_load(by):
    with pytest.raises(ConfigError, match=r"by: .*picked before there is an answer"):
        build(Hash, by=by)


def test_without_a_target_none_is_picked():
    assert build(Hash).pick(call(), []) is None


def test_a_gateway_keeps_users_with_their_backends_while_one_leaves_and_comes_back():
    def backend(name):
        return upstream(lambda request: (200, {}, name))

    with backend("a") as a, backend("b") as b, backend("c") as c:
        document = {
            "routes": [{"name": "all", "to": {"connection": "crm"}}],
            "connections": {"crm": {"targets": [a.url, b.url, c.url], "balancer": {"hash": BY_USER}}},
        }
        with running(document) as gate:

            def answer(user):
                return gate.request("GET", "/", headers={"x-user": user}).text

            users = USERS[:20]
            answers = {user: answer(user) for user in users}
            assert set(answers.values()) == {"a", "b", "c"}
            target = gate.gateway.connection("crm").targets[0]
            well, target.health = target.health, Health(healthy=False)
            moved = {user: answer(user) for user in users}
            assert all(moved[user] == answers[user] for user in users if answers[user] != "a")
            assert "a" not in moved.values()
            target.health = well
            assert {user: answer(user) for user in users} == answers
