"""Traces that are kept: their pages, `hookgate trace`, and new ones as they come (FL-32)."""

import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from hookgate.testing import MovableClock, running, upstream

TOKEN = "only-for-tests"
BOTH = pytest.mark.parametrize("lane", [True, False], ids=["lane", "edge"])
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def document(backend, path, *, lane=True, flow=(), **options):
    return {
        "gateway": {
            "lane": lane,
            "environment": "qa",
            "observers": [{"trace": {"path": str(path), **options}}],
        },
        "trace": {"token": TOKEN, "rules": [{"name": "writes", "when": "request.method == 'POST'"}]},
        "management": {"apps": ["health", "trace"]},
        "routes": [
            {"name": "orders", "match": {"path": "/orders/{id}"}, "flow": list(flow), "to": {"connection": "crm"}},
            {"name": "early", "match": {"path": "/early"}, "flow": [{"respond": {"status": 418, "body": "no"}}]},
            {"name": "dead", "match": {"path": "/dead"}, "to": {"connection": "gone", "timeout": 60}},
        ],
        "apis": [
            {
                "name": "shop",
                "version": "2",
                "base_path": "/shop",
                "to": {"connection": "crm"},
                "flow": [{"headers": {"request": {"set": {"X-Shop": "yes"}}}}],
                "resources": [{"path": "/items", "operations": {"GET": None}}],
            }
        ],
        "connections": {
            "crm": {"targets": getattr(backend, "url", backend)},
            "gone": {"targets": ["http://127.0.0.1:1", "http://127.0.0.1:2"], "max_tries": 2},
        },
    }


def ask(gate, path, method="GET", **headers):
    return gate.request(method, path, headers={"X-Hookgate-Trace": TOKEN, **headers})


def page(gate, query=""):
    return httpx.get(f"{gate.management}/-/traces{query}", trust_env=False, timeout=60)


def shown(gate, query=""):
    answer = page(gate, query)
    assert answer.status_code == 200, answer.text
    return [trace["path"] for trace in answer.json()["traces"]]


def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "hookgate", "trace", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )


@contextmanager
def following(gate, query=""):
    """Follow as a client does; gives a function that returns the next event, or None at the end."""
    place = urlsplit(gate.management)
    with closing(http.client.HTTPConnection(place.hostname, place.port, timeout=60)) as connection:
        connection.request("GET", f"/-/traces/follow{query}")
        answer = connection.getresponse()
        assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
        assert answer.readline() == b": following\n"  # from here on nothing is missed

        def event():
            found = {}
            while line := answer.readline():
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if not name and found:
                    return found
                if name:
                    found[name] = value
            return None

        yield event


@BOTH
@pytest.mark.row("FL-32")
def test_the_trace_of_a_call_is_found_by_its_id_and_tells_the_executed_order(lane, tmp_path):
    flow = ["request-id", {"headers": {"request": {"set": {"X-Env": "qa"}}}}]
    with upstream() as backend, running(document(backend, tmp_path / "t.db", lane=lane, flow=flow)) as gate:
        identifier = ask(gate, "/orders/7?token=s3cret").headers["x-hookgate-trace-id"]
        trace = page(gate, f"/{identifier}").json()
        text = page(gate, f"/{identifier}?format=text").text
        (live,) = [exchange.trace.as_dict() for exchange in gate.wait_for_exchanges(1)]

    assert trace == json.loads(json.dumps(live))
    executed = [(run["phase"], run["step"]) for run in trace["hooks"]]
    assert executed == [
        ("request", "routes.orders/request-id"),
        ("request", "routes.orders/headers"),
        ("response", "routes.orders/headers"),
        ("response", "routes.orders/request-id"),
    ]
    lines = [line for line in text.splitlines() if line.startswith(("→", "⇒", "←"))]
    assert [line.split()[:2] for line in lines] == [
        ["→", "request-id"],
        ["→", "headers"],
        ["⇒", "attempt"],
        ["←", "headers"],
        ["←", "request-id"],
    ]
    assert "      + request.headers.x-env: qa" in text
    assert text.startswith("GET /orders/7?token=******** from 127.0.0.1")
    assert "s3cret" not in text + json.dumps(trace)


def test_traces_are_found_by_uri_time_http_class_environment_and_more(tmp_path):
    with upstream() as backend, running(document(backend, tmp_path / "t.db")) as gate:
        began = time.time()
        ask(gate, "/orders/7", **{"X-Request-Id": "from-client", "traceparent": TRACEPARENT})
        ask(gate, "/early")
        ask(gate, "/dead")
        ask(gate, "/shop/2/items")
        gate.request("POST", "/orders/8")
        gate.request("GET", "/orders/9")  # which is not traced

        found = {
            query: shown(gate, query)
            for query in (
                "",
                "?path=/orders",
                "?path=/ord",
                "?path=*e*r*",
                "?status=5xx",
                "?status=418&status=5xx",
                "?status=2xx&method=GET",
                "?environment=qa&route=early",
                "?environment=prod",
                "?api=shop&version=2",
                "?reason=writes",
                "?correlation=from-client",
                "?correlation=4bf92f3577b34da6a3ce929d0e0e4736",
                "?since=1m",
                f"?until={began}",
                "?slower=60000",
            )
        }
        first = page(gate, "?limit=2").json()
        second = page(gate, f"?limit=2&before={first['next']}").json()
        last = page(gate, f"?limit=2&before={second['next']}").json()
        export = page(gate, "?full=true&limit=3").json()
        everything = page(gate, "?full=true").json()

    newest_first = ["/orders/8", "/shop/2/items", "/dead", "/early", "/orders/7"]
    assert found == {
        "": newest_first,
        "?path=/orders": ["/orders/8", "/orders/7"],
        "?path=/ord": [],
        "?path=*e*r*": ["/orders/8", "/early", "/orders/7"],
        "?status=5xx": ["/dead"],
        "?status=418&status=5xx": ["/dead", "/early"],
        "?status=2xx&method=GET": ["/shop/2/items", "/orders/7"],
        "?environment=qa&route=early": ["/early"],
        "?environment=prod": [],
        "?api=shop&version=2": ["/shop/2/items"],
        "?reason=writes": ["/orders/8"],
        "?correlation=from-client": ["/orders/7"],
        "?correlation=4bf92f3577b34da6a3ce929d0e0e4736": ["/orders/7"],
        "?since=1m": newest_first,
        f"?until={began}": [],
        "?slower=60000": [],
    }
    pages = [trace["path"] for each in (first, second, last) for trace in each["traces"]]
    assert pages == newest_first
    assert last["next"] is None
    assert [each["trace"]["request"]["path"] for each in export["traces"]] == newest_first[:3]
    assert export["next"] == export["traces"][-1]["number"]
    assert [each["trace"]["request"]["path"] for each in everything["traces"]] == newest_first
    assert (everything["next"], everything["lost"], everything["trouble"]) == (None, 0, None)
    (dead,) = [each["trace"] for each in everything["traces"] if each["trace"]["route"]["name"] == "dead"]
    assert [attempt["outcome"] for attempt in dead["attempts"]] == ["connect-failed", "connect-failed"]
    assert dead["attempts"][1]["verdict"]


STEPS = """
from hookgate import Forbidden, Interceptor, Options, Response, hookimpl


class Tell(Interceptor[Options]):
    @hookimpl
    async def on_request(self, exchange):
        exchange.note("on its \\x1b[31mway")
        exchange.facts["kind"] = "order"
        await exchange.visit("GET", "/early")


class Refuse(Interceptor[Options]):
    @hookimpl
    def on_request(self, exchange):
        raise Forbidden("no", reason="not-today")


class Rescue(Interceptor[Options]):
    @hookimpl
    def on_fault(self, exchange):
        return Response.text("rescued", status=299)
"""


def test_people_read_notes_calls_faults_and_who_answered_in_order_of_time(tmp_path):
    (tmp_path / "steps.py").write_text(STEPS)
    described = document("http://127.0.0.1:1", tmp_path / "t.db", flow=["rescue", "tell", "refuse"])
    with running(described, plugins_dir=tmp_path) as gate:
        identifier = ask(gate, "/orders/1").headers["x-hookgate-trace-id"]
        text = page(gate, f"/{identifier}?format=text").text

    happened = text.split("\n\n")[1].splitlines()
    beginnings = ["→ tell", "  note on its �[31mway", "  call GET /early by (gateway): 418", "→ refuse", "✗ rescue"]
    places = [next(i for i, line in enumerate(happened) if line.startswith(words)) for words in beginnings]
    assert places == sorted(places)
    assert "raised not-today" in happened[places[3]]
    assert happened[-1] == "fact kind = order"
    assert "answer 299 by routes.orders/rescue, 7 bytes\n      after the fault not-today\n" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("?pth=/", 400, "There is no filter 'pth'"),
        ("?status=abc", 400, "'abc' is no status"),
        ("?since=soon", 400, "'soon' is no time"),
        ("?limit=501", 400, "from 1 to 500"),
        ("?before=0", 400, "before: write a number"),
        ("?full=yes", 400, "write false or true"),
        ("/none", 404, "There is no trace 'none'"),
        ("/none?style=text", 400, "no parameter 'style'"),
        ("/none?format=html", 400, "write json or text"),
        ("/follow?since=1m", 400, "still to come"),
        ("/follow?full=true", 400, "still to come"),
    ],
)
def test_a_bad_question_is_told_so(query, status, words, tmp_path):
    with upstream() as backend, running(document(backend, tmp_path / "t.db")) as gate:
        answer = page(gate, query)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert words in answer.json()["detail"]
    assert answer.headers["cache-control"] == "no-store"


def test_traces_are_there_after_a_restart_and_one_id_may_stand_for_several(tmp_path):
    described = (tmp_path / "t.db",)
    with upstream() as backend:
        for status in (1, 2):
            with running(document(backend, *described, flow=["request-id"])) as gate:
                ask(gate, f"/orders/{status}", **{"X-Request-Id": "same/id"})
                newest = page(gate, "/same%2Fid").json()["request"]["path"]
                both = page(gate, "?correlation=same/id").json()["traces"]
        with running(document(backend, *described)) as gate:
            older = page(gate, f"/same%2Fid?number={both[1]['number']}").json()["request"]["path"]

    assert newest == "/orders/2"
    assert [each["path"] for each in both] == ["/orders/2", "/orders/1"]
    assert older == "/orders/1"


def test_what_is_too_old_is_not_shown_even_before_it_is_deleted(tmp_path):
    clock = MovableClock(time.time())
    with upstream() as backend, running(document(backend, tmp_path / "t.db", keep=60), clock=clock) as gate:
        identifier = ask(gate, "/orders/1").headers["x-hookgate-trace-id"]
        young = (shown(gate), page(gate, f"/{identifier}").status_code)
        gate.run(clock.advance(70))
        old = (shown(gate), shown(gate, "?since=1d"), page(gate, f"/{identifier}").status_code)
        with closing(sqlite3.connect(tmp_path / "t.db")) as plain:
            assert plain.execute("SELECT COUNT(*) FROM traces").fetchone() == (1,)

    assert young == (["/orders/1"], 200)
    assert old == ([], [], 404)


def test_followers_see_new_traces_that_fit_and_end_with_the_gateway(tmp_path):
    with upstream() as backend, running(document(backend, tmp_path / "t.db")) as gate:
        ask(gate, "/early")
        assert shown(gate) == ["/early"]  # it has been written, so it is not new any more
        with following(gate) as anything, following(gate, "?status=4xx&path=/early") as early:
            ask(gate, "/orders/1")
            ask(gate, "/early")
            seen = [anything(), anything(), early()]
            kept = page(gate, f"/{json.loads(seen[0]['data'])['id']}").json()
            began = time.monotonic()
            gate.run(_stop(gate))
            ends = [anything(), early()]
            took = time.monotonic() - began

    told = [json.loads(event["data"]) for event in seen]
    assert [event["event"] for event in seen] == ["trace"] * 3
    assert [each["path"] for each in told] == ["/orders/1", "/early", "/early"]
    assert told[1] == told[2]
    assert seen[0]["id"] == str(told[0]["number"]) == "2"
    assert kept["request"]["path"] == "/orders/1"
    assert ends == [None, None]
    assert took < 15


async def _stop(gate):
    gate._stop.set()


def test_a_reload_that_changes_the_observer_ends_followers_and_one_that_does_not_leaves_them(tmp_path):
    with upstream() as backend, running(document(backend, tmp_path / "t.db")) as gate:
        with following(gate) as event:
            gate.reload(document(backend, tmp_path / "t.db", flow=["request-id"]))
            ask(gate, "/orders/1")
            assert json.loads(event()["data"])["path"] == "/orders/1"
            gate.reload(document(backend, tmp_path / "other.db"))
            assert event() is None
        ask(gate, "/orders/2")
        assert shown(gate) == ["/orders/2"]
        gate.reload(document(backend, tmp_path / "t.db"))
        assert shown(gate) == ["/orders/1"]


def test_a_document_without_the_observer_or_with_a_broken_file_says_so(tmp_path):
    with upstream() as backend:
        described = document(backend, tmp_path / "t.db")
        del described["gateway"]["observers"]
        with running(described) as gate:
            absent = page(gate)
            assert command("--management", gate.management).returncode == 3
        (tmp_path / "bad.db").write_text("no database " * 100)
        with running(document(backend, tmp_path / "bad.db")) as gate:
            assert ask(gate, "/orders/1").status_code == 200
            broken = page(gate)
            said = [record.getMessage() for record in gate.log]
        del described["management"]
        with running(described) as gate:
            missing = command("--management", gate.management)

    assert (absent.status_code, broken.status_code) == (503, 503)
    assert "add trace to gateway.observers" in absent.json()["detail"]
    assert "The traces cannot be read" in broken.json()["detail"]
    assert any("it is no file of traces: set `path` to another one" in line for line in said)
    assert missing.returncode == 3
    assert "does not show its traces: write `gateway: {observers: [trace]}`" in missing.stderr


def test_the_command_lists_shows_and_exports(tmp_path):
    with upstream() as backend, running(document(backend, tmp_path / "t.db", flow=["request-id"])) as gate:
        identifier = ask(gate, "/orders/7").headers["x-hookgate-trace-id"]
        ask(gate, "/early")
        at = ("--management", gate.management)
        listed = command(HOOKGATE_MANAGEMENT_URL=gate.management)
        filtered = command("--path", "/orders", "--status", "2xx", "--since", "10m", "--json", *at)
        one = command(identifier, *at)
        as_json = command(identifier, "--json", *at)
        full = command("--full", *at)
        paged = command("--limit", "1", *at)
        none = command("--status", "5xx", *at)
        unknown = command("nobody", *at)
        wrong = command("--status", "odd", *at)
        both = command(identifier, "--follow", *at)
        trace, text = page(gate, f"/{identifier}").json(), page(gate, f"/{identifier}?format=text").text

    assert (listed.returncode, listed.stderr) == (0, "")
    titles, early, orders = (re.split(r" {2,}", line.strip()) for line in listed.stdout.splitlines())
    assert titles == ["time", "status", "ms", "call", "route", "why", "id"]
    assert (early[1], early[3]) == ("418", "GET /early")
    assert (orders[1], *orders[3:]) == ("200", "GET /orders/7", "orders", "header", identifier)
    assert [each["path"] for each in json.loads(filtered.stdout)["traces"]] == ["/orders/7"]
    assert (one.stdout, one.returncode) == (text, 0)
    assert json.loads(as_json.stdout) == trace
    assert text in full.stdout
    assert "more with --before 2" in paged.stderr
    assert (none.returncode, none.stderr) == (1, "no trace matches\n")
    assert (unknown.returncode, wrong.returncode, both.returncode) == (1, 2, 2)
    assert "'odd' is no status" in wrong.stderr
    gone = command(*at)
    assert gone.returncode == 3
    assert "no gateway answers on" in gone.stderr
    assert command("--follow", *at).returncode == 3
    assert "Traceback" not in gone.stderr


@contextmanager
def started(line):
    """A command that Ctrl+C reaches, however the tests were started, and that ends with its test."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(line, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_the_command_follows_until_it_is_interrupted_or_the_gateway_ends(tmp_path):
    line = [sys.executable, "-m", "hookgate", "trace", "--follow", "--json", "--path", "/orders"]
    with upstream() as backend, running(document(backend, tmp_path / "t.db")) as gate:
        line += ["--management", gate.management]
        with started(line) as stopped, started(line) as ended:
            (observer,) = gate.gateway.live.config.observers
            while len(observer.followers._all) < 2:
                time.sleep(0.02)
            ask(gate, "/early")
            ask(gate, "/orders/1")
            told = [json.loads(each.stdout.readline())["path"] for each in (stopped, ended)]
            stopped.send_signal(signal.SIGINT)
            assert (stopped.wait(60), stopped.stderr.read()) == (0, "")
            gate.run(_stop(gate))
            assert ended.wait(60) == 0
            assert "the gateway has ended this" in ended.stderr.read()

    assert told == ["/orders/1", "/orders/1"]
