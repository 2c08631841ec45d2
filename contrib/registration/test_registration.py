"""Backends that register themselves, through the public door."""

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.utils import formatdate

import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream
from hookgate_authoring.conformance import conformance
from hookgate_registration import Registered, RegisterHost, Registration

KEY = "a key of joe, long enough for all of this"
KEYS = {"joe": {"algorithm": "hmac-sha256", "secret": KEY, "roles": ["google"]}}
BASIC = {"basic": {"users": {"joe": "a password", "eve": "another one"}, "roles": {"joe": ["google", "fixed"]}}}
HOSTS = "/api/http/google/hosts"
NAME = "REGISTER HOST TO LOAD BALANCER"


@contextmanager
def gateway(tmp_path, discovery="registered", google=None, **registration):
    document = {
        "gateway": {"state": {"sqlite": {"path": str(tmp_path / "state.db")}}},
        "management": {"apps": ["connections"]},
        "connections": {
            "google": {"discovery": discovery, **(google or {})},
            "bing": {"discovery": "registered"},
            "fixed": {"targets": "http://127.0.0.1:9"},
        },
        "routes": [
            {"name": name, "match": {"path": f"/{name}"}, "to": {"connection": name}}
            for name in ("google", "bing", "fixed")
        ],
        "registration": registration,
    }
    with running(document) as gate:
        yield gate


def signed(gate, method, path, said=None, key=KEY):
    body = b"" if said is None else json.dumps(said).encode()
    host = gate.url.removeprefix("http://")
    headers = {"Host": host, "Date": formatdate(usegmt=True)}
    covered = {"(request-target)": f"{method.lower()} {path}", "host": host, "date": headers["Date"]}
    if body:
        covered["digest"] = headers["Digest"] = f"SHA-256={base64.b64encode(hashlib.sha256(body).digest()).decode()}"
    text = "\n".join(f"{name}: {value}" for name, value in covered.items())
    signature = base64.b64encode(hmac.digest(key.encode(), text.encode(), "sha256")).decode()
    headers["Authorization"] = (
        f'Signature keyId="joe",algorithm="hs2019",headers="{" ".join(covered)}",signature="{signature}"'
    )
    return gate.request(method, path, headers=headers, content=body)


def by_basic(gate, method, path, said=None, user="joe:a password"):
    headers = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
    content = said if isinstance(said, bytes) else b"" if said is None else json.dumps(said).encode()
    return gate.request(method, path, headers=headers, content=content)


def until(true, seconds=30):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)  # there is no event to wait for from outside


def listed(gate, name="google"):
    return [(t.url, t.weight, t.active) for t in gate.gateway.connection(name).targets]


@pytest.mark.row("AC-35")
def test_a_host_registers_itself_and_receives_traffic(tmp_path):
    at_once = {"registered": {"every": 60}}
    with upstream() as backend, gateway(tmp_path, at_once, keys=KEYS) as gate:
        assert gate.request("GET", "/google").status_code == 503
        new = signed(gate, "POST", f"{HOSTS}/register", {"endpoint": backend.url, "active": True, "weight": 1})
        until(lambda: gate.request("GET", "/google").status_code == 200)
        again = signed(gate, "POST", f"{HOSTS}/register", {"endpoint": backend.url + "/", "weight": 3})
        until(lambda: listed(gate) == [(backend.url, 3, True)])
        off = signed(gate, "POST", f"{HOSTS}/register", {"endpoint": backend.url, "active": False})
        until(lambda: listed(gate) == [(backend.url, 1, False)])

    assert (new.status_code, again.status_code, off.status_code) == (201, 200, 200)
    assert new.json() == {**new.json(), "endpoint": backend.url, "active": True, "weight": 1, "lease": None}
    assert new.json()["id"] == again.json()["id"]


@pytest.mark.row("AC-35")
@pytest.mark.parametrize(
    ("said", "status", "told"),
    [
        ({"endpoint": "http://a.example/path"}, 422, "endpoint: an endpoint is"),
        ({"endpoint": "ftp://a.example"}, 422, "endpoint"),
        ({"endpoint": "http://joe@a.example"}, 422, "endpoint"),
        ({"endpoint": "http://a.example:70000"}, 422, "endpoint: 70000 is no port"),
        ({"endpoint": "http://a.example", "weight": -1}, 422, "weight"),
        ({"endpoint": "http://a.example", "weight": "1"}, 422, "weight"),
        ({"endpoint": "http://a.example", "active": 1}, 422, "active"),
        ({"endpoint": "http://a.example", "wight": 1}, 422, "wight"),
        ({"weight": 1}, 422, "endpoint"),
        ([], 422, ""),
        (b"{", 400, ""),
        (b"", 400, ""),
        (b"[" * 60000, 400, ""),
        (b"\xff", 400, ""),
        (b" " * 70000, 413, ""),
    ],
)
def test_what_is_no_host_is_refused_and_nothing_is_kept(tmp_path, said, status, told):
    with gateway(tmp_path, profile=BASIC) as gate:
        answer = by_basic(gate, "POST", f"{HOSTS}/register", said)
        assert answer.status_code == status
        assert answer.json().get("detail", "").startswith(told)
        assert listed(gate) == []


@pytest.mark.row("AC-35")
def test_a_connection_that_is_not_there_is_404_and_one_with_targets_of_its_own_409(tmp_path):
    host = {"endpoint": "http://a.example"}
    with gateway(tmp_path, profile=BASIC) as gate:
        assert by_basic(gate, "POST", "/api/http/nothing/hosts/register", host).status_code == 404
        fixed = by_basic(gate, "POST", "/api/http/fixed/hosts/register", host)
        assert (fixed.status_code, "discovery: registered" in fixed.json()["detail"]) == (409, True)
        assert listed(gate, "fixed") == [("http://127.0.0.1:9", 1, True)]


@pytest.mark.row("AC-36")
def test_registration_is_a_route_like_any_other_signed_unless_the_profile_is_swapped(tmp_path):
    host = {"endpoint": "http://127.0.0.1:9"}
    with gateway(tmp_path, keys=KEYS) as gate:
        assert NAME in [route.name for route in gate.gateway.live.config.routes]
        assert gate.request("POST", f"{HOSTS}/register", json=host).status_code == 401
        assert (
            signed(gate, "POST", f"{HOSTS}/register", host, key="another key, as long as that of joe").status_code
            == 401
        )
        assert by_basic(gate, "POST", f"{HOSTS}/register", host).status_code == 401
        assert signed(gate, "POST", f"{HOSTS}/register", host).status_code == 201
    with gateway(tmp_path, profile=BASIC, path="/lb/{connection}") as gate:
        assert gate.request("POST", "/lb/google/register", json=host).status_code == 401
        assert signed(gate, "POST", "/lb/google/register", host).status_code == 401
        assert by_basic(gate, "POST", "/lb/google/register", host).status_code == 200
        assert by_basic(gate, "POST", f"{HOSTS}/register", host).status_code == 404
    with gateway(tmp_path, enabled=False) as gate:
        assert by_basic(gate, "POST", f"{HOSTS}/register", host).status_code == 404


@pytest.mark.row("AC-36")
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_after_the_profile_is_basic_curl_with_user_and_password_works(tmp_path):
    with gateway(tmp_path, profile=BASIC) as gate:
        data = '{"endpoint": "https://google.fr", "active": true, "weight": 1}'
        command = ["curl", "-s", "-o", "-", "-w", " %{http_code}", "-u", "joe:a password", "-d", data]
        ran = subprocess.run([*command, gate.url + f"{HOSTS}/register"], capture_output=True, text=True, check=True)
        assert ran.stdout.endswith(" 201")
        until(lambda: listed(gate) == [("https://google.fr", 1, True)])


@pytest.mark.row("AC-37")
def test_the_caller_needs_the_role_that_is_named_like_the_connection(tmp_path):
    host = {"endpoint": "http://127.0.0.1:9"}
    with gateway(tmp_path, keys=KEYS) as gate:
        assert signed(gate, "POST", f"{HOSTS}/register", host).status_code == 201
        assert signed(gate, "POST", "/api/http/bing/hosts/register", host).status_code == 403
        assert gate.request("POST", "/api/http/bing/hosts/register", json=host).status_code == 401
        assert listed(gate, "bing") == []
    with gateway(tmp_path, profile=BASIC) as gate:
        assert by_basic(gate, "DELETE", f"{HOSTS}/0", user="eve:another one").status_code == 403


@pytest.mark.row("AC-38")
def test_a_host_leaves_by_endpoint_or_by_id_and_running_calls_finish(tmp_path):
    arrived, released = threading.Event(), threading.Event()

    def slow(request):
        arrived.set()
        released.wait(60)
        return 200, {}, b"done"

    with (
        upstream(slow) as first,
        upstream() as second,
        ThreadPoolExecutor() as pool,
        gateway(tmp_path, keys=KEYS) as gate,
    ):
        signed(gate, "POST", f"{HOSTS}/register", {"endpoint": first.url})
        until(lambda: listed(gate) == [(first.url, 1, True)])
        call = pool.submit(gate.request, "GET", "/google")
        assert arrived.wait(30)
        second_id = signed(gate, "POST", f"{HOSTS}/register", {"endpoint": second.url}).json()["id"]
        until(lambda: len(listed(gate)) == 2)
        assert signed(gate, "POST", f"{HOSTS}/unregister", {"endpoint": first.url}).status_code == 204
        until(lambda: listed(gate) == [(second.url, 1, True)])
        assert gate.request("GET", "/google").status_code == 200
        assert not call.done()
        released.set()
        assert call.result(30).text == "done"
        assert signed(gate, "POST", f"{HOSTS}/unregister", {"endpoint": first.url}).status_code == 404
        assert signed(gate, "DELETE", f"{HOSTS}/{second_id}").status_code == 204
        until(lambda: gate.request("GET", "/google").status_code == 503)
        assert signed(gate, "DELETE", f"{HOSTS}/{second_id}").status_code == 404
        assert signed(gate, "DELETE", f"{HOSTS}/{'x' * 3000}").status_code == 404


def test_when_the_last_host_has_left_calls_get_503_and_it_is_listed_as_inactive(tmp_path):
    with upstream() as backend, gateway(tmp_path, keys=KEYS) as gate:
        signed(gate, "POST", f"{HOSTS}/register", {"endpoint": backend.url})
        until(lambda: gate.request("GET", "/google").status_code == 200)
        assert signed(gate, "POST", f"{HOSTS}/unregister", {"endpoint": backend.url}).status_code == 204
        until(lambda: listed(gate) == [(backend.url, 1, False)])
        refused = gate.request("GET", "/google")
        assert (refused.status_code, refused.headers["x-hookgate-reason"]) == (503, "no-active-target")
        shown = gate.request("GET", f"{gate.management}/-/connections/google").json()["targets"]
        assert [(each["url"], each["active"]) for each in shown] == [(backend.url, False)]
        signed(gate, "POST", f"{HOSTS}/register", {"endpoint": backend.url})
        until(lambda: gate.request("GET", "/google").status_code == 200)


CHECKED = {
    "monitor": {"http": {"path": "/health", "interval": 0.05, "at_most": 0.05}},
    "slow_start": 3600,
    "balancer": "weighted-round-robin",  # it counts, where others draw lots
}


def test_a_host_gets_no_call_until_a_check_finds_it_well_and_then_few_at_first(tmp_path):
    well, checked, calls = threading.Event(), threading.Event(), []

    def cold(request):
        if request.path != "/health":
            calls.append(request.path)
        elif not well.is_set():
            checked.set()
            return 503, {}, b"cold"
        return 200, {}, b"cold"

    with (
        upstream(lambda _: (200, {}, b"warm")) as warm,
        upstream(cold) as other,
        gateway(tmp_path, {"registered": {"targets": [warm.url]}}, google=CHECKED, keys=KEYS) as gate,
    ):
        signed(gate, "POST", f"{HOSTS}/register", {"endpoint": other.url})
        assert checked.wait(30)
        assert {gate.request("GET", "/google").text for _ in range(20)} == {"warm"}
        assert calls == []
        signed(gate, "POST", f"{HOSTS}/register", {"endpoint": other.url, "weight": 1})  # a heartbeat changes nothing
        well.set()
        until(lambda: (other.url, 1, True) in listed(gate))
        got = [gate.request("GET", "/google").text for _ in range(240)]
        assert 10 <= got.count("cold") <= 13, "it has a tenth of its half in the beginning of an hour"

        # who leaves and comes back is a new host
        signed(gate, "POST", f"{HOSTS}/unregister", {"endpoint": other.url})
        until(lambda: len(listed(gate)) == 1)
        well.clear()
        signed(gate, "POST", f"{HOSTS}/register", {"endpoint": other.url})
        until(lambda: (other.url, 1, False) in listed(gate))
        assert {gate.request("GET", "/google").text for _ in range(20)} == {"warm"}


def test_the_last_host_that_comes_back_waits_for_a_check_again_and_without_a_gate_nobody_waits(tmp_path):
    well, checked = threading.Event(), threading.Event()
    well.set()

    def some(request):
        if request.path == "/health" and not well.is_set():
            checked.set()
            return 503, {}, b""
        return 200, {}, b""

    with upstream(some) as only, gateway(tmp_path, google=CHECKED, keys=KEYS) as gate:
        signed(gate, "POST", f"{HOSTS}/register", {"endpoint": only.url})
        until(lambda: gate.request("GET", "/google").status_code == 200)
        signed(gate, "POST", f"{HOSTS}/unregister", {"endpoint": only.url})
        until(lambda: listed(gate) == [(only.url, 1, False)])
        well.clear()
        signed(gate, "POST", f"{HOSTS}/register", {"endpoint": only.url})
        assert checked.wait(30)
        assert gate.request("GET", "/google").status_code == 503
        well.set()
        until(lambda: gate.request("GET", "/google").status_code == 200)
        well.clear()
    open_gate = {"registered": {"gate": False}}
    (tmp_path / "state.db").unlink()
    with upstream(some) as only, gateway(tmp_path, open_gate, google=CHECKED, keys=KEYS) as gate:
        signed(gate, "POST", f"{HOSTS}/register", {"endpoint": only.url})
        until(lambda: listed(gate) == [(only.url, 1, True)])


@pytest.mark.row("AC-38")
def test_a_host_that_does_not_come_back_in_time_is_taken_out(tmp_path):
    with gateway(tmp_path, {"registered": {"every": 0.1}}, keys=KEYS, lease=3) as gate:
        assert signed(gate, "POST", f"{HOSTS}/register", {"endpoint": "http://127.0.0.1:9"}).json()["lease"] == 3
        assert signed(gate, "POST", f"{HOSTS}/register", {"endpoint": "http://127.0.0.1:10"}).status_code == 201
        until(lambda: len(listed(gate)) == 2)
        began = time.monotonic()
        while time.monotonic() < began + 4:
            assert signed(gate, "POST", f"{HOSTS}/register", {"endpoint": "http://127.0.0.1:9"}).status_code == 200
            time.sleep(0.2)  # the lease of the other one runs out
        until(lambda: listed(gate) == [("http://127.0.0.1:9", 1, True)])


def test_hosts_are_there_after_a_restart_and_at_another_gateway(tmp_path):
    with upstream() as backend:
        with (
            gateway(tmp_path, keys=KEYS) as gate,
            gateway(tmp_path, {"registered": {"every": 0.1}}, keys=KEYS) as other,
        ):
            signed(gate, "POST", f"{HOSTS}/register", {"endpoint": backend.url})
            until(lambda: other.request("GET", "/google").status_code == 200)
        with gateway(tmp_path, keys=KEYS) as gate:
            assert gate.request("GET", "/google").status_code == 200


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({}, "registration: write who may register"),
        ({"keys": KEYS, "profile": "x"}, "registration: write who may register"),
        ({"profile": "nobody"}, "registration.profile"),
        ({"keys": {"joe": {"algorithm": "nonsense"}}}, "registration.keys"),
        ({"keys": KEYS, "path": "/x"}, "registration.path"),
    ],
)
def test_mistakes_are_told_at_the_section(tmp_path, written, told):
    with pytest.raises(ConfigError) as caught, gateway(tmp_path, **written):
        pass

    assert any(told in str(each) for each in caught.value.problems)


def test_conformance():
    conformance(Registration, options={"keys": KEYS})
    conformance(Registered, options={})
    conformance(RegisterHost, options={})
