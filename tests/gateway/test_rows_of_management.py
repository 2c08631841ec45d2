"""Rows of API management that need no portal: handlers, keys, limits, ranges of addresses, parts that are left out."""

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
from urllib.request import urlopen

import pytest

from hookgate.testing import MovableClock, running, upstream

from .test_connections_reloaded import closed

BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
SECRET = "thirty-two bytes long, at the least"


def document(backend, *flow, lane=True, **connection):
    api = {"name": "orders", "base_path": "/orders", "flow": [*flow], "to": {"connection": "crm"}}
    return {
        "gateway": {"lane": lane, "trusted_proxies": ["127.0.0.0/8"]},
        "apis": [api],
        "connections": {"crm": {"targets": backend.url, **connection}},
    }


def statuses(gate, count, path="/orders/1", **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return [gate.request("GET", path, headers=sent).status_code for _ in range(count)]


WITHOUT = """
import importlib.metadata, runpy, sys

LEFT_OUT = {names!r}

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {{each.replace("-", "_") for each in LEFT_OUT}}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

every = importlib.metadata.distributions
importlib.metadata.distributions = lambda **how: (each for each in every(**how) if each.name not in LEFT_OUT)
sys.meta_path.insert(0, Nowhere())
sys.argv = ["hookgate", *sys.argv[1:]]
runpy.run_module("hookgate", run_name="__main__")
"""
"""Runs the command as if some distributions were not installed."""


@pytest.mark.row("KC-1")
@pytest.mark.parametrize(
    "names",
    [["hookgate-management"], ["hookgate-management", "hookgate-storage", "hookgate-openapi", "hookgate-trace"]],
    ids=["management", "several"],
)
def test_without_a_part_the_gateway_still_serves(names, tmp_path):
    file = tmp_path / "gateway.yaml"
    code = WITHOUT.format(names=names)
    with upstream() as backend:
        text = {**document(backend, "request-id"), "gateway": {"listen": ["127.0.0.1:0"], "lame_duck": 0}}
        file.write_text(json.dumps(text))
        listed = subprocess.run(
            [sys.executable, "-c", code, "plugins", "--json"], capture_output=True, text=True, check=True
        )
        with subprocess.Popen(
            [sys.executable, "-c", code, "serve", file], stderr=subprocess.PIPE, text=True
        ) as gateway:
            said = ""
            try:
                while not (url := re.search(r"hookgate serves (\S+)", said)):
                    line = gateway.stderr.readline()
                    assert line, f"the gateway ended before it listened:\n{said[-2000:]}"
                    said += line
                with urlopen(f"{url[1]}/orders/1", timeout=30) as answer:
                    assert answer.read() == b"ok"
            finally:
                gateway.terminate()
                gateway.communicate()

    assert {each["distribution"] for each in json.loads(listed.stdout)}.isdisjoint(names)


def token(subject):
    """A JSON Web Token (RFC 7515, 7519) with HS256."""
    parts = [json.dumps(each).encode() for each in ({"alg": "HS256", "typ": "JWT"}, {"sub": subject, "exp": 4e9})]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def key_manager(known):
    """Answer as an introspection endpoint does (RFC 7662)."""

    def answer(request):
        active = f"token={known}&".encode() in request.body + b"&"
        told = {"active": True, "sub": "ann"} if active else {"active": False}
        return 200, {"content-type": "application/json"}, json.dumps(told)

    return answer


@pytest.mark.row("KC-6", "KC-7")
@BOTH
def test_one_api_asks_the_key_manager_in_process_over_http_or_not_at_all(lane):
    good = token("ann")
    with upstream() as backend, upstream(key_manager(good)) as manager:
        introspection = {"introspection_endpoint": f"{manager.url}/introspect", "client_id": "c", "client_secret": "s"}
        methods = [{"bearer": {"tokens": {"ann": good}}}, {"oauth2": introspection}, {"jwt": {"secret": SECRET}}]
        found, asked = [], []
        with running(document(backend, {"auth": {"methods": methods[:1]}}, lane=lane)) as gate:
            for method in methods:
                gate.reload(document(backend, {"auth": {"methods": [method]}}, lane=lane))
                found.append([statuses(gate, 1, authorization=f"Bearer {each}") for each in (good, good[:-2], "x")])
                asked.append(len(manager.requests))
            subjects = [exchange.identity.subject for exchange in gate.wait_for_exchanges(9)[::3]]

    assert found == [[[200], [401], [401]]] * 3
    assert asked == [0, 3, 3]
    assert subjects == ["ann"] * 3


@pytest.mark.row("KC-8")
@BOTH
@pytest.mark.parametrize(("cache", "asked"), [({}, 1), ({"cache_seconds": 0}, 100)], ids=["on", "off"])
def test_the_key_manager_is_asked_once_or_for_every_call(cache, asked, lane):
    with upstream() as backend, upstream(key_manager("good")) as manager:
        method = {"introspection_endpoint": f"{manager.url}/", "client_id": "c", "client_secret": "s", **cache}
        auth = {"auth": {"methods": [{"oauth2": method}]}}
        with running(document(backend, auth, lane=lane), clock=MovableClock()) as gate:
            assert statuses(gate, 100, authorization="Bearer good") == [200] * 100

    assert len(manager.requests) == asked


@pytest.mark.row("KC-9")
@BOTH
def test_handlers_run_in_the_order_of_the_document_and_one_may_end_the_chain(lane):
    first, second = ({"headers": {"request": {"add": {"X-Order": name}}, "_": {"id": name}}} for name in "ab")
    with upstream() as backend, running(document(backend, first, second, lane=lane)) as gate:
        assert statuses(gate, 1) == [200]
        gate.reload(document(backend, second, first, lane=lane))
        assert statuses(gate, 1) == [200]
        gate.reload(document(backend, second, {"respond": {"status": 418}}, first, lane=lane))
        assert statuses(gate, 1) == [418]

    assert [request.all("x-order") for request in backend.requests] == [["a", "b"], ["b", "a"]]


@pytest.mark.row("KC-25", "KC-29")
@BOTH
def test_a_bad_token_is_refused_before_quota_and_backend(lane):
    auth = {"auth": {"methods": [{"bearer": {"tokens": {"ann": "good"}}}]}}
    with upstream() as backend:
        described = document(backend, auth, {"rate-limit": {"limit": 2, "window": "minute"}}, lane=lane)
        with running(described, clock=MovableClock()) as gate:
            assert statuses(gate, 5, authorization="Bearer bad") == [401] * 5
            assert backend.requests == []
            assert statuses(gate, 3, authorization="Bearer good") == [200, 200, 429]


@pytest.mark.row("KC-37")
@BOTH
def test_one_address_has_a_limit_of_its_own_and_each_other_one_the_limit_for_others(lane):
    limits = [
        {"rate-limit": {"limit": limit, "window": "minute", "by": "request.client", "_": {"id": name, "when": when}}}
        for name, limit, when in (
            ("listed", 1, "request.client == '10.1.1.1'"),
            ("other", 2, "request.client != '10.1.1.1'"),
        )
    ]
    with upstream() as backend, running(document(backend, *limits, lane=lane), clock=MovableClock()) as gate:
        found = {each: statuses(gate, 3, x_forwarded_for=each) for each in ("10.1.1.1", "10.9.9.9", "10.8.8.8")}

    assert found == {"10.1.1.1": [200, 429, 429], "10.9.9.9": [200, 200, 429], "10.8.8.8": [200, 200, 429]}


@pytest.mark.row("KC-38")
@BOTH
@pytest.mark.parametrize(
    ("listed", "inside", "outside"),
    [
        ("10.1.1.1 - 10.1.1.30", ["10.1.1.1", "10.1.1.30"], ["10.1.1.0", "10.1.1.31"]),
        ("10.1.1.0/27", ["10.1.1.0", "10.1.1.31"], ["10.1.0.255", "10.1.1.32"]),
        ("10.1.1.4/31", ["10.1.1.4", "10.1.1.5"], ["10.1.1.3", "10.1.1.6"]),
        ("2001:db8::1/128", ["2001:db8::1"], ["2001:db8::2"]),
    ],
)
def test_a_range_is_written_with_both_ends_or_as_a_network(listed, inside, outside, lane):
    with upstream() as backend, running(document(backend, {"ip-filter": {"allow": [listed]}}, lane=lane)) as gate:
        found = [
            {status for each in addresses for status in statuses(gate, 1, x_forwarded_for=each)}
            for addresses in (inside, outside)
        ]

    assert found == [{200}, {403}]


@pytest.mark.row("KC-59")
@BOTH
def test_an_api_that_answers_by_itself_answers_preflights(lane):
    api = {"name": "mocked", "base_path": "/m", "flow": [{"cors": {"allow_origins": ["https://a.example"]}}]}
    api["flow"].append({"respond": {"body": "by itself"}})
    asking = {"access-control-request-method": "GET"}
    with running({"gateway": {"lane": lane}, "apis": [api]}) as gate:
        listed = gate.request("OPTIONS", "/m/x", headers={"origin": "https://a.example", **asking})
        other = gate.request("OPTIONS", "/m/x", headers={"origin": "https://b.example", **asking})
        called = gate.request("GET", "/m/x", headers={"origin": "https://a.example"})

    assert (listed.status_code, listed.headers["access-control-allow-origin"]) == (204, "https://a.example")
    assert "access-control-allow-origin" not in other.headers
    assert (called.text, called.headers["access-control-allow-origin"]) == ("by itself", "https://a.example")


@pytest.mark.row("KC-22")
@BOTH
def test_one_token_of_an_application_calls_every_api_it_is_subscribed_to(lane):
    auth = {"auth": {"methods": [{"bearer": {"tokens": {"ann": {"token": "t", "application": "s1"}}}}]}}
    with upstream() as backend:
        described = document(backend, lane=lane)
        described["apis"] = [
            {
                "name": name,
                "base_path": f"/{name}",
                "flow": [auth, {"client-id": {"location": "identity"}}],
                "to": {"connection": "crm"},
            }
            for name in ("orders", "items", "bills")
        ]
        described["plans"] = {"gold": {}, "free": {}}
        described["applications"] = {"shop": {"client_ids": ["s1"], "plans": {"orders": "gold", "items": "free"}}}
        with running(described) as gate:
            found = [
                statuses(gate, 1, f"/{each}/1", authorization="Bearer t")[0] for each in ("orders", "items", "bills")
            ]
            plans = [exchange.plan for exchange in gate.wait_for_exchanges(3)]

    assert found == [200, 200, 403]
    assert plans[:2] == ["gold", "free"]


@pytest.mark.row("KC-68")
@BOTH
@pytest.mark.parametrize(
    ("codes", "dead", "busy"),
    [(["connect-failed"], 200, 503), ([503], 502, 200), (["connect-failed", 503], 200, 200), (["timeout"], 502, 503)],
)
def test_the_same_call_fails_over_on_the_codes_that_are_listed(codes, dead, busy, lane):
    rules = {"max_tries": 2, "balancer": "failover", "retry": {"on": codes}}
    with closed() as nobody, upstream(lambda request: (503, {}, "")) as sick, upstream() as second:
        found = []
        for first in (nobody, sick.url):
            described = document(second, lane=lane, **rules)
            described["connections"]["crm"]["targets"] = [first, second.url]
            with running(described) as gate:
                found += statuses(gate, 1)

    assert found == [dead, busy]
    assert len(second.requests) == found.count(200)
