"""Limits by address, burst, condition and backend, and lists of who is blocked."""

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream

from .limited import ANN, AUTH, BOB, EVE, api, refused, route, statuses


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
        step = {"throttle": {"patience": 10, "backend": {"limit": 3, "window": "second"}, "api_tier": "Gold"}}
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
