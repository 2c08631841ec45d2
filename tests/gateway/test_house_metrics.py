"""What the gateway tells of itself in metrics: connections, pools, waiting, retries, ejections, circuits, refusals,
certificates, reloads, lost lines and traces, tokens, the process."""

import asyncio
import re
import socket
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest

from hookgate import ConfigError
from hookgate.testing import running, upstream

from .authority import Authority, needs_openssl
from .tlsbackend import tls_backend

SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'\w+="([^"]*)"')
BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])


def scrape(gate):
    """Return all samples by name and values of labels; none may be there twice."""
    page = httpx.get(f"{gate.management}/-/metrics", trust_env=False).text
    found = [((name, *LABEL.findall(labels)), float(value)) for name, labels, value in SAMPLE.findall(page)]
    assert max(Counter(key for key, _ in found).values()) == 1
    return dict(found)


def document(*targets, gateway=None, flow=(), **connection):
    return {
        "gateway": {"observers": ["prometheus"], **(gateway or {})},
        "management": {"apps": ["prometheus", "health"]},
        "routes": [{"name": "all", "match": {"path": "/{rest...}"}, "flow": list(flow), "to": {"connection": "crm"}}],
        "connections": {"crm": {"targets": list(targets), **connection}},
    }


def closed_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{bound.getsockname()[1]}"


@BOTH
def test_retries_ejections_circuits_waiting_and_pools_are_told(lane):
    gone = closed_port()
    breaker = {"circuit-breaker": {"failures": 2, "open_for": 3600}}
    with upstream() as backend:
        written = document(
            gone,
            backend.url,
            gateway={"lane": lane},
            max_tries=2,
            balancer="weighted-round-robin",
            monitor=breaker,
            pool={"max_connections": 9},
        )
        with running(written) as gate:
            assert {gate.request("GET", "/").status_code for _ in range(6)} == {200}
            gate.wait_for_exchanges(6)
            samples = scrape(gate)

    assert samples["hookgate_retries_total", "crm"] == 2
    assert samples["hookgate_ejections_total", "crm", gone] == 1
    assert samples["hookgate_ejections_total", "crm", backend.url] == 0
    assert samples["hookgate_circuit_breaker_opened_total", gone] == 1
    assert samples["hookgate_circuit_breaker_state", gone] == 2
    assert samples["hookgate_circuit_breaker_state", backend.url] == 0
    assert samples["hookgate_upstream_seconds_count", "crm"] == 6
    assert samples["hookgate_upstream_seconds_bucket", "crm", "+Inf"] == 6
    assert 0 < samples["hookgate_upstream_seconds_sum", "crm"] < 60
    assert samples["hookgate_pool_connections", "crm", "idle"] == 1
    assert samples["hookgate_pool_connections", "crm", "in_use"] == 0
    assert samples["hookgate_pool_waiting", "crm"] == 0
    assert samples["hookgate_pool_limit", "crm"] == 9
    assert samples["hookgate_client_connections",] >= 1


@BOTH
def test_answers_that_the_gateway_made_itself_are_told_by_their_reason(lane):
    """A 404 of a backend is none of them."""

    def answer(request):
        return (404, {}, "") if request.path == "/missing" else (200, {}, "ok")

    limit = {"rate-limit": {"limit": 3, "window": 3600}}
    with upstream(answer) as backend:
        written = document(backend.url, gateway={"lane": lane}, flow=[limit])
        written["routes"].append({"name": "lost", "match": {"path": "/lost"}, "to": {"connection": "gone"}})
        written["routes"].append({"name": "post", "match": {"path": "/post", "methods": ["POST"]}, "flow": ["respond"]})
        written["connections"]["gone"] = {"targets": closed_port()}
        with running(written) as gate:
            statuses = [gate.request("GET", path).status_code for path in ("/", "/", "/missing", "/", "/lost", "/")]
            gate.wait_for_exchanges(6)
            samples = scrape(gate)

    assert statuses == [200, 200, 404, 429, 502, 429]
    refusals = {key[1]: value for key, value in samples.items() if key[0] == "hookgate_refusals_total"}
    assert refusals == {"rate-limited": 2, "connect-refused": 1}


def test_connections_of_clients_are_told_and_those_that_were_refused():
    with upstream() as backend:
        with running(document(backend.url, gateway={"limits": {"connections": 2}})) as gate:
            place = gate.url.removeprefix("http://").split(":")
            with socket.create_connection(place) as one, socket.create_connection(place) as two:
                for each in (one, two):
                    each.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    assert each.recv(1000).startswith(b"HTTP/1.1 200")
                with socket.create_connection(place) as three:
                    three.settimeout(60)
                    assert three.recv(1) == b"" or True
                samples = scrape(gate)

    assert samples["hookgate_client_connections",] == 2
    assert samples["hookgate_client_connections_refused_total", "connections"] == 1


def test_the_last_reload_is_told_and_one_that_failed():
    with upstream() as backend, running(document(backend.url)) as gate:
        before = scrape(gate)
        with pytest.raises(ConfigError):
            gate.reload({**document(backend.url), "routs": []})
        refused = scrape(gate)
        gate.reload(document(backend.url, max_tries=2))
        after = scrape(gate)

    name, when = "hookgate_config_last_reload_successful", "hookgate_config_last_reload_success_timestamp_seconds"
    assert [each[name,] for each in (before, refused, after)] == [1, 0, 1]
    assert before[when,] == refused[when,] <= after[when,] <= time.time() + 1
    assert [each["hookgate_problems",] > 0 for each in (before, refused, after)] == [False, True, False]


@needs_openssl
def test_the_ends_of_certificates_are_told_also_of_one_that_was_replaced(tmp_path):
    authority = Authority(tmp_path / "ours", "Ours")
    one = authority.issue("one", "DNS:one.example", "DNS:two.example")
    nameless = authority.issue("nameless")
    tls = {"certificates": [one, {**nameless, "hosts": ["three.example"]}]}
    with upstream() as backend:
        written = document(backend.url, gateway={"listen": ["https://127.0.0.1:0"], "tls": tls})
        with running(written) as gate:
            samples = scrape(gate)
            written["gateway"]["tls"] = {"certificates": [nameless]}
            written["gateway"]["listen"] = gate.urls
            gate.reload(written)
            later = scrape(gate)

    ends = {key[3]: value for key, value in samples.items() if key[:2] == (CERTIFICATE, "listener")}
    assert ends.keys() == {"one.example", "two.example", "three.example"}
    assert all(time.time() < end < time.time() + 366 * 86400 for end in ends.values())
    assert {key[3] for key in later if key[:2] == (CERTIFICATE, "listener")} == {"nameless.pem"}


@needs_openssl
def test_the_ends_of_certificates_towards_a_backend_are_told_its_and_ours(tmp_path):
    authority = Authority(tmp_path / "ours", "Ours")
    showing = {"mutual-tls": authority.issue("client")}
    with tls_backend(authority.issue("backend", "IP:127.0.0.1"), clients=authority.certificate) as backend:
        written = document(backend.url, tls={"ca_file": str(authority.certificate)}, auth=[showing])
        with running(written) as gate:
            assert gate.request("GET", "/").status_code == 200
            samples = scrape(gate)

    ends = {key[1:]: value for key, value in samples.items() if key[0] == CERTIFICATE}
    assert ends.keys() == {("backend", "crm", backend.url), ("client", "crm", "")}
    assert all(time.time() < end < time.time() + 366 * 86400 for end in ends.values())


CERTIFICATE = "hookgate_certificate_not_after_seconds"


def test_lost_lines_and_lost_traces_are_told(tmp_path):
    """A full disk, and a folder where the file of traces should be."""
    (tmp_path / "traces.db").mkdir()
    observers = [
        "prometheus",
        {"access-log": {"output": "/dev/full"}},
        {"trace": {"path": str(tmp_path / "traces.db")}},
    ]
    with upstream() as backend:
        written = document(backend.url, gateway={"observers": observers})
        with running({**written, "trace": {"sample": 1.0, "per_second": 1000}}) as gate:
            for _ in range(3):
                gate.request("GET", "/")
            gate.wait_for_exchanges(3)
            until(gate, "hookgate_access_log_lines_lost_total", 3)
            until(gate, "hookgate_trace_lost_total", 3)


def until(gate, name, count):
    """Wait for what a thread counts."""
    deadline = time.monotonic() + 60
    while (found := scrape(gate)[name,]) != count:
        assert time.monotonic() < deadline, f"{name} is {found}"
        gate.run(asyncio.sleep(0.02))


def test_tokens_that_were_renewed_are_told_and_those_that_were_not():
    def issue(request):
        return (200, {}, '{"access_token": "t", "token_type": "bearer"}') if request.path == "/good" else (500, {}, "")

    with upstream() as backend, upstream(issue) as server:
        written = document(backend.url)
        for name in ("good", "bad"):
            credential = {"token_endpoint": f"{server.url}/{name}", "client_id": "a", "client_secret": "b"}
            written["connections"][name] = {"targets": backend.url, "auth": [{"oauth2": credential}]}
            written["routes"].append({"name": name, "match": {"path": f"/{name}"}, "to": {"connection": name}})
        with running(written) as gate:
            assert [gate.request("GET", path).status_code for path in ("/good", "/good", "/bad")] == [200, 200, 503]
            samples = scrape(gate)

    found = {key[1:]: value for key, value in samples.items() if key[0] == "hookgate_oauth2_tokens_total"}
    assert found == {("connections.good/oauth2", "renewed"): 1, ("connections.bad/oauth2", "failed"): 1}


def test_the_process_is_told_by_the_names_that_others_have_for_it():
    with upstream() as backend, running(document(backend.url)) as gate:
        samples = scrape(gate)

    assert samples["process_cpu_seconds_total",] > 0
    assert samples["process_threads",] >= 2
    assert samples["python_gc_collections_total", "0"] >= 0
    if Path("/proc/self/stat").exists():
        assert 1e6 < samples["process_resident_memory_bytes",] <= samples["process_virtual_memory_bytes",]
        assert 5 < samples["process_open_fds",] <= samples["process_max_fds",]
        assert 0 < time.time() - samples["process_start_time_seconds",] < 86400
