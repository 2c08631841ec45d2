"""Options and tiers that make no sense, and counters that are shared, away or hang."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from hookgate import ConfigError
from hookgate.testing import running

from .limited import ANN, AUTH, EVE, refused, route, statuses


@pytest.mark.parametrize(
    ("throttle", "message"),
    [
        ({"api_tier": "Silvr"}, "throttle.api_tier: there is no tier 'Silvr'; did you mean 'Silver'?"),
        ({"when_store_fails": "opn"}, "throttle.when_store_fails: "),
        ({"when_store_fails": {"local": {"max_keys": 0}}}, "when_store_fails.local.max_keys: "),
        ({"patience": 0}, "throttle.patience: "),
        ({"addresses": [{"address": "any", "limit": 1}]}, "throttle.addresses[0].address: 'any' is no IP address"),
        ({"addresses": [{"address": "other"}]}, "throttle.addresses[0].limit: "),
        ({"addresses": [{"address": "other", "limit": 1}] * 2}, "addresses: 'other' is there twice"),
        ({"conditions": [{"name": "a", "limit": 1}] * 2}, "conditions: 'a' is there twice"),
        ({"conditions": [{"name": "a", "limit": 1, "when": "request.heders"}]}, "did you mean 'headers'"),
        ({"subscription": {"by": "identity.subject"}}, "throttle.subscription.tier: "),
    ],
)
def test_options_that_make_no_sense_are_refused_at_load(throttle, message):
    with pytest.raises(ConfigError) as raised, running({"routes": [route("orders", throttle)]}):
        pass
    assert message in str(raised.value)


def test_who_has_a_tier_that_nobody_knows_is_refused_and_the_log_names_it(house, clock, plugins):
    step = {"subscriptions": {"known": {"App1": {"id": "s1", "tier": "Gone"}}}}
    document = {"gateway": house, "routes": [route("orders", {}, AUTH, step)]}
    with running(document, clock=clock, plugins_dir=plugins) as gate:
        answer = gate.request("GET", "/orders", headers=ANN)
        assert refused(answer) == (429, 900804, "tier-unknown")
        assert answer.json()["detail"] == "There is no tier 'Gone', which the subscription has; choose another one."
        assert statuses(gate, 2, **ANN) == [429, 429]
        assert sum("has the tier 'Gone'" in record.getMessage() for record in gate.log) == 1
        assert "whose tier is not there: 'Gone'" in json.dumps(gate.gateway.status())
        assert statuses(gate, 1, **EVE) == [200]
        gate.run(clock.advance(301))
        assert "whose tier is not there" not in json.dumps(gate.gateway.status())


def test_an_application_whose_tier_is_gone_is_refused_in_the_form_of_the_table(clock, plugins):
    step = {"subscriptions": {"known": {"App1": {"id": "s1", "tier": "Gold", "application_tier": "Gone"}}}}
    document = {"routes": [route("orders", {}, {"faults": {"default": "json"}}, AUTH, step)]}
    with running(document, clock=clock, plugins_dir=plugins) as gate:
        answer = gate.request("GET", "/orders", headers=ANN)
        assert answer.status_code == 429
        assert answer.json()["fault"] == {
            "code": 900803,
            "message": "Application level throttled out",
            "description": "There is no tier 'Gone', which the application has; choose another one.",
        }


def test_names_that_look_alike_never_share_a_count(clock):
    by = "{request.headers['x-a'], request.headers['x-b']}"
    throttle = {"subscription": {"by": by, "tier": "'Bronze'"}}
    with running({"routes": [route("orders", throttle)]}, clock=clock) as gate:
        for a, b in (("x", "y/z"), ("x/y", "z"), ("x', 'y", "z"), ("", ""), ("x" * 5000, ""), ("x" * 5000, "y")):
            assert statuses(gate, 2, **{"x-a": a, "x-b": b}) == [200, 429], (a, b)


def test_two_gateways_on_one_database_let_through_what_the_tier_says(url, clock):
    gateway = {"counters": {"postgresql": {"url": url, "patience": 10}}}
    document = {"gateway": gateway, "tiers": {"T": {"limit": 37}}, "routes": [route("orders", {"api_tier": "T"})]}
    with running(document, clock=clock) as one, running(document, clock=clock) as two, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda gate: gate.request("GET", "/orders").status_code, [one, two] * 30))
    assert (found.count(200), found.count(429)) == (37, 23)


AWAY = {"postgresql": {"url": "postgresql://ann:password-of-ann@127.0.0.1:9/x"}}


@pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
@pytest.mark.parametrize(
    ("otherwise", "found"),
    [(None, [503] * 6), ("local", [200] * 5 + [429]), ("open", [200] * 6), ("closed", [503] * 6)],
)
def test_when_the_store_is_away_calls_are_counted_here_pass_or_are_refused(clock, lane, otherwise, found):
    throttle = {"api_tier": "Silver"} | ({} if otherwise is None else {"when_store_fails": otherwise})
    document = {"gateway": {"lane": lane, "counters": AWAY}, "routes": [route("orders", throttle)]}
    with running(document, clock=clock) as gate:
        answers = [gate.request("GET", "/orders") for _ in range(6)]
        assert [answer.status_code for answer in answers] == found
        if otherwise in {None, "closed"}:
            said = answers[-1].json()
            assert said["reason"] == "counters-away"
            assert "postgresql" in said["detail"]
            assert "127.0.0.1" not in answers[-1].text
        lines = [record.getMessage() for record in gate.log if "cannot be asked" in record.getMessage()]
        assert sum(line.startswith("the counters postgresql") for line in lines) == 1
        assert "password-of-ann" not in "".join(lines)
        assert "postgresql cannot be asked" in json.dumps(gate.gateway.status())


@pytest.mark.parametrize(
    ("otherwise", "found"), [("local", [200] * 5 + [429]), ("open", [200] * 6), ("closed", [503] * 6)]
)
def test_a_valkey_that_hangs_is_given_up_in_time_and_named(clock, otherwise, found):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never says a word
        url = f"redis://ann:password-of-ann@127.0.0.1:{silent.getsockname()[1]}"
        counters = {"redis": {"url": url, "patience": "50ms"}}
        throttle = {"api_tier": "Silver", "patience": "5s", "when_store_fails": otherwise}
        document = {"gateway": {"counters": counters}, "routes": [route("orders", throttle)]}
        with running(document, clock=clock) as gate:
            answers = [gate.request("GET", "/orders") for _ in range(6)]
            status = json.dumps(gate.gateway.status())
    assert [answer.status_code for answer in answers] == found
    if otherwise == "closed":
        assert answers[0].json()["reason"] == "counters-away"
        assert "the counters redis do not answer" in answers[0].json()["detail"]
    assert "the counters redis cannot be asked" in status
    assert "no answer in time" in status
    assert "password-of-ann" not in status + "".join(answer.text for answer in answers)


HANGS = '''
"""Counters that hang until they are told to go on, as a store does behind a broken wire."""
import asyncio
from hookgate import CounterStore, Decision, Options, hookimpl

class Hanging(CounterStore[Options]):
    name = "hanging"
    works = False

    @hookimpl
    async def take(self, wants):
        if not Hanging.works:
            await asyncio.Event().wait()
        return Decision(True, wants[0][2], 4, 60.0, 0.0, wants[0][0])
'''


def test_a_store_that_hangs_costs_one_call_the_patience_and_is_asked_again_after_a_while(clock, tmp_path):
    (tmp_path / "hanging.py").write_text(HANGS)
    throttle = {"api_tier": "Bronze", "patience": "5s", "when_store_fails": "local"}
    document = {"gateway": {"counters": "hanging"}, "routes": [route("orders", throttle)]}
    with running(document, clock=clock, plugins_dir=tmp_path) as gate:
        assert statuses(gate, 3) == [200, 429, 429]
        metrics = sum("no answer within 5 s" in record.getMessage() for record in gate.log)
        assert metrics == 1
        [store] = {type(each) for each in gate.gateway.live.config.instances.values() if each.entry.name == "hanging"}
        store.works = True
        assert statuses(gate, 1) == [429]
        gate.run(clock.advance(1.1))
        assert statuses(gate, 3) == [200] * 3
        assert any("answer again" in record.getMessage() for record in gate.log)
        assert "cannot be asked" not in json.dumps(gate.gateway.status())
