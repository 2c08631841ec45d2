"""Rewrite rules through the public door."""

import asyncio
import base64
import hmac
import json
import threading
import time
from types import SimpleNamespace

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from hookgate import ConfigError
from hookgate.document.catalogue import Catalogue
from hookgate.document.document import parse
from hookgate.gateway.configuration import load
from hookgate.testing import running, upstream
from hookgate_authoring.conformance import conformance
from hookgate_rewrites import Rewrites

SECRET = "a secret of more than thirty-two characters"
OWN = {"name": "own", "match": {"path": "/*"}, "flow": [{"respond": {"status": 200, "body": "own"}}]}


def gateway(backend, *rules, routes=(OWN,), **more):
    named = [{"name": f"rule {number}", **rule} for number, rule in enumerate(rules)]
    document = {
        "rewrites": named,
        "connections": {"backend": {"targets": backend.url}, "qly": {"targets": backend.url, "base_path": "/qly"}},
        "routes": list(routes),
        **more,
    }
    return running(document)


def seen(backend):
    return [f"{request.method} {request.target}" for request in backend.requests]


@pytest.fixture
def backend():
    with upstream() as there:
        yield there


@pytest.mark.row("AC-41")
def test_a_rule_rewrites_and_the_next_one_matches_what_it_left(backend):
    rules = [
        {"pattern": "^/UPPER$", "substitution": "/upper"},
        {"pattern": "^/upper$", "flags": ["P"], "connection": "backend"},
    ]
    with gateway(backend, *rules) as gate:
        assert gate.request("GET", "/UPPER").status_code == 200
        assert gate.request("GET", "/Upper").text == "own"

    assert seen(backend) == ["GET /upper"]


@pytest.mark.row("AC-41")
def test_rules_are_tried_in_order_and_fall_through_until_a_flag_ends_the_walk(backend):
    rules = [
        {"pattern": "^/a(.*)$", "substitution": "/b$1"},
        {"pattern": "^/b/x$", "flags": ["F"]},
        {"pattern": "^/b/(\\d+)$", "substitution": "https://example.org/$1?from=$0", "flags": ["R=301"]},
        {"pattern": "^/b/p", "flags": ["P"], "connection": "backend"},
        {"pattern": "^/b/p", "flags": ["F"]},
        {"pattern": "^/b", "substitution": "/c"},
    ]
    routes = [{"name": "c", "match": {"path": "/c"}, "flow": [{"respond": {"body": "c"}}]}, OWN]
    with gateway(backend, *rules, routes=routes) as gate:
        forbidden = gate.request("GET", "/a/x")
        sent = gate.request("GET", "/a/7", follow_redirects=False)
        proxied = gate.request("GET", "/a/p")
        mine = gate.request("GET", "/a/other")
        untouched = gate.request("GET", "/z/a")

    assert (forbidden.status_code, forbidden.json()["reason"]) == (403, "forbidden")
    assert (sent.status_code, sent.headers["location"]) == (301, "https://example.org/7?from=/b/7")
    assert (proxied.status_code, seen(backend)) == (200, ["GET /b/p"])
    assert (mine.text, untouched.text) == ("c", "own")


@pytest.mark.row("AC-41")
def test_a_pattern_is_looked_for_in_path_and_query(backend):
    rules = [
        {"pattern": r"^/find\?q=(\w+)$", "substitution": "/things/$1?"},
        {"pattern": r"^/old(/.*)?$", "substitution": "/new$1"},
        {"pattern": r"[?&]debug=", "flags": ["F"]},
        {"pattern": "^/(things|new|keep)", "flags": ["P"], "connection": "backend"},
    ]
    with gateway(backend, *rules) as gate:
        gate.request("GET", "/find?q=cup")
        gate.request("GET", "/old/1?page=2")
        gate.request("GET", "/keep?x=1%202")
        debug = gate.request("GET", "/keep?a=1&debug=1")
        other = gate.request("GET", "/find?q=a%20b")

    assert seen(backend) == ["GET /things/cup", "GET /new/1?page=2", "GET /keep?x=1%202"]
    assert (debug.status_code, other.text) == (403, "own")


def test_no_rule_goes_round_the_gateways_own_answers(backend):
    with gateway(backend, {"pattern": "^/to$", "substitution": "/from"}, routes=()) as gate:
        assert gate.request("GET", "/other").status_code == 404
        assert gate.request("GET", "/to").status_code == 404
        assert gate.request("GET", "/rewrite:%20rule%200").status_code == 404


@pytest.mark.row("AC-42")
def test_a_header_sends_calls_to_another_backend_and_the_others_fall_through(backend):
    rule = {
        "conditions": [{"test": "%{HEADER:environment}", "pattern": "^qly$"}],
        "pattern": "^/orders",
        "flags": ["P"],
        "connection": "qly",
    }
    with gateway(backend, rule) as gate:
        assert gate.request("GET", "/orders/1", headers={"environment": "qly"}).status_code == 200
        assert gate.request("GET", "/orders/1", headers={"Environment": "prod"}).text == "own"
        assert gate.request("GET", "/orders/1").text == "own"
        assert gate.request("GET", "/other", headers={"environment": "qly"}).text == "own"

    assert seen(backend) == ["GET /qly/orders/1"]


@pytest.mark.row("AC-42")
def test_all_conditions_must_hold_and_their_groups_can_be_put_in(backend, monkeypatch):
    monkeypatch.setenv("STAGE", "blue")
    rules = [
        {
            "conditions": [
                {"test": "%{ENV:STAGE}", "pattern": "^blue$"},
                {"test": "%{SSL:HTTPS}-%{SSL:PROTOCOL}", "pattern": "^off-$"},
                {"test": "%{HTTP:X-Beta}", "pattern": "!^no$"},
                {"test": "$1 %{OGNL:request.method}", "pattern": "^(\\w+) (GET|HEAD)$"},
            ],
            "pattern": "^/team/(\\w+)$",
            "substitution": "/%1/of/%{HTTP:Host}",
            "flags": ["P"],
            "connection": "backend",
        }
    ]
    with gateway(backend, *rules) as gate:
        gate.request("GET", "/team/red", headers={"Host": "shop.example"})
        refused = [
            gate.request("POST", "/team/red").text,
            gate.request("GET", "/team/red", headers={"X-Beta": "no"}).text,
            gate.request("GET", "/team/red-1").text,
        ]

    assert seen(backend) == ["GET /red/of/shop.example"]
    assert refused == ["own"] * 3


def octets(value):
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def token(key=SECRET, **claims):
    said = {"exp": time.time() + 600, "sub": "ann", **claims}
    text = ".".join(octets(json.dumps(each).encode()) for each in ({"alg": "HS256"}, said))
    signed = hmac.digest(key.encode(), text.encode(), "sha256")
    return {"Authorization": f"Bearer {text}.{octets(signed)}"}


def forged(**claims):
    return token("a key that nobody has given to anybody", **claims)


def identifying(*methods, **more):
    return {"pattern": "^/", "flags": ["A"], "flow": [{"auth": {"methods": list(methods), **more}}]}


JWT = {"jwt": {"secret": SECRET, "algorithms": ["HS256"]}}
BASIC = {"basic": {"users": {"joe": "a password"}, "header": "X-Basic"}}
VIP = {
    "conditions": [{"test": "%{JWT:tier}", "pattern": "^gold$"}],
    "pattern": "^/orders",
    "substitution": "/gold",
    "flags": ["P"],
    "connection": "backend",
}


@pytest.mark.row("AC-42")
def test_a_claim_of_a_token_chooses_the_backend_once_the_token_is_checked(backend):
    with gateway(backend, identifying(JWT), VIP) as gate:
        gold = gate.request("GET", "/orders", headers=token(tier="gold"))
        plain = gate.request("GET", "/orders", headers=token(tier="tin"))
        made_up = gate.request("GET", "/orders", headers=forged(tier="gold"))
        nobody = gate.request("GET", "/orders")

    assert (gold.status_code, plain.text, made_up.status_code, nobody.status_code) == (200, "own", 401, 401)
    assert seen(backend) == ["GET /gold"]


def test_a_forged_claim_beside_another_right_credential_is_refused(backend):
    right = {"X-Basic": "Basic " + base64.b64encode(b"joe:a password").decode()}
    with gateway(backend, identifying(JWT, BASIC), VIP) as gate:
        assert gate.request("GET", "/orders", headers=right).text == "own"
        assert gate.request("GET", "/orders", headers={**right, **forged(tier="gold")}).status_code == 403
        assert gate.request("GET", "/orders", headers={**right, **forged(tier="tin")}).status_code == 403

    assert not backend.requests


def test_a_claim_is_empty_where_no_rule_has_the_token_checked(backend):
    elsewhere = {**identifying(JWT), "pattern": "^/members"}
    with gateway(backend, elsewhere, VIP) as gate:
        assert gate.request("GET", "/orders", headers=forged(tier="gold")).text == "own"
        assert gate.request("GET", "/orders", headers=token(tier="gold")).text == "own"

    assert not backend.requests


@pytest.mark.row("AC-43")
def test_a_authenticates_where_it_stands_and_failure_ends_the_walk(backend):
    rules = [
        {"pattern": "^/open", "flags": ["P"], "connection": "backend"},
        identifying(JWT),
        {"pattern": "^/secret$", "flags": ["F"]},
        {"pattern": "^/away$", "substitution": "/there", "flags": ["R"]},
    ]
    with gateway(backend, *rules, routes=()) as gate:
        statuses = [
            gate.request("GET", path, headers=headers, follow_redirects=False).status_code
            for headers in ({}, token())
            for path in ("/open", "/secret", "/away", "/nowhere")
        ]

    assert statuses == [200, 401, 401, 401, 200, 403, 302, 404]


def test_a_traced_call_is_authenticated_too(backend):
    with gateway(backend, identifying(JWT), trace={"sample": 1}) as gate:
        assert gate.request("GET", "/x").status_code == 401
        assert gate.request("GET", "/x", headers=token()).text == "own"


def test_a_preflight_is_answered_by_the_route_that_the_call_would_take(backend):
    cors = [{"cors": {"allow_origins": ["https://a.example"]}}]
    route = {"name": "new", "match": {"path": "/new", "methods": ["PUT"]}, "flow": [*cors, "respond"]}
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}
    with gateway(backend, {"pattern": "^/old$", "substitution": "/new"}, routes=[route]) as gate:
        assert gate.request("OPTIONS", "/old", headers=headers).headers["access-control-allow-origin"] == (
            "https://a.example"
        )


def test_steps_of_a_rule_stand_on_both_ways(backend):
    marked = {"headers": {"response": {"set": {"X-Rule": "yes"}}}}
    rules = [
        {"pattern": "^/m", "response": [marked]},
        {"pattern": "^/mp", "flags": ["P"], "connection": "backend", "response": [marked]},
    ]
    with gateway(backend, *rules) as gate:
        found = [gate.request("GET", path).headers.get("x-rule") for path in ("/m", "/mp", "/other")]

    assert found == ["yes", "yes", None]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/go/..%2f..%2fetc", 400), ("/go/%2e%2e/x", 200), ("/redirect//evil.example", 400), ("/redirect/x", 302)],
)
def test_what_a_client_fills_in_makes_no_other_place(backend, path, status):
    rules = [
        {"pattern": "^/go/(.*)$", "substitution": "/in/$1"},
        {"pattern": "^/redirect/(.*)$", "substitution": "/$1", "flags": ["R"]},
    ]
    with gateway(backend, *rules) as gate:
        assert gate.request("GET", path, follow_redirects=False).status_code == status


def test_a_header_that_is_no_part_of_a_path_is_refused(backend):
    with gateway(backend, {"pattern": "^/h", "substitution": "/%{HEADER:X-Part}"}) as gate:
        assert gate.request("GET", "/h", headers={"X-Part": "a b"}).status_code == 400
        assert gate.request("GET", "/h", headers={"X-Part": "a#b"}).status_code == 400
        assert gate.request("GET", "/h", headers={"X-Part": "ab"}).text == "own"


def test_what_is_too_long_for_a_pattern_is_refused_and_does_not_pass_it(backend):
    with gateway(backend, {"pattern": "^/(.*)/admin/(.*)$", "flags": ["F"]}) as gate:
        began = time.monotonic()
        long = gate.request("GET", "/" + "x/admi/" * 600)
        assert time.monotonic() - began < 5
        assert gate.request("GET", "/x/admin/y").status_code == 403

    assert (long.status_code, long.json()["reason"]) == (414, "rewrite-too-long")


def test_an_expression_that_fails_lets_nobody_pass(backend):
    rule = {
        "conditions": [{"test": "%{OGNL:1 / int(request.query.n)}", "pattern": "."}],
        "pattern": "^/",
        "flags": ["F"],
    }
    with gateway(backend, rule) as gate:
        assert gate.request("GET", "/x?n=0").status_code == 500
        assert gate.request("GET", "/x?n=1").status_code == 403


def test_routes_of_rules_are_listed_and_taken_by_their_rule_only(backend):
    rule = {"name": "secret", "pattern": "^/never$", "flags": ["P"], "connection": "backend"}
    with gateway(backend, rule, routes=()) as gate:
        assert [route.name for route in gate.gateway.live.config.routes] == ["rewrite: secret"]
        assert gate.request("GET", "/").status_code == 404
        assert gate.request("PUT", "/never").status_code == 200


@pytest.mark.parametrize("lane", [True, False])
def test_bodies_pass_as_on_every_route(backend, lane):
    rule = {"pattern": "^/up$", "flags": ["P"], "connection": "backend"}
    with gateway(backend, rule, gateway={"lane": lane, "limits": {"request_body": 5}}) as gate:
        assert gate.request("POST", "/up", content=b"12345").status_code == 200
        assert gate.request("POST", "/up", content=b"123456").status_code == 413

    assert backend.requests[0].body == b"12345"


@pytest.mark.parametrize("lane", [True, False])
def test_a_websocket_follows_the_rules_too(lane):
    def echo(socket):
        for message in socket:
            socket.send(f"{socket.request.path} {message}")

    rules = [
        {"pattern": "^/CHAT$", "substitution": "/chat"},
        {"pattern": "^/chat$", "flags": ["P"], "connection": "backend"},
        {"pattern": "^/no", "flags": ["F"]},
    ]
    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        there = SimpleNamespace(url=f"http://127.0.0.1:{server.socket.getsockname()[1]}")
        with gateway(there, *rules, gateway={"lane": lane}) as gate:
            url = gate.url.replace("http", "ws")
            with connect(f"{url}/CHAT") as socket:
                socket.send("hello")
                assert socket.recv() == "/chat hello"
            with pytest.raises(InvalidStatus, match="403"):
                connect(f"{url}/no")
        server.shutdown()
        thread.join()


def problems(rule):
    text = f"rewrites:\n  - {rule}\nconnections: {{backend: {{targets: 'http://127.0.0.1:9'}}}}\n"
    with pytest.raises(ConfigError) as caught:
        asyncio.run(load(parse(text.encode(), "gateway.yaml"), Catalogue()))
    return [str(each).removeprefix("gateway.yaml:") for each in caught.value.problems]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ('{name: a, pattern: "^/(x"}', "2:24: rewrites[0].pattern: '^/(x' is not a regular expression: "),
        ('{name: a, pattern: "^/(a+)+$"}', "2:24: rewrites[0].pattern: '^/(a+)+$' could keep the gateway busy: "),
        ('{name: a, pattern: "^/", flags: [L]}', "2:38: rewrites[0].flags[0]: should be 'P', 'R'"),
        ('{name: a, pattern: "^/", flags: [P, F], connection: backend}', "2:5: rewrites[0]: flags: a rule ends in one"),
        ('{name: a, pattern: "^/", flags: [P]}', "2:5: rewrites[0]: connection: the flag P"),
        ('{name: a, pattern: "^/", connection: backend}', "2:5: rewrites[0]: connection: the flag P"),
        (
            '{name: a, pattern: "^/", flags: [P], connection: backen}',
            "2:54: rewrites[0].connection: there is no connection 'backen'; did you mean 'backend'?",
        ),
        ('{name: a, pattern: "^/", flags: [R]}', "2:5: rewrites[0]: substitution: R needs to know"),
        ('{name: a, pattern: "^/(.*)", substitution: "$1", flags: [R]}', "2:5: rewrites[0]: substitution: a redirect"),
        (
            '{name: a, pattern: "^/(.*)", substitution: "https://a.example$1", flags: [R]}',
            "2:5: rewrites[0]: substitution: a redirect",
        ),
        ('{name: a, pattern: "^/", substitution: "x"}', "2:5: rewrites[0]: substitution: a path begins with '/'"),
        ('{name: a, pattern: "^/", substitution: "/$1"}', "2:5: rewrites[0]: substitution: there is no group $1"),
        ('{name: a, pattern: "^/", substitution: "/%1"}', "2:5: rewrites[0]: substitution: there is no group %1"),
        ('{name: a, pattern: "^/", flags: [A]}', "2:5: rewrites[0]: flags: A needs a step in flow"),
        ('{name: a, pattern: "^/", flags: [F], substitution: "/x"}', "2:5: rewrites[0]: substitution: a call that"),
        (
            '{name: a, pattern: "^/", conditions: [{test: "%{JWT:x}", pattern: a}]}',
            "2:50: rewrites[0].conditions[0].test: %{JWT:…} needs a rule with the flag A above",
        ),
        (
            '{name: a, pattern: "^/", conditions: [{test: "%{REQUEST_URI}", pattern: a}]}',
            "2:50: rewrites[0].conditions[0].test: %{REQUEST_URI} is no variable; there are %{ENV:…}",
        ),
        (
            '{name: a, pattern: "^/", conditions: [{test: "%{SSL:NONE}", pattern: a}]}',
            "2:50: rewrites[0].conditions[0].test: %{SSL:NONE}: there is none of that name",
        ),
        (
            '{name: a, pattern: "^/", conditions: [{test: "%{OGNL:@a@b()}", pattern: a}]}',
            "2:50: rewrites[0].conditions[0].test: %{OGNL:@a@b()}: ",
        ),
        (
            '{name: a, pattern: "^/", conditions: [{test: "%{OGNL:identity.subject}", pattern: a}]}',
            "2:50: rewrites[0].conditions[0].test: %{OGNL:identity.subject}: nothing is known of identity",
        ),
        (
            '{name: a, pattern: "^/", conditions: [{test: "%{OGNL:request.body}", pattern: a}]}',
            "2:50: rewrites[0].conditions[0].test: %{OGNL:request.body}: rules are tried before the body",
        ),
        (
            '{name: a, pattern: "^/", conditions: [{test: "%{HTTP:x", pattern: a}]}',
            "2:50: rewrites[0].conditions[0].test: %{HTTP:x: a brace without its partner",
        ),
    ],
)
def test_mistakes_are_told_with_line_and_column(rule, told):
    (problem,) = problems(rule)

    assert problem.startswith(told)


def test_a_variable_of_the_environment_that_may_not_be_read_is_refused(monkeypatch):
    monkeypatch.setenv("HOOKGATE_ENV_ALLOW", "PUBLIC_*")
    (problem,) = problems('{name: a, pattern: "^/", conditions: [{test: "%{ENV:HOME}", pattern: a}]}')

    assert "HOOKGATE_ENV_ALLOW" in problem


def test_conformance():
    conformance(Rewrites, options={"name": "gone", "pattern": "^/gone", "flags": ["F"]})
