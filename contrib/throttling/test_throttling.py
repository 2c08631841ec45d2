"""What the step `throttle` lets through, by tiers and levels, over lane and edge, counted here and in a database."""

import pytest

from hookgate import ConfigError
from hookgate.testing import MovableClock, running

from .limited import ANN, AUTH, BOB, EVE, OK, api, refused, route, statuses


@pytest.mark.row("KC-31")
def test_of_silver_the_sixth_call_of_the_minute_is_refused_and_unlimited_refuses_none(house, clock):
    routes = [route("orders", {"api_tier": "Silver"}), route("free", {"api_tier": "Unlimited"})]
    with running({"gateway": house, "routes": routes}, clock=clock) as gate:
        assert statuses(gate, 6) == [200] * 5 + [429]
        assert statuses(gate, 30, "/free") == [200] * 30
        gate.run(clock.advance(59.9))
        assert statuses(gate, 1) == [429]
        gate.run(clock.advance(0.2))
        assert statuses(gate, 6) == [200] * 5 + [429]


@pytest.mark.row("KC-31")
@pytest.mark.parametrize(
    ("tiers", "found"),
    [
        (None, {"Bronze": 1, "Silver": 5, "Gold": 20, "Unlimited": None}),
        ({"all": {"preset": "v3"}}, {"Bronze": 1000, "Silver": 2000, "Gold": 5000, "10PerMin": 10, "50PerMin": 50}),
        ({"Gold": {"limit": 7}, "Mine": {"limit": 2}}, {"Gold": 7, "Mine": 2, "Silver": 5}),
        ({"none": {"preset": "none"}, "Mine": {"limit": "unlimited"}}, {"Mine": None}),
    ],
)
def test_a_preset_brings_its_tiers_and_what_is_written_counts_before_it(tiers, found):
    routes = [route(name, {"api_tier": name}) for name in found]
    document = {"routes": routes} | ({} if tiers is None else {"tiers": tiers})
    with running(document, clock=MovableClock()) as gate:
        for name, limit in found.items():
            assert gate.request("GET", f"/{name}").headers.get("ratelimit-limit") == (limit and str(limit))


@pytest.mark.row("KC-31")
@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ({"Unlimited": {"enabled": False}}, "there is no tier 'Unlimited'; there is Bronze, Gold, Silver"),
        ({"x": {"preset": "none"}}, "there is no tier 'Unlimited'"),
        ({"x": {"preset": "none"}, "y": {"preset": "v3"}}, "tiers.y.preset: 'x' has chosen a preset"),
        ({"x": {"preset": "v4"}}, "tiers.x.preset: should be 'classic', 'v3' or 'none'"),
        ({"x": {"preset": "v3", "limit": 4}}, "tiers.x: limit: an item with a preset is no tier"),
        ({"Platinum": {"enabled": False}}, "tiers.Platinum.limit: no tier of the preset has this name"),
        ({"x": {}}, "tiers.x: limit: write how many calls"),
        ({"x": {"limit": 0}}, "tiers.x: limit: at least 1 call"),
        ({"x": {"limit": "none"}}, "tiers.x.limit: a limit is a whole number of calls from 1 on, or unlimited"),
        ({"x": {"limit": True}}, "tiers.x.limit: a limit is a whole number"),
        ({"x": {"limit": 5, "window": "fortnight"}}, "tiers.x.window: a window is a number of seconds above 0, or"),
        ({"x": {"limit": 5, "burst": {"limit": 1}}}, "burst.window: a burst is counted in a shorter time"),
        ({"x": {"limit": 5, "window": 90, "burst": {"limit": 1, "window": 90}}}, "burst.window: a burst is counted"),
        ({"x": {"limit": 5, "allow": "a", "deny": "b"}}, "tiers.x: deny: write either allow or deny"),
        ({"x": {"limit": 5, "deny": ","}}, "tiers.x.deny: "),
        ({"x": {"limit": 5, "levels": ["user"]}}, "tiers.x.levels"),
        ({"x": {"requestCount": 5}}, "how many calls may come is limit"),
        (["Gold"], "tiers: should be a mapping"),
    ],
)
def test_a_tier_that_is_not_there_or_makes_no_sense_is_refused_at_load(tiers, message):
    document = {"tiers": tiers, "routes": [route("orders", {"api_tier": "Unlimited"})]}
    with pytest.raises(ConfigError) as raised, running(document):
        pass
    assert message in str(raised.value)


@pytest.mark.row("KC-29")
def test_a_call_that_did_not_pass_security_uses_nothing_up(house, clock):
    with running({"gateway": house, "routes": [route("orders", {"api_tier": "Silver"}, AUTH)]}, clock=clock) as gate:
        assert statuses(gate, 10) == [401] * 10
        assert statuses(gate, 10, authorization="Bearer garbage") == [401] * 10
        assert statuses(gate, 6, **ANN) == [200] * 5 + [429]


LEVELS = {
    "subscription": {"by": "identity.application", "tier": "'Gold'"},
    "application": {"by": "identity.application", "tier": "'Twenty'"},
    "resource_tier": "Unlimited",
}


TWENTY = {"Twenty": {"limit": 20}}


@pytest.mark.row("KC-32")
@pytest.mark.parametrize("looked_up", [False, True], ids=["told by options", "looked up by a step"])
def test_two_users_of_one_application_share_twenty_and_the_twenty_first_call_is_refused(
    house, clock, plugins, looked_up
):
    known = {"App1": {"id": "s1", "tier": "Gold", "status": "active", "application_tier": "Twenty"}}
    before, throttle = [AUTH], LEVELS
    if looked_up:
        before, throttle = [AUTH, {"subscriptions": {"known": known}}], {"resource_tier": "Unlimited"}
    document = {"gateway": house, "tiers": TWENTY, "routes": [route("orders", throttle, *before)]}
    with running(document, clock=clock, plugins_dir=plugins) as gate:
        found = [gate.request("GET", "/orders", headers=(ANN, BOB)[call % 2]).status_code for call in range(21)]
        assert found == [200] * 20 + [429]
        gate.run(clock.advance(60))
        assert statuses(gate, 16, **ANN) == [200] * 16
        assert statuses(gate, 5, **BOB) == [200] * 4 + [429]


@pytest.mark.row("KC-32")
def test_a_call_that_one_level_refuses_costs_the_others_nothing(house, clock):
    levels = {
        "subscription": {"by": "identity.application", "tier": "'Gold'"},
        "application": {"by": "identity.application", "tier": "'Silver'"},
    }
    routes = [
        route("orders", {**levels, "api_tier": "Gold", "backend": {"limit": 20}}, AUTH),
        route("alone", {"subscription": levels["subscription"]}, AUTH),
    ]
    with running({"gateway": house, "routes": routes}, clock=clock) as gate:
        assert statuses(gate, 12, **ANN) == [200] * 5 + [429] * 7
        assert refused(gate.request("GET", "/orders", headers=ANN)) == (429, 900803, "application-throttled")
        left = gate.request("GET", "/alone", headers=ANN)
        assert left.headers["ratelimit-remaining"] == "14"
        assert statuses(gate, 6, **EVE) == [200] * 5 + [429]
        assert gate.request("GET", "/alone", headers=EVE).headers["ratelimit-remaining"] == "14"


@pytest.mark.row("KC-30")
@pytest.mark.row("KC-39")
@pytest.mark.parametrize(
    ("throttle", "expected"),
    [
        ({"api_tier": "Bronze"}, (429, 900800, "api-throttled")),
        ({"api_tier": "Bronze", "resource_tier": "Bronze"}, (429, 900800, "api-throttled")),
        ({"resource_tier": "Bronze"}, (429, 900802, "resource-throttled")),
        ({"subscription": {"by": "identity.subject", "tier": "'Bronze'"}}, (429, 900804, "subscription-throttled")),
        ({"application": {"by": "identity.subject", "tier": "'Bronze'"}}, (429, 900803, "application-throttled")),
        ({"subscription": {"by": "identity.subject", "tier": "'Burst'"}}, (429, 900807, "burst-throttled")),
        ({"addresses": [{"address": "other", "limit": 1}]}, (429, 900800, "api-throttled")),
        ({"conditions": [{"name": "all", "limit": 1}]}, (429, 900806, "condition-throttled")),
        ({"backend": {"limit": 1}}, (503, 900801, "backend-throttled")),
    ],
)
def test_each_level_refuses_with_its_code_and_says_when_to_come_again(house, clock, throttle, expected):
    tiers = {"Burst": {"limit": 1000, "window": "day", "burst": {"limit": 1}}}
    document = {"gateway": house, "tiers": tiers, "routes": [route("orders", throttle, AUTH)]}
    with running(document, clock=clock) as gate:
        gate.run(clock.advance(18))
        first, second = (gate.request("GET", "/orders", headers=ANN) for _ in range(2))
        assert first.status_code == 200
        assert first.headers["ratelimit-remaining"] == "0"
        assert refused(second) == expected
        assert second.headers["content-type"] == "application/problem+json"
        assert second.headers["retry-after"] == "42"
        assert [second.headers[f"ratelimit-{name}"] for name in ("limit", "remaining", "reset")] == ["1", "0", "42"]
        assert "ann" not in second.text
        gate.run(clock.advance(42))
        assert statuses(gate, 2, **ANN) == [200, expected[0]]


@pytest.mark.row("KC-33")
def test_an_application_has_its_tier_over_all_of_its_apis_and_a_change_counts_from_the_next_minute(
    house, clock, plugins
):
    def document(tier):
        known = {"App1": {"id": "s1", "application_tier": tier}, "App2": {"id": "s2", "application_tier": "Gold"}}
        step = {"subscriptions": {"known": known}}
        return {"gateway": house, "routes": [route(name, {}, AUTH, step) for name in ("orders", "items")]}

    with running(document("Silver"), clock=clock, plugins_dir=plugins) as gate:
        assert statuses(gate, 3, **ANN) == [200] * 3
        assert statuses(gate, 3, "/items", **BOB) == [200, 200, 429]
        assert refused(gate.request("GET", "/orders", headers=ANN)) == (429, 900803, "application-throttled")
        gate.reload(document("Gold"))
        assert statuses(gate, 1, **ANN) == [429]
        assert statuses(gate, 20, **EVE) == [200] * 20
        gate.run(clock.advance(60))
        assert statuses(gate, 21, **ANN) == [200] * 20 + [429]
        gate.reload(document("Bronze"))
        gate.run(clock.advance(60))
        assert statuses(gate, 2, **ANN) == [200, 429]


@pytest.mark.parametrize(("per_user", "of_bob"), [(False, [429, 429]), (True, [200] * 5 + [429])])
def test_users_share_the_limit_of_their_application_unless_each_is_to_have_the_whole(house, clock, per_user, of_bob):
    throttle = {"application": {"by": "identity.application", "tier": "'Silver'"}, "per_user": per_user}
    with running({"gateway": house, "routes": [route("orders", throttle, AUTH)]}, clock=clock) as gate:
        assert statuses(gate, 6, **ANN) == [200] * 5 + [429]
        assert statuses(gate, len(of_bob), **BOB) == of_bob


@pytest.mark.parametrize(
    ("roles", "offered"),
    [
        ((), ["Silver", "Open", "Closed"]),
        (("intern",), ["Silver", "Open"]),
        (("partner",), ["Silver", "Open", "Closed", "Partners"]),
        (("intern", "partner"), ["Silver", "Open", "Partners"]),
        (("INTERN",), ["Silver", "Open", "Closed"]),
    ],
)
def test_a_list_of_roles_lets_them_choose_a_tier_or_keeps_them_from_it(roles, offered):
    document = {
        "tiers": {
            "Bronze": {"enabled": False},
            "Gold": {"enabled": False},
            "Unlimited": {"enabled": False},
            "Open": {"limit": 1},
            "Closed": {"limit": 1, "deny": "intern, guest"},
            "Partners": {"limit": 1, "allow": ["partner", "owner"]},
            "Applications": {"limit": 1, "levels": ["application"]},
        }
    }
    with running(document) as gate:
        tiers = gate.gateway.live.config.sections["tiers"]
        assert tiers.offered(roles, "subscription") == offered
        assert [name for name in document["tiers"] if tiers.may_choose(name, roles, "subscription")] == [
            name for name in document["tiers"] if name in offered
        ]
        assert not tiers.may_choose("Unknown", roles, "subscription")
        assert tiers.may_choose("Applications", roles, "application")


@pytest.mark.row("KC-34")
def test_a_resource_has_a_tier_for_each_method(house, clock):
    shop = api(get={"resource_tier": "Bronze"})
    with running({"gateway": house, "apis": [shop]}, clock=clock) as gate:
        first, second = (gate.request("GET", "/shop/1.0/items") for _ in range(2))
        assert first.status_code == 200
        assert refused(second) == (429, 900802, "resource-throttled")
        assert statuses(gate, 5, "/shop/1.0/items", "POST") == [200] * 5
        assert statuses(gate, 5, "/shop/1.0/orders") == [200] * 5


@pytest.mark.row("KC-34")
def test_methods_and_resources_of_one_tier_count_apart_and_a_tier_of_the_api_counts_before_it(house, clock):
    with running({"gateway": house, "apis": [api(resource_tier="Bronze")]}, clock=clock) as gate:
        for method, path in (("GET", "items"), ("POST", "items"), ("GET", "orders")):
            assert statuses(gate, 2, f"/shop/1.0/{path}", method) == [200, 429]
        gate.reload({"gateway": house, "apis": [api(api_tier="Silver", resource_tier="Bronze")]})
        assert statuses(gate, 3, "/shop/1.0/items") == [200] * 3
        assert statuses(gate, 3, "/shop/1.0/orders") == [200, 200, 429]


@pytest.mark.row("KC-34")
def test_a_tier_of_the_api_that_counts_nothing_leaves_that_of_the_resource_in_force(clock):
    throttle = {"api_tier": "Unlimited", "resource_tier": "Bronze"}
    with running({"routes": [route("orders", throttle)]}, clock=clock) as gate:
        assert statuses(gate, 2) == [200, 429]


def test_a_call_that_meets_two_steps_is_counted_once_by_each_limit(house, clock, plugins):
    known = {"App1": {"id": "s1", "tier": "Silver", "application_tier": "Gold"}}
    both = ({"throttle": {"patience": 10, **each}} for each in ({}, {"api_tier": "Gold"}))
    flow = [AUTH, {"subscriptions": {"known": known}}, *both, OK]
    document = {"gateway": house, "routes": [{"name": "orders", "match": {"path": "/orders"}, "flow": flow}]}
    with running(document, clock=clock, plugins_dir=plugins) as gate:
        assert statuses(gate, 6, **ANN) == [200] * 5 + [429]
