"""What the step `throttle` lets through, over lane and edge, counted in the process and in a database."""

import itertools
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from hookgate import ConfigError
from hookgate.testing import MovableClock, postgresql, running, upstream

MINUTE = 1_700_000_040.0
"""Unix time at which a minute begins, an hour does not."""
_days = itertools.count()

SUBSCRIPTIONS = '''
"""Looks subscriptions up as the step of that name does, in a table of the test."""
from hookgate import Exchange, Interceptor, Options, hookimpl

class SubscriptionsOptions(Options):
    known: dict[str, dict[str, str]]
    """What is known, by application."""

class Subscriptions(Interceptor[SubscriptionsOptions]):
    name = "subscriptions"
    writes = {"variables"}

    @hookimpl
    def on_request(self, exchange: Exchange) -> None:
        found = self.options.known.get(exchange.identity.application or "")
        if found is not None:
            exchange.variables["subscription"] = {"application": exchange.identity.application, **found}
'''
BOB, ANN, EVE = ({"authorization": f"Bearer token-of-{name}"} for name in ("bob", "ann", "eve"))


@pytest.fixture(scope="session")
def url():
    with postgresql() as url:
        yield url


@pytest.fixture(params=["lane", "edge", "edge and database"])
def house(request):
    """What the document says of the gateway. Each test has a day of its own, so that none counts with another."""
    gateway = {"lane": request.param.startswith("lane"), "trusted_proxies": ["127.0.0.0/8"]}
    if "database" in request.param:
        gateway["counters"] = {"postgresql": {"url": request.getfixturevalue("url"), "patience": 10}}
    return gateway


@pytest.fixture
def clock():
    return MovableClock(MINUTE + 86_400 * next(_days))


@pytest.fixture(scope="session")
def plugins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "subscriptions.py").write_text(SUBSCRIPTIONS)
    return folder


AUTH = {
    "auth": {
        "methods": [
            {
                "bearer": {
                    "tokens": {
                        "ann": {"token": "token-of-ann", "application": "App1"},
                        "bob": {"token": "token-of-bob", "application": "App1"},
                        "eve": {"token": "token-of-eve", "application": "App2"},
                    }
                }
            }
        ]
    }
}
OK = {"respond": {"body": "ok"}}


def route(name, throttle, *before, last=OK):
    patient = {"patience": 10, **throttle}  # on a busy machine a database takes longer than half a second
    return {"name": name, "match": {"path": f"/{name}"}, "flow": [*before, {"throttle": patient}, last]}


def statuses(gate, count, path="/orders", method="GET", **headers):
    return [gate.request(method, path, headers=headers).status_code for _ in range(count)]


def refused(answer):
    said = answer.json()
    return answer.status_code, said["code"], said["reason"]


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


def api(name="shop", get=None, **said):
    return {
        "name": name,
        "version": "1.0",
        "base_path": f"/{name}",
        "flow": [{"throttle": {"_": {"id": f"{name}-limits"}, **said}}, OK],
        "resources": [
            {
                "path": "/items",
                "operations": {"GET": {"overrides": {f"{name}-limits": get or {}}}, "POST": {}},
            },
            {"path": "/orders", "operations": {"GET": {}}},
        ],
    }


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
    flow = [AUTH, {"subscriptions": {"known": known}}, {"throttle": {}}, {"throttle": {"api_tier": "Gold"}}, OK]
    document = {"gateway": house, "routes": [{"name": "orders", "match": {"path": "/orders"}, "flow": flow}]}
    with running(document, clock=clock, plugins_dir=plugins) as gate:
        assert statuses(gate, 6, **ANN) == [200] * 5 + [429]


def told_address(address):
    return {"x-forwarded-for": address}


@pytest.mark.row("KC-37")
def test_an_address_has_the_limit_of_its_line_and_every_other_one_its_own(house, clock):
    policy = [
        {"address": "10.1.1.1", "limit": 1, "window": "60000ms"},
        {"address": "other", "limit": 2, "window": "60000ms"},
    ]
    with running({"gateway": house, "routes": [route("orders", {"addresses": policy})]}, clock=clock) as gate:
        assert statuses(gate, 2, **told_address("10.1.1.1")) == [200, 429]
        assert statuses(gate, 3, **told_address("10.9.9.9")) == [200, 200, 429]
        assert statuses(gate, 2, **told_address("10.8.8.8")) == [200, 200]


@pytest.mark.row("KC-37")
def test_only_a_trusted_proxy_says_who_the_client_is_and_whom_nobody_can_tell_is_refused(house, clock):
    policy = {"addresses": [{"address": "127.0.0.1", "limit": 1}]}
    routes = [route("orders", policy)]
    with running({"gateway": {**house, "trusted_proxies": []}, "routes": routes}, clock=clock) as gate:
        assert statuses(gate, 1, **told_address("10.1.1.1")) == [200]
        assert statuses(gate, 1, **told_address("10.1.1.2")) == [429]
    with running({"gateway": house, "routes": routes}, clock=clock) as gate:
        nobody = gate.request("GET", "/orders", headers={"forwarded": "for=_hidden"})
        assert (nobody.status_code, nobody.json()["reason"]) == (403, "address-unknown")


@pytest.mark.row("KC-38")
@pytest.mark.parametrize(
    ("written", "inside", "outside"),
    [
        ("10.1.1.1 - 10.1.1.30", ["10.1.1.1", "10.1.1.30"], ["10.1.1.0", "10.1.1.31"]),
        ("10.1.1.1-10.1.1.30", ["10.1.1.15"], ["10.1.1.31"]),
        ("10.1.1.1/27", ["10.1.1.1", "10.1.1.30", "10.1.1.31"], ["10.1.1.32", "10.1.0.255"]),
        ("10.1.1.1/24", ["10.1.1.255"], ["10.1.2.0"]),
        ("10.1.1.8/31", ["10.1.1.8", "10.1.1.9"], ["10.1.1.7", "10.1.1.10"]),
        ("10.1.1.8/32", ["10.1.1.8"], ["10.1.1.9"]),
        ("::ffff:10.1.1.8", ["10.1.1.8"], ["10.1.1.9"]),
        ("2001:db8:1::/48", ["2001:db8:1::1", "2001:db8:1:ffff::1"], ["2001:db8:2::1"]),
        ("2001:db8::1 - 2001:db8::9", ["2001:db8::9"], ["2001:db8::a"]),
    ],
)
def test_ranges_and_networks_have_all_their_addresses_and_each_counts_on_its_own(clock, written, inside, outside):
    gateway = {"trusted_proxies": ["127.0.0.0/8"]}
    policy = {"addresses": [{"address": written, "limit": 1}], "ipv6_prefix": 128}
    with running({"gateway": gateway, "routes": [route("orders", policy)]}, clock=clock) as gate:
        for address in inside:
            assert statuses(gate, 2, **told_address(address)) == [200, 429], address
        for address in outside:
            assert statuses(gate, 2, **told_address(address)) == [200, 200], address


@pytest.mark.row("KC-38")
def test_who_has_a_network_of_ipv6_is_counted_once_and_the_first_line_counts(clock):
    gateway = {"trusted_proxies": ["127.0.0.0/8"]}
    lines = [
        {"address": "2001:db8:1::/48", "limit": 2},
        {"address": "2001:db8::/32", "limit": 1},
        {"address": "other", "limit": 3},
    ]
    with running({"gateway": gateway, "routes": [route("orders", {"addresses": lines})]}, clock=clock) as gate:
        one = [
            gate.request("GET", "/orders", headers=told_address(f"2001:db8:1::{n}")).status_code for n in range(1, 4)
        ]
        assert one == [200, 200, 429]
        assert statuses(gate, 2, **told_address("2001:db8:1:1::1")) == [200, 200]
        assert statuses(gate, 2, **told_address("2001:db8:2::1")) == [200, 429]
        assert statuses(gate, 4, **told_address("192.0.2.1")) == [200, 200, 200, 429]


@pytest.mark.row("KC-40")
def test_of_eleven_calls_in_a_second_the_last_is_refused_though_a_thousand_a_day_are_left(house, clock):
    tiers = {"Plenty": {"limit": 1000, "window": "day", "burst": {"limit": 10, "window": "second"}}}
    throttle = {"subscription": {"by": "identity.application", "tier": "'Plenty'"}}
    document = {"gateway": house, "tiers": tiers, "routes": [route("orders", throttle, AUTH)]}
    with running(document, clock=clock) as gate:
        found = []
        for _ in range(11):
            found.append(gate.request("GET", "/orders", headers=ANN))
            gate.run(clock.advance(0.08))
        assert [answer.status_code for answer in found] == [200] * 10 + [429]
        assert refused(found[-1]) == (429, 900807, "burst-throttled")
        assert found[-1].headers["retry-after"] == "1"
        assert statuses(gate, 1, **EVE) == [200]
        gate.run(clock.advance(1))
        assert statuses(gate, 11, **ANN) == [200] * 10 + [429]


CONDITIONS = [
    {"name": "header", "when": "request.headers['x-device'] == 'phone'", "limit": 1},
    {"name": "query", "when": "request.query['kind'] == 'report'", "limit": 2},
    {"name": "claim", "when": "identity.application == 'App2'", "limit": 3, "by": "identity.subject"},
    {"name": "address", "addresses": ["10.1.1.1/27"], "limit": 4},
]


@pytest.mark.row("KC-41")
@pytest.mark.parametrize(
    ("call", "limit", "other"),
    [
        ({"headers": {**ANN, "x-device": "phone"}}, 1, {"headers": {**ANN, "x-device": "desk"}}),
        ({"headers": ANN, "params": {"kind": "report"}}, 2, {"headers": ANN, "params": {"kind": "list"}}),
        ({"headers": EVE}, 3, {"headers": ANN}),
        ({"headers": {**ANN, **told_address("10.1.1.9")}}, 4, {"headers": {**ANN, **told_address("10.1.1.99")}}),
    ],
)
def test_a_condition_on_header_query_identity_or_address_has_a_limit_of_its_own(house, clock, call, limit, other):
    document = {"gateway": house, "routes": [route("orders", {"conditions": CONDITIONS}, AUTH)]}
    with running(document, clock=clock) as gate:
        answers = [gate.request("GET", "/orders", **call) for _ in range(limit + 1)]
        assert [answer.status_code for answer in answers] == [200] * limit + [429]
        assert refused(answers[-1]) == (429, 900806, "condition-throttled")
        assert [gate.request("GET", "/orders", **other).status_code for _ in range(6)] == [200] * 6


@pytest.mark.row("KC-41")
def test_conditions_on_claims_of_a_token(clock):
    from joserfc import jwt
    from joserfc.jwk import OctKey

    secret = "a secret of this test, longer than 32 bytes"

    def sign(**claims):
        return jwt.encode({"alg": "HS256"}, {"sub": "ann", "exp": 4e9, **claims}, OctKey.import_key(secret))

    auth = {"auth": {"methods": [{"jwt": {"secret": secret}}]}}
    condition = {"name": "free plan", "when": "identity.claims['plan'] == 'free'", "limit": 1}
    with running({"routes": [route("orders", {"conditions": [condition]}, auth)]}, clock=clock) as gate:
        assert statuses(gate, 2, authorization=f"Bearer {sign(plan='free')}") == [200, 429]
        assert statuses(gate, 3, authorization=f"Bearer {sign(plan='paid')}") == [200] * 3


@pytest.mark.row("KC-41")
def test_a_backend_gets_no_more_than_its_limit_from_all_callers_together(house, clock):
    with upstream() as backend:
        step = {"throttle": {"backend": {"limit": 3, "window": "second"}, "api_tier": "Gold"}}
        document = {
            "gateway": house,
            "routes": [
                {"name": "orders", "match": {"path": "/orders"}, "flow": [AUTH, step], "to": {"connection": "crm"}}
            ],
            "connections": {"crm": {"targets": backend.url}},
        }
        with running(document, clock=clock) as gate:
            assert statuses(gate, 2, **ANN) == [200, 200]
            assert statuses(gate, 1, **EVE) == [200]
            over = gate.request("GET", "/orders", headers=BOB)
            assert refused(over) == (503, 900801, "backend-throttled")
            assert over.headers["retry-after"] == "1"
            assert len(backend.requests) == 3


@pytest.mark.row("KC-41")
@pytest.mark.parametrize(
    ("block", "kept_out", "let_in"),
    [
        ({"user": "ann"}, ("/orders", ANN), ("/orders", BOB)),
        ({"application": "App1"}, ("/orders", BOB), ("/orders", EVE)),
        (
            {"address": "10.1.1.1 - 10.1.1.30"},
            ("/orders", {**ANN, **told_address("10.1.1.30")}),
            ("/orders", {**ANN, **told_address("10.1.1.31")}),
        ),
        ({"address": "2001:db8::/32"}, ("/orders", {**ANN, **told_address("2001:db8::7")}), ("/orders", ANN)),
        ({"context": "/orders"}, ("/orders", ANN), ("/orders2", ANN)),
        ({"context": "/"}, ("/orders", ANN), None),
    ],
)
def test_what_is_blocked_is_refused_at_once_and_uses_nothing_up(house, clock, block, kept_out, let_in):
    routes = [route("orders", {"api_tier": "Silver"}, AUTH), route("orders2", {}, AUTH)]
    document = {"gateway": house, "routes": routes}
    with running(document, clock=clock) as gate:
        assert statuses(gate, 1, kept_out[0], **kept_out[1]) == [200]
        gate.reload({**document, "blocks": {"for now": block}})
        answers = [gate.request("GET", kept_out[0], headers=kept_out[1]) for _ in range(9)]
        assert {refused(answer) for answer in answers} == {(429, 900805, "blocked")}
        assert "retry-after" not in answers[0].headers
        if let_in is not None:
            assert statuses(gate, 1, let_in[0], **let_in[1]) == [200]
        gate.reload(document)
        assert gate.request("GET", "/orders", headers=ANN).headers["ratelimit-remaining"] in "32"


@pytest.mark.row("KC-41")
def test_a_context_is_blocked_with_all_that_is_below_it_and_whole_segments_count(clock):
    shop, shopping = ({**api(name), "version": version} for name, version in (("shop", "1.0"), ("shopping", "1.0")))
    two = {**api("shop2"), "base_path": "/shop", "version": "2.0"}
    blocks = {"a": {"context": "/shop/1.0"}}
    with running({"apis": [shop, shopping, two], "blocks": blocks}, clock=clock) as gate:
        paths = ("/shop/1.0/items", "/shop/2.0/items", "/shopping/1.0/items", "/shop/%31.0/items")
        assert [gate.request("GET", path).status_code for path in paths] == [429, 200, 200, 429]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({}, "write one of user, address, application and context"),
        ({"user": "ann", "context": "/a"}, "write one of user, address, application and context"),
        ({"user": ""}, "blocks.x.user"),
        ({"address": "10.1.1"}, "'10.1.1' is no IP address"),
        ({"address": "10.1.1.1/99"}, "is no network"),
        ({"address": "10.1.1.9 - 10.1.1.1"}, "the range ends before it begins"),
        ({"context": "orders"}, "is no context"),
        ({"context": "/orders/"}, "is no context"),
    ],
)
def test_a_block_that_makes_no_sense_is_refused_at_load(block, message):
    with pytest.raises(ConfigError) as raised, running({"blocks": {"x": block}}):
        pass
    assert message in str(raised.value)


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
    throttle = {"api_tier": "Bronze", "patience": "50ms", "when_store_fails": "local"}
    document = {"gateway": {"counters": "hanging"}, "routes": [route("orders", throttle)]}
    with running(document, clock=clock, plugins_dir=tmp_path) as gate:
        assert statuses(gate, 3) == [200, 429, 429]
        metrics = sum("no answer within 0.05 s" in record.getMessage() for record in gate.log)
        assert metrics == 1
        [store] = {type(each) for each in gate.gateway.live.config.instances.values() if each.entry.name == "hanging"}
        store.works = True
        assert statuses(gate, 1) == [429]
        gate.run(clock.advance(1.1))
        assert statuses(gate, 3) == [200] * 3
        assert any("answer again" in record.getMessage() for record in gate.log)
        assert "cannot be asked" not in json.dumps(gate.gateway.status())
