"""What can be seen from outside of a call: ids that travel with it, and its line in the access log."""

import asyncio
import json
import re
import socket
from contextlib import ExitStack

import httpx
import pytest

from hookgate.testing import running, upstream
from hookgate.testing.upstream import Reset

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
WHOLE = Reset(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def answer(request):
    if request.path == "/calls/never":
        await asyncio.sleep(30)
    if request.path == "/calls/late":
        await asyncio.sleep(0.1)

        async def slowly():
            yield b"one"
            await asyncio.sleep(0.1)
            yield b"two"

        return 200, {}, slowly()
    if request.path == "/calls/one-piece":
        return WHOLE
    return 201, {"content-type": "text/plain"}, "made"


def unused_port():
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return reserved.getsockname()[1]


@pytest.fixture(params=[True, False], ids=["lane", "edge"])
def watched(request, tmp_path):
    """A gateway with ids, an access log and numbers; ``lines()`` ends it and returns what was logged, by path."""
    log = tmp_path / "access.log"
    with upstream(answer) as backend:
        document = {
            "gateway": {
                "lane": request.param,
                "flow": ["request-id"],
                "observers": [{"access-log": {"output": str(log)}}, "prometheus"],
            },
            "management": {"apps": ["health", "prometheus"]},
            "routes": [
                {"name": "calls", "match": {"path": "/calls/{rest...}"}, "to": {"connection": "crm"}},
                {"name": "dead", "match": {"path": "/dead"}, "to": {"connection": "gone"}},
                {
                    "name": "early",
                    "match": {"path": "/early"},
                    "flow": [{"respond": {"status": 418, "body": "no coffee"}}],
                    "to": {"connection": "crm"},
                },
            ],
            "connections": {
                "crm": {"targets": backend.url},
                "gone": {
                    "targets": [f"http://127.0.0.1:{unused_port()}", f"http://127.0.0.1:{unused_port()}"],
                    "max_tries": 2,
                },
            },
        }
        with ExitStack() as stack:
            gate = stack.enter_context(running(document))

            def lines():
                stack.close()
                return {line["path"]: line for line in map(json.loads, log.read_text().splitlines())}

            gate.backend, gate.lines = backend, lines
            yield gate


def test_the_context_of_a_trace_passes_unchanged(watched):
    sent = [("traceparent", TRACEPARENT), ("tracestate", "rojo=00f067aa0ba902b7"), ("tracestate", "congo=t61rcWkgMzE")]
    watched.request("GET", "/calls/1", headers=sent)
    watched.request("GET", "/calls/2")
    traced, plain = watched.backend.requests

    assert [field for field in traced.headers if field[0].startswith("trace")] == sent
    assert (plain.header("traceparent"), plain.header("tracestate")) == (None, None)


def test_a_call_keeps_its_id_or_gets_one(watched):
    mine = watched.request("GET", "/calls/1", headers={"x-request-id": "call-7"})
    fresh = watched.request("GET", "/calls/2")
    kept, given = (request.all("x-request-id") for request in watched.backend.requests)
    watched.wait_for_exchanges(2)
    lines = watched.lines()

    assert mine.headers["x-request-id"] == "call-7"
    assert kept == ["call-7"]
    assert UUID7.fullmatch(fresh.headers["x-request-id"])
    assert given == [fresh.headers["x-request-id"]]
    assert [lines[path]["id"] for path in ("/calls/1", "/calls/2")] == ["call-7", given[0]]


def test_the_line_of_a_call_to_a_backend(watched):
    headers = {"traceparent": TRACEPARENT, "host": "shop.example.org"}
    watched.request("POST", "/calls/7?token=s3cret", headers=headers, content=b"seven b")
    watched.wait_for_exchanges(1)
    line = watched.lines()["/calls/7"]

    assert {name: line[name] for name in line if not name.endswith("ms") and name not in ("time", "id")} == {
        "trace_id": TRACE,
        "client": "127.0.0.1",
        "method": "POST",
        "scheme": "http",
        "host": "shop.example.org",
        "path": "/calls/7",
        "http": "1.1",
        "status": 201,
        "outcome": "ok",
        "reason": None,
        "answered_by": None,
        "bytes_up": 7,
        "bytes_down": 4,
        "route": "calls",
        "connection": "crm",
        "target": watched.backend.url,
        "tries": 1,
        "generation": 1,
        "subject": None,
        "certificate": None,
        "tls": None,
        "server_name": None,
        "api": None,
        "api_version": None,
        "application": None,
        "operation": None,
        "plan": None,
        "rewritten_path": None,
        "user_agent": line["user_agent"],
    }
    assert line["ms"] >= line["ttfb_ms"] > 0


def test_times_of_the_client_of_the_backend_and_of_the_flow_are_told_apart(watched):
    assert watched.request("GET", "/calls/late").content == b"onetwo"
    watched.wait_for_exchanges(1)
    line = watched.lines()["/calls/late"]

    assert 100 <= line["backend_ttfb_ms"] <= line["ttfb_ms"] < line["backend_ms"] <= line["ms"]
    assert line["backend_ms"] >= line["backend_ttfb_ms"] + 90
    assert 0 <= line["flow_ms"] < 90
    assert line["flow_ms"] == pytest.approx(line["ttfb_ms"] - line["backend_ttfb_ms"], abs=0.01)


def test_an_answer_that_came_in_one_piece_is_over_when_the_call_is(watched):
    watched.request("GET", "/calls/one-piece")
    watched.wait_for_exchanges(1)
    numbers = httpx.get(f"{watched.management}/-/metrics").text
    line = watched.lines()["/calls/one-piece"]

    assert re.search(r'^hookgate_upstream_attempts_total\{.*outcome="ok"\} 1$', numbers, re.MULTILINE)
    assert re.search(r'^hookgate_upstream_attempts_total\{.*outcome="aborted"\} 0$', numbers, re.MULTILINE)
    assert line["ms"] >= line["backend_ms"] >= line["backend_ttfb_ms"] > 0


def test_bytes_of_a_body_of_unknown_length_are_counted(watched):
    watched.request("POST", "/calls/chunks", content=iter([b"one", b"two", b"three"]))
    watched.wait_for_exchanges(1)

    assert watched.lines()["/calls/chunks"]["bytes_up"] == len("onetwothree")


def test_the_line_of_a_call_that_no_route_matches(watched):
    watched.request("GET", "/nowhere")
    watched.wait_for_exchanges(1)
    line = watched.lines()["/nowhere"]

    assert (line["status"], line["outcome"], line["reason"]) == (404, "ok", "no-route")
    assert (line["route"], line["connection"], line["target"], line["tries"]) == (None, None, None, 0)
    assert (line["backend_ms"], line["backend_ttfb_ms"]) == (None, None)
    assert line["flow_ms"] == line["ttfb_ms"] > 0
    assert line["bytes_down"] > 0


def test_the_line_of_a_call_whose_backend_cannot_be_reached(watched):
    assert watched.request("GET", "/dead").status_code == 502
    watched.wait_for_exchanges(1)
    line = watched.lines()["/dead"]

    assert (line["status"], line["outcome"], line["reason"]) == (502, "ok", "connect-refused")
    assert (line["route"], line["connection"], line["tries"]) == ("dead", "gone", 2)
    assert line["target"].startswith("http://127.0.0.1:")
    assert line["ttfb_ms"] >= line["backend_ms"] == line["backend_ttfb_ms"] > 0
    assert line["flow_ms"] >= 0


def test_the_line_of_a_call_that_a_step_answers(watched):
    watched.request("POST", "/early", content=b"coffee?")
    watched.wait_for_exchanges(1)
    line = watched.lines()["/early"]

    assert (line["status"], line["outcome"], line["reason"]) == (418, "ok", None)
    assert "respond" in line["answered_by"]
    assert (line["route"], line["connection"], line["target"], line["tries"]) == ("early", None, None, 0)
    assert line["bytes_down"] == len("no coffee")
    assert line["flow_ms"] == line["ttfb_ms"] > 0


def test_the_line_of_a_call_whose_client_leaves(watched):
    with socket.create_connection(("127.0.0.1", int(watched.url.rsplit(":", 1)[1]))) as client:
        client.sendall(b"GET /calls/never HTTP/1.1\r\nHost: shop.example.org\r\n\r\n")
        watched.backend.wait_for(lambda backend: backend.requests)
    watched.wait_for_exchanges(1)
    line = watched.lines()["/calls/never"]

    assert (line["status"], line["outcome"], line["bytes_down"]) == (None, "aborted", 0)
    assert (line["ttfb_ms"], line["flow_ms"]) == (None, None)
    assert (line["route"], line["connection"], line["target"]) == ("calls", "crm", watched.backend.url)
    assert line["tries"] == 1
    assert line["ms"] >= line["backend_ms"] == line["backend_ttfb_ms"] > 0
